"""How sessions end and what workers free then."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from psycopg import Connection

from checkpoints import leftovers, store
from operations import completions
from runs import listening

EXPIRES_AFTER_S = 600
ENDED_MESSAGE = "the session has ended before this was done"


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
    rows = conn.execute(
        f"""
        WITH expired AS (
            UPDATE runs_session SET ended_at = now(), end_reason = 'expired',
                end_detail = 'no heartbeat'
            WHERE ended_at IS NULL AND heard_at_s < {listening.NOW} - %s
            RETURNING id
        )
        SELECT DISTINCT b.pool FROM catalog_basemodel b WHERE b.id IN (
            SELECT base_model_id FROM runs_trainingrun r JOIN expired e ON e.id = r.session_id
            UNION
            SELECT base_model_id FROM runs_sampler s JOIN expired e ON e.id = s.session_id)
        """,
        (EXPIRES_AFTER_S,),
    ).fetchall()
    return [pool for (pool,) in rows]


def fail_session(conn: Connection, *, run_id: str, why: str) -> None:
    """End the session of a run that cannot go on; the first end of a session stands.

    `why` is what the session's users are told.
    """
    conn.execute(
        """
        UPDATE runs_session SET ended_at = now(), end_reason = 'failed', failed_run_id = %s,
            end_detail = %s
        WHERE id = (SELECT session_id FROM runs_trainingrun WHERE id = %s) AND ended_at IS NULL
        """,
        (run_id, why, run_id),
    )


def give_up_ended(conn: Connection, *, worker_id: uuid.UUID) -> list[str]:
    """Let go of a worker's runs whose session has ended; returns them.

    Comes before `release_ended`, in a transaction of its own: of several workers that hold runs of
    one session, the last to let go then sees that nobody holds any.
    """
    rows = conn.execute(
        """
        UPDATE runs_trainingrun r SET worker_id = NULL
        FROM runs_session s
        WHERE s.id = r.session_id AND s.ended_at IS NOT NULL AND r.worker_id = %s
        RETURNING r.id
        """,
        (worker_id,),
    )
    return [run_id for (run_id,) in rows]


def release_ended(conn: Connection, *, worker_id: uuid.UUID) -> list[Released]:
    """Fail what ended sessions still wait for and hand over what must be freed.

    A session whose runs another live worker holds is left to that worker.
    """
    with conn.transaction():
        sessions = conn.execute(
            """
            SELECT s.id FROM runs_session s
            WHERE s.ended_at IS NOT NULL AND s.released_at IS NULL AND NOT EXISTS (
                SELECT FROM runs_trainingrun r JOIN operations_worker w ON w.id = r.worker_id
                WHERE r.session_id = s.id AND w.id <> %s AND w.alive_until > now())
            ORDER BY s.ended_at LIMIT 20 FOR NO KEY UPDATE SKIP LOCKED
            """,
            (worker_id,),
        ).fetchall()
        return [_release(conn, session_id) for (session_id,) in sessions]


def _release(conn: Connection, session_id: str) -> Released:
    # waits for submits under way, which have a share in this lock: then all there is can be seen
    conn.execute("SELECT FROM runs_session WHERE id = %s FOR UPDATE", (session_id,))
    failed = conn.execute(
        """
        UPDATE operations_operation o SET state = 'failed', finished_at = now(),
            error_category = 'user', error = coalesce(
                (SELECT end_detail FROM runs_session
                 WHERE id = %(session)s AND end_reason = 'failed'), %(message)s)
        WHERE o.state IN ('queued', 'running') AND o.target IN (
            SELECT id FROM runs_trainingrun WHERE session_id = %(session)s
            UNION SELECT id FROM runs_sampler WHERE session_id = %(session)s)
        RETURNING o.target || ':' || o.seq, o.id, o.target, o.kind
        """,
        {"message": ENDED_MESSAGE, "session": session_id},
    ).fetchall()
    completions.number(conn, [(id_, target) for _, id_, target, kind in failed if kind == "sample"])
    conn.execute(
        """
        DELETE FROM operations_payload p USING operations_operation o
        WHERE p.operation_id = o.id AND o.target IN (
            SELECT id FROM runs_trainingrun WHERE session_id = %(session)s
            UNION SELECT id FROM runs_sampler WHERE session_id = %(session)s)
        """,
        {"session": session_id},
    )
    runs = conn.execute(
        """
        UPDATE runs_trainingrun SET worker_id = NULL, snapshot_key = NULL
        WHERE session_id = %s RETURNING id
        """,
        (session_id,),
    ).fetchall()
    samplers = conn.execute(
        "SELECT weights_key FROM runs_sampler WHERE session_id = %s AND ephemeral", (session_id,)
    ).fetchall()
    leftovers.leave(conn, *store.session_keys(session_id))
    leftovers.leave_unnamed(conn, store.saved_keys(session_id))
    conn.execute("UPDATE runs_session SET released_at = now() WHERE id = %s", (session_id,))
    return Released(
        session_id,
        [run_id for (run_id,) in runs],
        [key for (key,) in samplers if key],
        [request_id for request_id, *_ in failed],
    )
