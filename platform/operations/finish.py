"""How a worker writes outcomes into the log: one durable transaction, then the wake-up.

Only the worker that holds an operation may finish it: a worker that was declared dead writes
nothing. A result once given is never changed.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection

from checkpoints import leftovers
from core import hub
from events import services as events
from operations import completions, lanes
from operations.announcements import CANCEL_CHANNEL, DONE, WORK_CHANNEL, Announcement
from usage import services as usage
from usage.services import Used


class Conflict(Exception):
    """An effect cannot be recorded; the message goes to the user as the operation's failure."""


Effect = Callable[[Connection], None]


@dataclass(slots=True)
class Outcome:
    """What became of an operation: a result to send, or an error and its category.

    `effect` writes the rows that the operation brings forth (a checkpoint, a sampler) in the same
    transaction; it may raise `Conflict`, and what it cannot store fails the
    operation. `used` goes into the ledger. `writes` is the store key of
    the files that it wrote, which nobody needs if it fails. `began` and `ended` say when the engine
    did it, by this process's `time.monotonic()`.
    """

    operation_id: int
    request_id: str
    content_type: str | None = None
    body: bytes | None = None
    error: str | None = None
    category: str | None = None
    effect: Effect | None = field(default=None, repr=False)
    used: list[Used] = field(default_factory=list)
    writes: str | None = None
    began: float | None = None
    ended: float | None = None

    def fail(self, message: str, category: str) -> None:
        """Turn the outcome into a failure."""
        self.error, self.category = message, category
        self.content_type = self.body = None


# Operations by id and then lanes, as the end of a session locks them. Moments come as how long
# before the transaction they were: PostgreSQL's is the one clock.
# two clocks are compared, to a millisecond or so: nothing is begun before it was claimed
_FINISH = """
WITH finished AS (
    SELECT o.id, f.error, f.category, f.began, f.ended
    FROM operations_operation o
    JOIN unnest(%s::bigint[], %s::text[], %s::text[], %s::float8[], %s::float8[])
         AS f(id, error, category, began, ended) ON f.id = o.id
    WHERE o.worker_id = %s AND o.state = 'running'
    ORDER BY o.id FOR NO KEY UPDATE OF o
)
UPDATE operations_operation o
SET state = CASE WHEN f.error IS NULL THEN 'done' ELSE 'failed' END,
    error = f.error, error_category = f.category, finished_at = now(),
    began_at = CASE WHEN f.began IS NOT NULL
        THEN greatest(o.started_at, now() - make_interval(secs => f.began)) END,
    ended_at = CASE WHEN f.ended IS NOT NULL
        THEN greatest(o.started_at, now() - make_interval(secs => f.ended)) END
FROM finished f WHERE o.id = f.id
RETURNING o.id, o.kind, o.target
"""

_STORE_RESULTS = """
INSERT INTO operations_result (operation_id, content_type, body)
SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bytea[])
ON CONFLICT (operation_id) DO NOTHING
"""

_ADVANCE = f"""
WITH {lanes.locked("l.target = ANY(%(runs)s) AND l.worker_id = %(worker)s")}
UPDATE operations_lane l SET applied_seq = a.seq, moved_at = now()
FROM unnest(%(runs)s::text[], %(seqs)s::bigint[]) AS a(target, seq)
WHERE l.target = a.target AND {lanes.IS_LOCKED} AND l.applied_seq < a.seq
"""


def record(
    conn: Connection, *, worker_id: uuid.UUID, outcomes: list[Outcome], applied: dict[str, int]
) -> set[int]:
    """Write outcomes and how far each run has come, durably; returns the ids that were written.

    Args:
        applied: run id → the seq up to which all its operations are finished, these included.
    """
    begun = time.monotonic()
    with conn.transaction():
        ours = _held(conn, worker_id, outcomes)
        for outcome in outcomes:
            if (
                outcome.effect is not None
                and outcome.error is None
                and outcome.operation_id in ours
            ):
                _apply_effect(conn, outcome)
        written = _finish(conn, worker_id, outcomes, begun)
        new = [outcome for outcome in outcomes if outcome.operation_id in written]
        _store_results(conn, new)
        _leave_files(conn, outcomes, written)
        usage.record(
            conn,
            [
                (outcome.operation_id, item)
                for outcome in new
                if outcome.error is None
                for item in outcome.used
            ],
        )
        if applied:
            runs, seqs = list(applied), list(applied.values())
            conn.execute(_ADVANCE, {"runs": runs, "seqs": seqs, "worker": worker_id})
    if any(outcome.effect is not None for outcome in outcomes):
        events.announce(conn)
    return written


def _held(conn: Connection, worker_id: uuid.UUID, outcomes: list[Outcome]) -> set[int]:
    """If any has an effect, the operations that this worker still holds: its own till the end."""
    if all(outcome.effect is None for outcome in outcomes):
        return set()
    ids = [outcome.operation_id for outcome in outcomes]
    rows = conn.execute(
        """
        SELECT id FROM operations_operation
        WHERE id = ANY(%s) AND worker_id = %s AND state = 'running' ORDER BY id FOR UPDATE
        """,
        (ids, worker_id),
    )
    return {id_ for (id_,) in rows}


def _apply_effect(conn: Connection, outcome: Outcome) -> None:
    assert outcome.effect is not None
    try:
        with conn.transaction():
            outcome.effect(conn)
    except Conflict as conflict:
        outcome.fail(str(conflict), "user")
    except psycopg.DataError as error:
        # what it writes comes from the request's body, e.g. a NUL in a name
        outcome.fail(f"this cannot be stored: {error.diag.message_primary or error}", "user")


def _leave_files(conn: Connection, outcomes: list[Outcome], written: set[int]) -> None:
    """Leave to the sweep what failed operations wrote, those too that had been failed meanwhile."""
    keys = {item.operation_id: item.writes for item in outcomes if item.writes is not None}
    if not keys:
        return
    failed = {item.operation_id for item in outcomes if item.error is not None} & written
    if lost := keys.keys() - written:
        rows = conn.execute(
            "SELECT id FROM operations_operation WHERE id = ANY(%s) AND state = 'failed'",
            (list(lost),),
        )
        failed |= {operation_id for (operation_id,) in rows}
    if unneeded := keys.keys() & failed:
        leftovers.leave(conn, *(keys[operation_id] for operation_id in unneeded))


def _finish(
    conn: Connection, worker_id: uuid.UUID, outcomes: list[Outcome], begun: float
) -> set[int]:
    rows = conn.execute(
        _FINISH,
        (
            [outcome.operation_id for outcome in outcomes],
            [outcome.error for outcome in outcomes],
            [outcome.category for outcome in outcomes],
            [_before(begun, outcome.began) for outcome in outcomes],
            [_before(begun, outcome.ended) for outcome in outcomes],
            worker_id,
        ),
    ).fetchall()
    samples = [(id_, target) for id_, kind, target in rows if kind == "sample"]
    if samples:
        bodies = [id_ for id_, _ in samples]
        conn.execute("DELETE FROM operations_payload WHERE operation_id = ANY(%s)", (bodies,))
        completions.number(conn, samples)
    return {id_ for id_, *_ in rows}


def _before(begun: float, moment: float | None) -> float | None:
    return None if moment is None else begun - moment


def _store_results(conn: Connection, outcomes: list[Outcome]) -> None:
    done = [outcome for outcome in outcomes if outcome.error is None]
    if done:
        conn.execute(
            _STORE_RESULTS,
            (
                [outcome.operation_id for outcome in done],
                [outcome.content_type for outcome in done],
                [outcome.body for outcome in done],
            ),
        )


def announce(conn: Connection, request_ids: list[str]) -> None:
    """Wake whoever waits for these requests. Not durable on purpose: waiters look again anyway."""
    _notify(conn, DONE.channel, request_ids)


def announce_cancelled(conn: Connection, request_ids: list[str]) -> None:
    """Have the workers that do these requests give them up; who misses it looks later anyway."""
    _notify(conn, CANCEL_CHANNEL, request_ids)


def _notify(conn: Connection, channel: str, request_ids: list[str]) -> None:
    for payload in hub.payloads(request_ids):
        conn.execute(
            f"SELECT set_config('synchronous_commit', 'off', true), pg_notify('{channel}', %s)",
            (payload,),
        )


def announce_change(conn: Connection, pool: str) -> None:
    """Have the workers that listen for `pool` look at everything again."""
    payload = Announcement.CHANGE.payload(pool)
    conn.execute(f"SELECT pg_notify('{WORK_CHANNEL}', %s)", (payload,))


def record_snapshot(
    conn: Connection, *, worker_id: uuid.UUID, run_id: str, seq: int, key: str
) -> None:
    """Note a run's new recovery copy and drop the bodies and the copy that it makes unnecessary.

    If the run is another worker's by now, it is the new one that is not needed.
    """
    with conn.transaction():
        row = conn.execute(
            """
            WITH before AS (
                SELECT target, snapshot_key FROM operations_lane WHERE target = %s
                FOR NO KEY UPDATE
            )
            UPDATE operations_lane l SET snapshot_seq = %s, snapshot_key = %s
            FROM before
            WHERE l.target = before.target AND l.worker_id = %s AND l.applied_seq >= %s
            RETURNING before.snapshot_key
            """,
            (run_id, seq, key, worker_id, seq),
        ).fetchone()
        unneeded = key if row is None else row[0]
        if unneeded is not None and (row is None or unneeded != key):
            leftovers.leave(conn, unneeded)
        if row is None:
            return
        conn.execute(
            """
            DELETE FROM operations_payload p USING operations_operation o
            WHERE p.operation_id = o.id AND o.target = %s AND o.seq <= %s
            """,
            (run_id, seq),
        )
