"""How long blocks are kept: all of them up to a ceiling, then the oldest go first.

Of a run and of a team there may be so many bytes. Above that go first the oldest steps that are not
worth most, then the oldest of all; the first three, every tenth and the last twenty are worth most.
The rows of steps and datums stay: only tokens and logprobs go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from checkpoints import leftovers

MOST_OF_RUN = 2 * 2**30
MOST_OF_TEAM = 20 * 2**30
# which steps are worth most: the first, the last, and one of so many
_WORTH = {"first_steps": 3, "last_steps": 20, "every": 10}


@dataclass(frozen=True, slots=True)
class Kept:
    """So many bytes more lie under the key of a run's step."""

    run_id: str
    step: int
    key: str
    size_bytes: int


_NOTE = """
INSERT INTO captures_kepttokens (run_id, team_id, step, key, size_bytes)
SELECT r.id, r.team_id, given.step, given.key, given.size_bytes
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[])
     AS given(run_id, step, key, size_bytes)
JOIN runs_trainingrun r ON r.id = given.run_id
ON CONFLICT (run_id, step) DO UPDATE
    SET size_bytes = captures_kepttokens.size_bytes + excluded.size_bytes
"""
_TOO_MUCH = """
SELECT k.run_id, NULL::bigint, sum(k.size_bytes) - %(run)s FROM captures_kepttokens k
WHERE k.run_id = ANY(%(runs)s) GROUP BY k.run_id HAVING sum(k.size_bytes) > %(run)s
UNION ALL
SELECT NULL, k.team_id, sum(k.size_bytes) - %(team)s FROM captures_kepttokens k
WHERE k.team_id = ANY(ARRAY(SELECT team_id FROM runs_trainingrun WHERE id = ANY(%(runs)s)))
GROUP BY k.team_id HAVING sum(k.size_bytes) > %(team)s
"""
_OLDEST = """
WITH worth AS (
    SELECT k.id, k.key, k.size_bytes, k.time,
           k.step < %(first_steps)s OR k.step %% %(every)s = 0
           OR k.step > (SELECT max(step) FROM captures_kepttokens l WHERE l.run_id = k.run_id)
                       - %(last_steps)s AS most
    FROM captures_kepttokens k WHERE {whose}
), counted AS (
    SELECT id, key, sum(size_bytes) OVER (ORDER BY most, time, id) - size_bytes AS before
    FROM worth
), gone AS (
    DELETE FROM captures_kepttokens k USING counted c
    WHERE k.id = c.id AND c.before < %(bytes)s RETURNING k.run_id, k.step, k.key
), blank AS (
    UPDATE captures_datumstat d SET block = NULL, "offset" = NULL, length = NULL, part = NULL
    FROM gone WHERE d.run_id = gone.run_id AND d.step = gone.step
)
SELECT key FROM gone
"""


def note(conn: Connection[Any], kept: Sequence[Kept]) -> None:
    """Note blocks that were written, in the transaction of the rows that name them."""
    if kept:
        conn.execute(
            _NOTE,
            (
                [one.run_id for one in kept],
                [one.step for one in kept],
                [one.key for one in kept],
                [one.size_bytes for one in kept],
            ),
        )


def thin(
    conn: Connection[Any],
    runs: Sequence[str],
    *,
    most_of_run: int = MOST_OF_RUN,
    most_of_team: int = MOST_OF_TEAM,
) -> None:
    """Let go of what these runs, and their teams, keep beyond a ceiling."""
    values = {"runs": list(runs), "run": most_of_run, "team": most_of_team}
    with conn.transaction():
        for run_id, team_id, too_many in conn.execute(_TOO_MUCH, values).fetchall():
            whose = "k.team_id = %(whose)s" if run_id is None else "k.run_id = %(whose)s"
            which = {"whose": run_id or team_id, "bytes": too_many, **_WORTH}
            gone = conn.execute(_OLDEST.format(whose=whose), which).fetchall()
            leftovers.leave(conn, *(key for (key,) in gone))
