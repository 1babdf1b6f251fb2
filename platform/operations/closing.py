"""How the lanes of ended sessions are closed, let go of by their workers, and emptied.

In this order: closed with the session's end, so that nothing more comes in; let go of by every
worker that holds one; emptied once, when nobody holds any.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import Connection

from operations import completions, lanes

ENDED_MESSAGE = "the session has ended before this was done"

# A submit has a key share in its lane until it has committed. The lock waits for that, so that
# `empty`, which comes later, sees what was stored; who submits afterwards finds the lane closed.
# Samplers before runs: whoever finishes operations locks their lanes in that order, too.
CLOSE = """
WITH closing AS (
    SELECT target FROM operations_lane WHERE session_id = ANY(%(sessions)s)
    ORDER BY ordered, target FOR UPDATE
), closed AS (
    UPDATE operations_lane l SET closed_at = coalesce(l.closed_at, now())
    FROM closing WHERE l.target = closing.target
    RETURNING l.base_model_id
)
SELECT DISTINCT b.pool FROM closed JOIN catalog_basemodel b ON b.id = closed.base_model_id
"""

# for a WHERE over sessions `s`: whether another live worker still holds a lane of theirs
HELD_BY_ANOTHER = """EXISTS (
    SELECT FROM operations_lane l JOIN operations_worker w ON w.id = l.worker_id
    WHERE l.session_id = s.id AND w.id <> %(worker)s AND w.alive_until > now())"""

# by id, as whoever finishes them locks them
_FAIL_WHAT_WAITS = """
WITH waiting AS (
    SELECT o.id, l.ordered
    FROM operations_lane l JOIN operations_operation o ON o.target = l.target
    WHERE l.session_id = %(session)s AND o.state IN ('queued', 'running')
    ORDER BY o.id FOR NO KEY UPDATE OF o
)
UPDATE operations_operation o SET state = 'failed', error = %(why)s, error_category = 'user',
    finished_at = now()
FROM waiting WHERE o.id = waiting.id
RETURNING o.target || ':' || o.seq, o.id, o.target, waiting.ordered
"""
_DELETE_BODIES = """
DELETE FROM operations_payload p USING operations_operation o, operations_lane l
WHERE l.session_id = %(session)s AND o.target = l.target AND p.operation_id = o.id
"""
_LET_GO_OF_ALL = f"""
WITH {lanes.locked("l.session_id = %(session)s AND l.ordered")}
UPDATE operations_lane l SET worker_id = NULL, snapshot_key = NULL
WHERE {lanes.IS_LOCKED} RETURNING l.target
"""
_LET_GO = f"""
WITH {lanes.locked("l.worker_id = %s AND l.closed_at IS NOT NULL")}
UPDATE operations_lane l SET worker_id = NULL
WHERE {lanes.IS_LOCKED} RETURNING l.target
"""


@dataclass(frozen=True, slots=True)
class Emptied:
    """The runs of a session, and the requests that failed because it had ended."""

    run_ids: list[str]
    failed_requests: list[str]


def close(conn: Connection, *, session_ids: Iterable[str]) -> list[str]:
    """Let the lanes of sessions that have just ended take nothing more; returns their pools.

    Belongs into the transaction that ends them, after it: a run that was being made meanwhile is
    closed, too.
    """
    rows = conn.execute(CLOSE, {"sessions": list(session_ids)}).fetchall()
    return [pool for (pool,) in rows]


def let_go(conn: Connection, *, worker_id: uuid.UUID) -> list[str]:
    """Take closed lanes from a worker; returns their runs.

    Comes before `empty`, in a transaction of its own: of several workers that hold runs of one
    session, the last to let go then sees that nobody holds any.
    """
    return [run_id for (run_id,) in conn.execute(_LET_GO, (worker_id,))]


def empty(conn: Connection, *, session_id: str, why: str = ENDED_MESSAGE) -> Emptied:
    """Fail what an ended session's lanes still hold, and forget bodies and recovery copies.

    `why` is what they are told who wait. One session in a transaction: of two, what the second
    one's operations need could wait for the lanes of the first.
    """
    values = {"why": why, "session": session_id}
    failed = conn.execute(_FAIL_WHAT_WAITS, values).fetchall()
    completions.number(conn, [(id_, target) for _, id_, target, ordered in failed if not ordered])
    conn.execute(_DELETE_BODIES, values)
    held = conn.execute(_LET_GO_OF_ALL, values).fetchall()
    return Emptied([target for (target,) in held], [request_id for request_id, *_ in failed])
