"""What workers do about checkpoints from time to time: end those past their time, delete files."""

from __future__ import annotations

from psycopg import Connection

from audit import services as audit
from checkpoints import store
from core.ids import CheckpointPath

AT_ONCE = 200

_EXPIRE = """
WITH expired AS (
    SELECT id FROM checkpoints_checkpoint WHERE expires_at <= now()
    ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM checkpoints_checkpoint c USING expired e WHERE c.id = e.id
    RETURNING c.team_id, c.run_id, c.segment, c.name, c.key
), kept AS (
    INSERT INTO checkpoints_leftover (key) SELECT key FROM gone ON CONFLICT DO NOTHING
)
SELECT team_id, run_id, segment, name FROM gone
"""

_DUE = """
SELECT l.key FROM checkpoints_leftover l
WHERE l.not_before <= now()
  AND NOT EXISTS (SELECT FROM checkpoints_checkpoint c WHERE c.key = l.key)
  AND NOT EXISTS (SELECT FROM runs_sampler s JOIN runs_session e ON e.id = s.session_id
                  WHERE s.weights_key = l.key AND e.released_at IS NULL)
ORDER BY l.not_before LIMIT %s FOR UPDATE SKIP LOCKED
"""


def sweep(conn: Connection) -> list[str]:
    """End expired checkpoints and delete files that nobody needs; returns the keys deleted."""
    with conn.transaction():
        for team_id, *address in conn.execute(_EXPIRE, (AT_ONCE,)).fetchall():
            audit.record_by_platform(
                conn,
                team_id=team_id,
                event="checkpoint.expired",
                target=str(CheckpointPath(*address)),
            )
    with conn.transaction():
        keys = [key for (key,) in conn.execute(_DUE, (AT_ONCE,)).fetchall()]
        for key in keys:
            store.delete(key)
        # gone from the table only with the files: a crash in between deletes them again
        if keys:
            conn.execute("DELETE FROM checkpoints_leftover WHERE key = ANY(%s)", (keys,))
    return keys
