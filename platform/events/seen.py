"""What somebody has seen of a team: kept until they come back, so that they learn what is new."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from core import database
from events.cursors import Cursor, Snapshot

# what is longer ago than this before the moment of a cursor, the cursor has surely seen
LONGEST_TRANSACTION_S = 3600
MOST = 2000
Headlines = dict[str, tuple[str, int, float | None]]
"""Run id → the key, last step and value of its headline."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Up to where somebody has seen it, when that was, and how runs stood then."""

    cursor: Cursor
    at: datetime
    headlines: Headlines


@dataclass(frozen=True, slots=True)
class News:
    """An event that somebody who was away is told of."""

    kind: str
    run_id: str
    about: str
    data: dict[str, Any]
    at: datetime


_READ = "SELECT cursor, seen_at, headlines FROM events_seen WHERE user_id = %s AND team_id = %s"
_WRITE = """
INSERT INTO events_seen (user_id, team_id, cursor, seen_at, headlines)
VALUES (%(user)s, %(team)s, %(cursor)s, now(), %(headlines)s)
ON CONFLICT (user_id, team_id) DO UPDATE
    SET cursor = excluded.cursor, seen_at = excluded.seen_at, headlines = excluded.headlines
"""
# A restarted server numbers its transactions on, or anew after a crash: then time alone has to do.
_SINCE = """
SELECT kind, run_id, about, data, created_at FROM events_event
WHERE team_id = %(team)s AND kind IN ('run.created', 'run.ended', 'checkpoint.saved')
  AND run_id IS NOT NULL AND CASE WHEN %(same)s
      THEN created_at > %(at)s - make_interval(secs => %(longest)s)
           AND NOT pg_visible_in_snapshot(xid, %(seen)s::pg_snapshot)
      ELSE created_at > %(at)s END
  AND created_at > %(at)s - make_interval(secs => %(longest)s)
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""


async def read(conn: database.Connection, *, user_id: int, team_id: int) -> Seen | None:
    """What somebody has seen of a team; None: they have never been there."""
    row = await (await conn.execute(_READ, (user_id, team_id))).fetchone()
    if row is None:
        return None
    headlines = {run_id: (key, step, value) for run_id, (key, step, value) in row[2].items()}
    return Seen(Cursor.parse(row[0]), row[1], headlines)


async def write(
    conn: database.Connection, *, user_id: int, team_id: int, cursor: Cursor, headlines: Headlines
) -> None:
    """Note what somebody has seen. What was noted before and is later stands."""
    before = await read(conn, user_id=user_id, team_id=team_id)
    if before is not None and _is_later(before.cursor, cursor):
        return
    values = {
        "user": user_id,
        "team": team_id,
        "cursor": str(cursor),
        "headlines": Jsonb(headlines),
    }
    await conn.execute(_WRITE, values)


def _is_later(one: Cursor, other: Cursor) -> bool:
    same = one.server == other.server and one.seen != other.seen
    return same and other.seen.is_within(one.seen)


async def news(conn: database.Connection, *, team_id: int, seen: Seen, now: Cursor) -> list[News]:
    """What has happened in a team since, of runs and their checkpoints, newest first.

    Args:
        now: the cursor of somebody who has seen everything.
    """
    same = seen.cursor.server == now.server and _fits(seen.cursor.seen, now.seen)
    rows = await conn.execute(
        _SINCE,
        {
            "team": team_id,
            "same": same,
            "seen": str(seen.cursor.seen),
            "at": seen.at,
            "longest": LONGEST_TRANSACTION_S,
            "limit": MOST,
        },
    )
    return [News(*row) for row in await rows.fetchall()]


def _fits(seen: Snapshot, now: Snapshot) -> bool:
    """Whether a snapshot can be one of this server's past."""
    return seen.xmax <= now.xmax
