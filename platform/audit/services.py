"""Writing the audit log, always in the transaction of what it tells of, and reading a day of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol

from psycopg import AsyncConnection, Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from audit.models import Entry
from core import database

MAX_LISTED = 10_000
# the wire's groups, by the beginnings of our events
GROUPS = {
    "checkpoints": ("checkpoint",),
    "projects": ("project",),
    "teams": ("team", "membership", "api_key"),
    "organizations": ("team", "membership", "api_key"),
}
_INSERT = """
INSERT INTO audit_entry (team_id, key_id, user_id, event, target, details)
VALUES (%s, %s, %s, %s, %s, %s)
"""


class Actor(Protocol):
    """Who did it: somebody for a team, with a key or as a person (`accounts.actors.Actor`)."""

    @property
    def team_id(self) -> int:
        """The team in whose log it stands."""

    @property
    def key_id(self) -> int | None:
        """The key it was done with, if any."""

    @property
    def user_id(self) -> int | None:
        """The person who did it, if it was one."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as listings show it."""

    created_at: datetime
    event: str
    target: str
    key_id: int | None
    user_id: int | None
    details: dict[str, Any]


async def record(
    conn: AsyncConnection[Any], actor: Actor, event: str, target: str, **details: Any
) -> None:
    """Note what an actor does, in the transaction that does it."""
    values = (actor.team_id, actor.key_id, actor.user_id, event, target, Jsonb(details))
    await conn.execute(_INSERT, values)


def record_by_platform(
    conn: Connection[Any], *, team_id: int, event: str, target: str, **details: Any
) -> None:
    """Note what a worker does with a team's things, in the transaction that does it."""
    conn.execute(_INSERT, (team_id, None, None, event, target, Jsonb(details)))


def record_with_orm(
    *, team_id: int, event: str, target: str, by: Actor | None, **details: Any
) -> None:
    """Note what somebody does (None: the platform itself), in Django's current transaction."""
    Entry.objects.create(
        team_id=team_id,
        key_id=by.key_id if by else None,
        user_id=by.user_id if by else None,
        event=event,
        target=target,
        details=details,
    )


def record_of_installation(*, event: str, target: str, **details: Any) -> None:
    """Note what concerns no team, such as signing in to the admin, in Django's transaction."""
    Entry.objects.create(event=event, target=target, details=details)


async def list_day(*, team_id: int, day: date, group: str | None) -> list[Recorded]:
    """A UTC day of a team's log, oldest first; of a fuller day the last `MAX_LISTED` entries.

    Args:
        group: one of `GROUPS`; None: everything.
    """
    start = datetime.combine(day, time.min, UTC)
    resources = list(GROUPS[group]) if group is not None else None
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(Recorded)) as cursor,
    ):
        await cursor.execute(
            """
            SELECT created_at, event, target, key_id, user_id, details FROM audit_entry
            WHERE team_id = %(team)s AND created_at >= %(start)s AND created_at < %(end)s
              AND (%(resources)s::text[] IS NULL
                   OR split_part(event, '.', 1) = ANY(%(resources)s))
            ORDER BY created_at DESC, id DESC LIMIT %(limit)s
            """,
            {
                "team": team_id,
                "start": start,
                "end": start + timedelta(days=1),
                "resources": resources,
                "limit": MAX_LISTED,
            },
        )
        found = await cursor.fetchall()
    return found[::-1]
