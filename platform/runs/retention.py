"""Forgetting what the operations of a session gave, some days after it has ended."""

from __future__ import annotations

from django.conf import settings
from psycopg import Connection

from operations import retention

BATCHES_AT_ONCE = 10
SESSIONS_AT_ONCE = 20

# only what workers have let go of: until then an operation may still be given a result
_DUE = """
SELECT id FROM runs_session
WHERE ended_at < now() - make_interval(days => %s)
  AND released_at IS NOT NULL AND results_forgotten_at IS NULL
ORDER BY ended_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


def forget_results(conn: Connection) -> int:
    """Delete results that were kept long enough; returns of how many operations.

    At most `BATCHES_AT_ONCE` transactions of `retention.OPERATIONS_AT_ONCE`: the rest waits for the
    next sweep.
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
        forgotten = retention.forget(conn, session_ids=sessions)
        if forgotten < retention.OPERATIONS_AT_ONCE:
            conn.execute(
                "UPDATE runs_session SET results_forgotten_at = now() WHERE id = ANY(%s)",
                (sessions,),
            )
    return forgotten
