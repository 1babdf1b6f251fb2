"""How a run comes back after a crash: what is to be done again, and how often that failed.

A run is `restoring` from its adoption until its worker says that it is where the log says it is. If
the worker dies meanwhile, the run has one more of `restore_deaths` to its name, and is a suspect
from two on, like an operation (claims.py). What fails for a passing reason is tried again later.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import class_row

from operations.claims import AdoptedRun, Claimed

# so often in a row a run is tried to be restored; the pauses double from the first to the longest
TRIES = 10
FIRST_PAUSE_S = 4
LONGEST_PAUSE_S = 120


@dataclass(frozen=True, slots=True)
class Replayed(Claimed):
    """A finished operation to be done again. `kept`: its body is there."""

    kept: bool = True


# how the error of an optimizer step begins that was not taken, but dropped the gradient
DIVERGED = "The run diverged: "

_REPLAY = """
WITH ahead AS (
    SELECT o.id, o.target, o.seq, o.team_id, o.deaths,
           CASE WHEN o.kind = 'optim_step' AND o.state = 'failed' THEN 'diverged' ELSE o.kind END
               AS kind,
           sum(o.cost) OVER (ORDER BY o.seq) - o.cost AS cost_before
    FROM operations_operation o
    WHERE o.target = %(run)s AND o.seq > %(after)s AND o.seq <= %(upto)s
      AND (o.kind = 'missing'
           OR o.kind = 'optim_step' AND starts_with(o.error, %(diverged)s)
           OR o.state = 'done'
           AND o.kind IN ('create_run', 'create_run_from_checkpoint', 'forward_backward',
                          'optim_step', 'load_weights'))
    ORDER BY o.seq LIMIT %(limit)s
)
SELECT a.id, a.target, a.seq, a.kind, a.team_id, a.deaths,
       coalesce(p.content_type, '') AS content_type, coalesce(p.body, '') AS body,
       p.operation_id IS NOT NULL AS kept
FROM ahead a LEFT JOIN operations_payload p ON p.operation_id = a.id
WHERE a.cost_before < %(max_bytes)s ORDER BY a.seq
"""


def replayable(
    conn: Connection, run: AdoptedRun, *, after: int, limit: int, max_bytes: int
) -> list[Replayed]:
    """The next finished operations whose effect the run's snapshot does not hold, in order.

    Those that failed have none, but for `missing` ones, and for optimizer steps that diverged: they
    come as `diverged`.

    Args:
        after: the last one that has been done again, or the snapshot's. limit: at most so many.
        max_bytes: stop once their bodies reach this; a single larger one is still given.
    """
    values = {
        "run": run.id,
        "after": after,
        "upto": run.applied_seq,
        "limit": limit,
        "max_bytes": max_bytes,
        "diverged": DIVERGED,
    }
    with conn.cursor(row_factory=class_row(Replayed)) as cursor:
        return cursor.execute(_REPLAY, values, binary=True).fetchall()


def hold(conn: Connection, *, operation_id: int, key: str) -> None:
    """Keep files in the store as long as the operation, which reads them, may be done again."""
    conn.execute(
        "UPDATE operations_payload SET reads = %s WHERE operation_id = %s", (key, operation_id)
    )


def held(conn: Connection, *, operation_id: int) -> str | None:
    """The key of the files that an operation holds, if any."""
    row = conn.execute(
        "SELECT reads FROM operations_payload WHERE operation_id = %s", (operation_id,)
    ).fetchone()
    return row[0] if row is not None else None


def creation_error(conn: Connection, *, run_id: str) -> str | None:
    """Why a run could not be created; None if it was."""
    row = conn.execute(
        "SELECT error FROM operations_operation WHERE target = %s AND seq = 0 AND state = 'failed'",
        (run_id,),
    ).fetchone()
    return row[0] if row is not None else None


def restored(conn: Connection, *, worker_id: uuid.UUID, run_id: str) -> None:
    """Note that a run is where the log says it is."""
    conn.execute(
        """
        UPDATE operations_lane SET restoring = false, restore_deaths = 0, restore_failures = 0,
            restore_after = NULL
        WHERE target = %s AND worker_id = %s
        """,
        (run_id, worker_id),
    )


def put_off(conn: Connection, *, worker_id: uuid.UUID, run_id: str) -> bool:
    """Have a run restored later, by whichever worker; False once that was tried often enough.

    The caller still has to give the run back.
    """
    row = conn.execute(
        """
        UPDATE operations_lane SET restore_failures = restore_failures + 1,
            restore_after = now() + make_interval(
                secs => least(%s, %s * power(2, restore_failures)))
        WHERE target = %s AND worker_id = %s RETURNING restore_failures
        """,
        (LONGEST_PAUSE_S, FIRST_PAUSE_S, run_id, worker_id),
    ).fetchone()
    return row is None or row[0] < TRIES
