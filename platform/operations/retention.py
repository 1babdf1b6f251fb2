"""Forgetting what operations gave, some days after their session has ended.

Bodies and results are what takes room. The operations themselves stay, for traces tell of them, as
does what they used: that stands in the ledger.
"""

from __future__ import annotations

from django.conf import settings
from psycopg import Connection

BATCHES_AT_ONCE = 10
SESSIONS_AT_ONCE = 20
OPERATIONS_AT_ONCE = 2000

# only what workers have let go of: until then an operation may still be given a result
_DUE = """
SELECT id FROM runs_session
WHERE ended_at < now() - make_interval(days => %s)
  AND released_at IS NOT NULL AND results_forgotten_at IS NULL
ORDER BY ended_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""

_FORGET = """
WITH old AS (
    SELECT o.id FROM operations_operation o
    WHERE o.target IN (
            SELECT id FROM runs_trainingrun WHERE session_id = ANY(%(sessions)s)
            UNION ALL SELECT id FROM runs_sampler WHERE session_id = ANY(%(sessions)s))
      AND (EXISTS (SELECT FROM operations_result r WHERE r.operation_id = o.id)
           OR EXISTS (SELECT FROM operations_payload p WHERE p.operation_id = o.id))
    LIMIT %(limit)s
), results AS (
    DELETE FROM operations_result r USING old WHERE r.operation_id = old.id
), payloads AS (
    DELETE FROM operations_payload p USING old WHERE p.operation_id = old.id
)
SELECT count(*) FROM old
"""


def forget_results(conn: Connection) -> int:
    """Delete results that were kept long enough; returns of how many operations.

    At most `BATCHES_AT_ONCE` transactions of `OPERATIONS_AT_ONCE`: the rest waits for the next
    sweep.
    """
    forgotten = 0
    for _ in range(BATCHES_AT_ONCE):
        batch = _forget_batch(conn)
        if batch is None:
            break
        forgotten += batch
    return forgotten


def _forget_batch(conn: Connection) -> int | None:
    """Delete some results; None when nothing is due. Sessions that have more stay due."""
    with conn.transaction():
        due = conn.execute(_DUE, (settings.RESULTS_KEPT_DAYS, SESSIONS_AT_ONCE)).fetchall()
        if not due:
            return None
        sessions = [session_id for (session_id,) in due]
        values = {"sessions": sessions, "limit": OPERATIONS_AT_ONCE}
        row = conn.execute(_FORGET, values).fetchone()
        assert row is not None
        if row[0] < OPERATIONS_AT_ONCE:
            conn.execute(
                "UPDATE runs_session SET results_forgotten_at = now() WHERE id = ANY(%s)",
                (sessions,),
            )
    return int(row[0])


def missing_result(request_id: str) -> str:
    """What to tell whoever asks for a result that was there once."""
    return (
        f"the result of {request_id} is no longer kept: results are deleted when their client "
        f"says that it has them, or {settings.RESULTS_KEPT_DAYS} days after their session has ended"
    )
