"""How sessions end and what workers free then."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from psycopg import Connection

from checkpoints import leftovers, store
from events import services as events
from operations import closing
from runs import listening, telling

EXPIRES_AFTER_S = 600
AT_ONCE = 20

# Whoever ends a session locks its row FOR UPDATE: that waits for those who make something in it,
# and closes what they made. Not so the release, for one that finishes a save of an ended session
# has the operation that the release waits for, and looks at the session after that.
_TO_RELEASE = f"""
SELECT s.id, CASE WHEN s.end_reason = 'failed' THEN s.end_detail END
FROM runs_session s
WHERE s.ended_at IS NOT NULL AND s.released_at IS NULL AND NOT {closing.HELD_BY_ANOTHER}
ORDER BY s.ended_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""


@dataclass(frozen=True, slots=True)
class Released:
    """What an ended session held on a worker, or in the store."""

    session_id: str
    run_ids: list[str]
    sampler_keys: list[str]
    failed_requests: list[str]


def expire_sessions(conn: Connection) -> list[str]:
    """End the sessions whose client has not been heard of; returns the pools concerned.

    Only time in which somebody listened counts as silence.
    """
    with conn.transaction():
        expired = conn.execute(
            f"""
            WITH silent AS (
                SELECT id FROM runs_session
                WHERE ended_at IS NULL AND heard_at_s < {listening.NOW} - %s
                FOR UPDATE SKIP LOCKED
            )
            UPDATE runs_session s SET ended_at = now(), end_reason = 'expired',
                end_detail = 'no heartbeat'
            FROM silent WHERE s.id = silent.id
            RETURNING s.id
            """,
            (EXPIRES_AFTER_S,),
        ).fetchall()
        ended = [session_id for (session_id,) in expired]
        pools = _close(conn, ended)
    if ended:
        events.announce(conn)
    return pools


def fail_session(conn: Connection, *, run_id: str, why: str) -> None:
    """End the session of a run that cannot go on; the first end of a session stands.

    `why` is what the session's users are told.
    """
    with conn.transaction():
        failed = conn.execute(
            """
            WITH failing AS (
                SELECT s.id FROM runs_session s JOIN runs_trainingrun r ON r.session_id = s.id
                WHERE r.id = %(run)s AND s.ended_at IS NULL FOR UPDATE OF s
            )
            UPDATE runs_session s SET ended_at = now(), end_reason = 'failed',
                failed_run_id = %(run)s, end_detail = %(why)s
            FROM failing WHERE s.id = failing.id
            RETURNING s.id
            """,
            {"run": run_id, "why": why},
        ).fetchall()
        _close(conn, [session_id for (session_id,) in failed])
    if failed:
        events.announce(conn)


def _close(conn: Connection, session_ids: list[str]) -> list[str]:
    """Close and tell of sessions that have just been ended; returns the pools concerned."""
    if not session_ids:
        return []
    pools = closing.close(conn, session_ids=session_ids)
    ended = conn.execute(telling.ENDED, (session_ids,)).fetchall()
    events.write_sync(conn, *telling.sessions_ended(ended))
    return pools


def release_ended(conn: Connection, *, worker_id: uuid.UUID) -> list[Released]:
    """Fail what ended sessions still wait for and hand over what must be freed.

    At most `AT_ONCE`. A session whose runs another live worker holds is left to that worker.
    """
    released: list[Released] = []
    while len(released) < AT_ONCE:
        with conn.transaction():
            found = conn.execute(_TO_RELEASE, {"worker": worker_id}).fetchone()
            if found is None:
                break
            released.append(_release(conn, *found))
    return released


def _release(conn: Connection, session_id: str, why: str | None) -> Released:
    emptied = closing.empty(conn, session_id=session_id, why=why or closing.ENDED_MESSAGE)
    samplers = conn.execute(
        "SELECT weights_key FROM runs_sampler WHERE session_id = %s AND ephemeral", (session_id,)
    ).fetchall()
    leftovers.leave(conn, *store.session_keys(session_id))
    leftovers.leave_unnamed(conn, store.saved_keys(session_id))
    conn.execute("UPDATE runs_session SET released_at = now() WHERE id = %s", (session_id,))
    return Released(
        session_id,
        emptied.run_ids,
        [key for (key,) in samplers if key],
        emptied.failed_requests,
    )
