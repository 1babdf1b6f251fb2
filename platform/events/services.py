"""Writing events, in the transaction of what they tell of, and announcing that there are some.

An announcement is sent once the transaction is committed, in one of its own that is not durable: a
NOTIFY inside takes a lock of all at commit. Readers look again anyway should it be lost.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from django.db import connection as orm_connection
from django.db import transaction as orm_transaction
from psycopg import Connection

from core import database, hub
from events.models import Kind

log = logging.getLogger(__name__)

# nothing is said but that there are new ones: whoever reads knows what it has seen
EVENTS = hub.Topic("tinsmith_events", lambda _: [("", "")])
MAX_TEXT = 500

_WRITE = """
INSERT INTO events_event (team_id, run_id, kind, about, data)
SELECT team, run, kind, about, data::jsonb
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[])
     WITH ORDINALITY AS given(team, run, kind, about, data, place)
ORDER BY place
"""
_ANNOUNCE = f"""
SELECT set_config('synchronous_commit', 'off', true), pg_notify('{EVENTS.channel}', '')
"""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be written; `run_id` as of the model."""

    kind: Kind
    about: str
    team_id: int
    run_id: str | None
    data: dict[str, Any]


def event(
    kind: Kind, about: str, *, team_id: int, run_id: str | None = None, **data: Any
) -> NewEvent:
    """An event with its data: what JSON has, and times."""
    return NewEvent(kind, about, team_id, run_id, data)


def cut(text: str | None) -> str | None:
    """A text of a user's, no longer than an event may have it."""
    return text if text is None or len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _values(new: Iterable[NewEvent]) -> tuple[list[Any], ...]:
    given = list(new)
    return (
        [one.team_id for one in given],
        [one.run_id for one in given],
        [str(one.kind) for one in given],
        [one.about for one in given],
        [msgspec.json.encode(one.data).decode() for one in given],
    )


async def write(conn: database.Connection, *new: NewEvent) -> None:
    """Write events in the transaction of what they tell of, after it: see `transaction`."""
    await conn.execute(_WRITE, _values(new))


def write_sync(conn: Connection[Any], *new: NewEvent) -> None:
    """The same of workers, who `announce` once they have committed."""
    if new:
        conn.execute(_WRITE, _values(new))


def write_with_orm(*new: NewEvent) -> None:
    """The same in Django's current transaction; announced when it is committed."""
    with orm_connection.cursor() as cursor:
        cursor.execute(_WRITE, _values(new))
    orm_transaction.on_commit(_announce_with_orm)


def announce(conn: Connection[Any]) -> None:
    """Wake the readers, after the commit."""
    conn.execute(_ANNOUNCE)


def _announce_with_orm() -> None:
    with orm_connection.cursor() as cursor:
        cursor.execute(_ANNOUNCE)


@asynccontextmanager
async def transaction() -> AsyncIterator[database.Connection]:
    """`database.transaction` for verbs that write events: readers are woken after the commit."""
    async with database.connection() as conn:
        async with conn.transaction():
            yield conn
        try:
            await conn.execute(_ANNOUNCE)
        except (psycopg.Error, OSError) as error:
            log.warning("new events were not announced: %s", error)
