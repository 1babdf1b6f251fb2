"""How checkpoints end when their time is over."""

from __future__ import annotations

from psycopg import Connection

from audit import services as audit
from core.ids import CheckpointPath
from events import services as events
from events.models import Kind

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


def expire(conn: Connection) -> None:
    """End the checkpoints whose time is over; their files are left to `leftovers.delete_due`."""
    with conn.transaction():
        told = []
        for team_id, *parts in conn.execute(_EXPIRE, (AT_ONCE,)).fetchall():
            address, kind = CheckpointPath(*parts), Kind.CHECKPOINT_EXPIRED
            audit.record_by_platform(conn, team_id=team_id, event=kind.value, target=str(address))
            told.append(events.event(kind, str(address), team_id=team_id, run_id=address.run_id))
        events.write_sync(conn, *told)
    if told:
        events.announce(conn)
