"""Reading events after a cursor: what is visible now and was not when the cursor was written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import database
from events.cursors import Cursor, Snapshot

AT_ONCE = 500


class StartAfresh(Exception):
    """What happened after a cursor is not known any more, or not of this server."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as readers have it."""

    id: int
    xid: int
    team_id: int
    run_id: str | None
    kind: str
    about: str
    data: dict[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Look:
    """What was found, in order, and the cursor behind it; `is_all`: there was no more then."""

    events: list[Happened]
    cursor: Cursor
    is_all: bool


_NOW = """
SELECT pg_current_snapshot() AS now,
       extract(epoch FROM pg_postmaster_start_time())::bigint AS server,
       coalesce((SELECT xid FROM events_forgotten), '0'::xid8) AS forgotten
"""
# What bears a number that this server has not given yet comes from another one's backup. Which
# index is right, `scope` decides.
_READ = """
WITH look AS (%(now)s)
SELECT look.now::text, look.server, look.forgotten::text::bigint, found.*
FROM look LEFT JOIN LATERAL (
    SELECT e.id, e.xid::text::bigint, e.team_id, e.run_id, e.kind, e.about, e.data, e.created_at
    FROM events_event e
    WHERE %(scope)s
      AND e.xid >= pg_snapshot_xmin(%%(seen)s::pg_snapshot)
      AND NOT pg_visible_in_snapshot(e.xid, %%(seen)s::pg_snapshot)
      AND pg_visible_in_snapshot(e.xid, coalesce(%%(reading)s::pg_snapshot, look.now))
      AND e.id > %%(at)s
    ORDER BY e.id LIMIT %%(limit)s
) found ON true ORDER BY found.id
"""


async def current(conn: database.Connection) -> Cursor:
    """The cursor of somebody who has seen everything."""
    row = await (await conn.execute(_NOW)).fetchone()
    assert row is not None
    return Cursor(row[1], Snapshot.parse(row[0]))


async def read(
    conn: database.Connection,
    cursor: Cursor,
    *,
    team_id: int | None = None,
    run_id: str | None = None,
    until: Cursor | None = None,
    limit: int = AT_ONCE,
) -> Look:
    """What has happened after a cursor, of everybody, a team, or one of its runs.

    Args:
        until: a later cursor up to whose `seen` to read, not further.

    Raises:
        StartAfresh: some of it may have been deleted, or the server is another one now.
    """
    scope = "true" if team_id is None else "e.team_id = %(team)s"
    scope += "" if run_id is None else " AND e.run_id = %(run)s"
    reading = cursor.reading or (until.seen if until is not None else None)
    rows = await (
        await conn.execute(
            _READ % {"now": _NOW, "scope": scope},
            {
                "team": team_id,
                "run": run_id,
                "seen": str(cursor.seen),
                "reading": None if reading is None else str(reading),
                "at": cursor.at,
                "limit": limit,
            },
            # a plan made without knowing how little is new would read the table from its beginning
            prepare=False,
        )
    ).fetchall()
    now, server, forgotten = rows[0][:3]
    _require_known(cursor, Snapshot.parse(now), server, forgotten)
    reading = reading or Snapshot.parse(now)
    events = [Happened(*row[3:]) for row in rows if row[3] is not None]
    if len(events) < limit:
        return Look(events, Cursor(server, reading), cursor.reading is None)
    return Look(events, Cursor(server, cursor.seen, reading, events[-1].id), False)


def _require_known(cursor: Cursor, now: Snapshot, server: int, forgotten: int) -> None:
    newest = (cursor.reading or cursor.seen).xmax
    if cursor.server != server or newest > now.xmax or cursor.seen.xmin <= forgotten:
        raise StartAfresh
