"""Forgetting events: pages read their state, so these serve who was away for a while."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

KEPT_DAYS = 7
MOST = 1_000_000
AT_ONCE = 5000
BATCHES_AT_ONCE = 10

# The number of the youngest transaction is noted in the same statement: whoever reads with an older
# cursor then learns that something is missing.
_FORGET = """
WITH oldest AS (
    SELECT id, created_at FROM events_event ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM events_event e USING oldest o
    WHERE e.id = o.id AND (o.created_at < now() - make_interval(days => %(days)s)
                           OR o.id <= (SELECT max(id) FROM events_event) - %(most)s)
    RETURNING e.xid
), noted AS (
    INSERT INTO events_forgotten (id, xid)
    SELECT 1, xid FROM gone ORDER BY xid DESC LIMIT 1
    ON CONFLICT (id) DO UPDATE SET xid = greatest(events_forgotten.xid, excluded.xid)
)
SELECT count(*) FROM gone
"""
# transactions that this server has yet to begin: the rows come from another one's backup
_FORGET_STRANGERS = """
DELETE FROM events_event WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
"""
_FORGET_STRANGE_NOTE = """
DELETE FROM events_forgotten WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
"""


def forget_old(
    conn: Connection[Any], *, days: int = KEPT_DAYS, most: int = MOST, batch: int = AT_ONCE
) -> int:
    """Delete events that are old or too many; returns how many.

    At most `BATCHES_AT_ONCE` transactions of `batch`: the rest waits for the next sweep.
    """
    conn.execute(_FORGET_STRANGERS)
    conn.execute(_FORGET_STRANGE_NOTE)
    forgotten = 0
    for _ in range(BATCHES_AT_ONCE):
        row = conn.execute(_FORGET, {"days": days, "most": most, "batch": batch}).fetchone()
        assert row is not None
        forgotten += row[0]
        if row[0] < batch:
            break
    return forgotten
