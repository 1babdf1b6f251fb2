"""Sessions that have ended, at once or some time ago."""

from __future__ import annotations

from datetime import timedelta

from psycopg import Connection

from core import database
from operations import closing


def end_sessions(
    *session_ids: str,
    conn: Connection | None = None,
    reason: str = "success",
    ago: timedelta = timedelta(),
) -> None:
    """End these sessions, or all there are, as their clients do; nothing is released yet.

    Args:
        conn: to do it in its transaction, if it has one; else over a connection of its own.
    """
    if conn is None:
        with database.connect() as own:
            return end_sessions(*session_ids, conn=own, reason=reason, ago=ago)
    with conn.transaction():
        ended = conn.execute(
            """
            UPDATE runs_session SET ended_at = now() - %(ago)s, end_reason = %(reason)s
            WHERE %(ids)s::text[] = '{}' OR id = ANY(%(ids)s) RETURNING id
            """,
            {"ago": ago, "reason": reason, "ids": list(session_ids)},
        ).fetchall()
        closing.close(conn, session_ids=[session_id for (session_id,) in ended])
    return None
