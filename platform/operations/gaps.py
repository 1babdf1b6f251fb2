"""Requests of a run that never came, while later ones wait for them.

Who polls for one of those is told which request is missing and since when (`before`). If its number
is not filled in time although the client lives, a worker gives it up (`find`, `close`): then the
missing requests are `missing` operations, which drop the gradient and fail, and all that waited is
refused. So the run goes on, and no half batch is ever stepped on; as all of it is in the log, a
worker that restores the run does the same again.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from psycopg import Connection

from core import database
from operations.models import Operation

# a client that was heard of within this lives
HEARD_WITHIN_S = 60
# as many numbers are given up at once; of a larger gap the rest follows later
MOST_AT_ONCE = 10_000
_REFUSED, _MISSING = Operation.Kind.REFUSED, Operation.Kind.MISSING

# What waits in a run's queue, each with the number that it would have if none were missing.
# Clients count from 1; operation 0 comes with the run itself
_WAITING = """
SELECT o.seq, o.created_at, l.claimed_seq + row_number() OVER (ORDER BY o.seq) AS without_gap
FROM operations_operation o
WHERE o.target = l.target AND o.state = 'queued' AND o.seq > l.claimed_seq
"""

_BEFORE = f"""
SELECT min(without_gap), to_char(min(w.created_at) AT TIME ZONE 'UTC', 'HH24:MI:SS'),
       extract(epoch FROM now() - min(w.created_at))::float8, count(*)
FROM operations_lane l CROSS JOIN LATERAL ({_WAITING}) w
WHERE l.target = %s AND seq <> without_gap
HAVING min(without_gap) >= 1 AND min(without_gap) < %s
"""

_FIND = f"""
SELECT l.target, gap.first, s.heartbeat_at > now() - make_interval(secs => {HEARD_WITHIN_S}),
       extract(epoch FROM now() - gap.last_came)::float8
FROM operations_lane l
JOIN runs_session s ON s.id = l.session_id
JOIN catalog_basemodel b ON b.id = l.base_model_id
CROSS JOIN LATERAL (
    SELECT min(without_gap) AS first, max(created_at) AS last_came
    FROM ({_WAITING}) w WHERE seq <> without_gap) gap
WHERE l.ordered AND l.closed_at IS NULL AND b.pool = %s AND gap.first >= 1
"""

_OPEN = """
SELECT l.team_id, b.pool FROM operations_lane l
JOIN catalog_basemodel b ON b.id = l.base_model_id
WHERE l.target = %s AND l.closed_at IS NULL
FOR KEY SHARE OF l
"""

_GIVE_UP = f"""
WITH given_up AS (
    INSERT INTO operations_operation (target, seq, team_id, pool, kind, cost)
    SELECT %(run)s, number, %(team)s, %(pool)s, '{_MISSING}', octet_length(words)
    FROM unnest(%(numbers)s::bigint[], %(words)s::bytea[]) AS n(number, words) ORDER BY number
    ON CONFLICT (target, seq) DO NOTHING
    RETURNING id, seq
), bodies AS (
    INSERT INTO operations_payload (operation_id, content_type, body)
    SELECT g.id, 'application/json', n.words
    FROM given_up g JOIN unnest(%(numbers)s::bigint[], %(words)s::bytea[]) AS n(number, words)
      ON n.number = g.seq
)
SELECT count(*) FROM given_up
"""

# None of it is claimed, and none can be while the number before it is not committed
_REFUSE_BEHIND = f"""
WITH refused AS (
    UPDATE operations_operation SET kind = '{_REFUSED}', cost = octet_length(%(words)s::bytea)
    WHERE target = %(run)s AND seq > %(first)s AND seq <= %(last)s AND state = 'queued'
      AND kind NOT IN ('{_REFUSED}', '{_MISSING}')
    RETURNING id
)
UPDATE operations_payload p SET content_type = 'application/json', body = %(words)s
FROM refused WHERE p.operation_id = refused.id
"""


@dataclass(frozen=True, slots=True)
class Gap:
    """A run whose next request has not come, though later ones have.

    Attributes:
        first: the first missing number.
        beating: whether the session's client was heard of lately.
        quiet_s: how long ago the last of the waiting requests came.
    """

    run_id: str
    first: int
    beating: bool
    quiet_s: float


async def before(*, run_id: str, seq: int) -> str | None:
    """Why a request waits, if that is because one before it has not come; else None."""
    async with database.connection() as conn:
        row = await (await conn.execute(_BEFORE, (run_id, seq))).fetchone()
    if row is None:
        return None
    first, since, seconds, count = row
    waiting = "1 later one waits" if count == 1 else f"{count} later ones wait"
    return (
        f"request {first} of this training run has not come; {waiting} for it since {since} UTC "
        f"({_duration(seconds)}). If it does not come, its number is given up after "
        f"{_duration(settings.GAP_CLOSES_AFTER_S)}, and what waits for it fails"
    )


def find(conn: Connection, *, pool: str) -> list[Gap]:
    """The gaps of all runs of a pool whose sessions have not ended."""
    return [Gap(*row) for row in conn.execute(_FIND, (pool,)).fetchall()]


def close(conn: Connection, gap: Gap) -> bool:
    """Give up what is missing in a run, up to the last that waits; False if it is there by now.

    All that waits is refused: parts of the batch whose request is missing, and what counts on it.
    """
    try:
        with conn.transaction():
            return _close(conn, gap)
    except _Filled:
        return False


class _Filled(Exception):
    """A request came after all, while its number was being given up."""


def _close(conn: Connection, gap: Gap) -> bool:
    run = conn.execute(_OPEN, (gap.run_id,)).fetchone()
    come = conn.execute(
        "SELECT seq FROM operations_operation WHERE target = %s AND seq BETWEEN %s AND %s",
        (gap.run_id, gap.first, gap.first + MOST_AT_ONCE),
    ).fetchall()
    last = max((seq for (seq,) in come), default=gap.first + MOST_AT_ONCE)
    missing = sorted(set(range(gap.first, last)) - {seq for (seq,) in come})
    if run is None or gap.first not in missing:
        return False
    values = {
        "run": gap.run_id,
        "team": run[0],
        "pool": run[1],
        "numbers": missing,
        "words": [_words_of_missing(number) for number in missing],
    }
    counted = conn.execute(_GIVE_UP, values).fetchone()
    if counted is None or counted[0] < len(missing):
        raise _Filled
    words = _words_behind(gap.first)
    behind = {"run": gap.run_id, "first": gap.first, "last": last, "words": words}
    conn.execute(_REFUSE_BEHIND, behind)
    return True


def _words_of_missing(number: int) -> bytes:
    waited = _duration(settings.GAP_CLOSES_AFTER_S)
    return (
        f"request {number} of this training run did not come, though later ones had waited for it "
        f"for {waited}, so its number was given up; the gradient since the last optim_step was "
        "dropped"
    ).encode()


def _words_behind(number: int) -> bytes:
    return (
        f"not done, because request {number} of this training run, which comes before, never "
        "came; the gradient since the last optim_step was dropped. Send the batch again"
    ).encode()


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"
