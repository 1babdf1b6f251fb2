"""Bringing deleted checkpoints back, ending the time for that, and the sweep that ends it.

A deletion moves the row into a table of its own and notes its files as left over, so from that
moment nothing finds the checkpoint. The sweep of leftovers spares files while a row there names
them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from audit import services as audit
from checkpoints import store
from checkpoints.leftovers import UNNEEDED
from checkpoints.services import LIVE
from core import database, disk
from core.errors import Conflict, NotFound
from core.ids import CheckpointPath
from events import services as events
from events.models import Kind
from events.services import NewEvent

log = logging.getLogger(__name__)

UNDO_HOURS = 24
AT_ONCE = 200

# a row as it was, in both tables
COLUMNS = """id, run_id, team_id, segment, name, key, size_bytes, encrypted, user_metadata, public,
             created_at, expires_at, step"""


@dataclass(frozen=True, slots=True)
class DeletedCheckpoint:
    """A checkpoint that can be brought back until a moment."""

    id: int
    run_id: str
    segment: str
    name: str
    size_bytes: int
    encrypted: bool
    created_at: datetime
    expires_at: datetime | None
    deleted_at: datetime
    until: datetime

    @property
    def path(self) -> str:
        """The `tinker://` address it had."""
        return str(CheckpointPath(self.run_id, self.segment, self.name))


_LISTED = """
SELECT id, run_id, segment, name, size_bytes, encrypted, created_at, expires_at, deleted_at, until
FROM checkpoints_deleted
WHERE team_id = %(team)s AND until > now() AND (%(run)s::text IS NULL OR run_id = %(run)s)
ORDER BY deleted_at DESC, id DESC LIMIT %(limit)s
"""
_TAKE = f"""
DELETE FROM checkpoints_deleted WHERE id = %s AND team_id = %s AND until > now()
RETURNING {COLUMNS}
"""
_TAKEN = f"""
SELECT c.id, c.key, {LIVE} FROM checkpoints_checkpoint c
WHERE c.run_id = %s AND c.segment = %s AND c.name = %s FOR UPDATE
"""
_BRING_BACK = f"""
INSERT INTO checkpoints_checkpoint ({COLUMNS}, restored_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now()) ON CONFLICT DO NOTHING
RETURNING id
"""
_OVER = """
DELETE FROM checkpoints_deleted WHERE id IN (
    SELECT id FROM checkpoints_deleted WHERE until <= now()
    ORDER BY until LIMIT %s FOR UPDATE SKIP LOCKED)
"""
_OLDEST = """
DELETE FROM checkpoints_deleted WHERE id IN (
    SELECT id FROM checkpoints_deleted ORDER BY deleted_at LIMIT %s FOR UPDATE SKIP LOCKED)
RETURNING id, team_id, run_id, segment, name
"""
_DELETE_NOTE = f"""
DELETE FROM checkpoints_leftover WHERE key = (
    SELECT l.key FROM checkpoints_leftover l WHERE l.key = %s AND {UNNEEDED}
    FOR UPDATE OF l SKIP LOCKED)
RETURNING key
"""


async def list_deleted(
    *, actor: Actor, run_id: str | None, limit: int
) -> tuple[list[DeletedCheckpoint], int]:
    """What of a team's (or of one run of it) can be brought back, last deleted first; how many."""
    values = {"team": actor.team_id, "run": run_id, "limit": limit}
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(DeletedCheckpoint)) as cursor,
    ):
        await cursor.execute(_LISTED, values)
        found = await cursor.fetchall()
        counted = await conn.execute(
            """
            SELECT count(*) FROM checkpoints_deleted WHERE team_id = %(team)s AND until > now()
              AND (%(run)s::text IS NULL OR run_id = %(run)s)
            """,
            values,
        )
        row = await counted.fetchone()
    assert row is not None
    return found, row[0]


async def restore(*, actor: Actor, deleted_id: int) -> CheckpointPath:
    """Bring a deleted checkpoint back exactly as it was; its storage counts again from now on.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: the team has deleted no such checkpoint, or too long ago.
        Conflict: its address has been taken since.
    """
    rights.require(actor, Right.RESTORE_CHECKPOINT)
    async with events.transaction() as conn:
        row = await _take(conn, actor, deleted_id)
        address = CheckpointPath(row["run_id"], row["segment"], row["name"])
        cursor = await conn.execute(_TAKEN, tuple(address))
        taken = await cursor.fetchone()
        if taken is not None and taken[2]:
            raise Conflict(_taken_words(address))
        if taken is not None:
            # past its time, and only the sweep has not been there yet
            await conn.execute("DELETE FROM checkpoints_checkpoint WHERE id = %s", (taken[0],))
            await _leave(conn, taken[1])
        values = [Jsonb(one) if isinstance(one, dict) else one for one in row.values()]
        back = await (await conn.execute(_BRING_BACK, values)).fetchone()
        if back is None:
            raise Conflict(_taken_words(address))
        await conn.execute("DELETE FROM checkpoints_leftover WHERE key = %s", (row["key"],))
        await audit.record(conn, actor, Kind.CHECKPOINT_RESTORED.value, str(address))
        await events.write(conn, _restored(address, row))
    return address


async def purge(*, actor: Actor, deleted_id: int) -> CheckpointPath:
    """Give up bringing a deleted checkpoint back, which frees its room at once.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: the team has deleted no such checkpoint, or too long ago.
    """
    rights.require(actor, Right.DELETE_CHECKPOINT)
    async with events.transaction() as conn:
        row = await _take(conn, actor, deleted_id)
        address = CheckpointPath(row["run_id"], row["segment"], row["name"])
        await audit.record(conn, actor, Kind.CHECKPOINT_PURGED.value, str(address))
        await events.write(conn, _purged(address, actor.team_id, deleted_id))
    try:
        await _delete_files(row["key"])
    except OSError as error:
        # the note stays with the transaction that was rolled back: the workers' sweep tries again
        log.error("%s could not be deleted: %s", row["key"], error)
    return address


async def _take(conn: database.Connection, actor: Actor, deleted_id: int) -> dict[str, Any]:
    """The row of a deleted checkpoint by column, which is no longer among the deleted ones."""
    cursor = await conn.execute(_TAKE, (deleted_id, actor.team_id))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound(
            f"there is no deleted checkpoint {deleted_id} that can be brought back; "
            f"that is possible for {UNDO_HOURS} hours"
        )
    return dict(zip([name.strip() for name in COLUMNS.split(",")], row, strict=True))


async def _leave(conn: database.Connection, key: str) -> None:
    await conn.execute(
        "INSERT INTO checkpoints_leftover (key) VALUES (%s) ON CONFLICT DO NOTHING", (key,)
    )


async def _delete_files(key: str) -> None:
    """Delete files now rather than in the workers' next sweep, unless they are needed."""
    async with database.transaction() as conn:
        row = await (await conn.execute(_DELETE_NOTE, (key,))).fetchone()
        if row is not None:
            await asyncio.to_thread(store.delete, key)


def _taken_words(address: CheckpointPath) -> str:
    return f"{address} has been saved anew; delete that first to bring the old one back"


def _restored(address: CheckpointPath, row: dict[str, Any]) -> NewEvent:
    names = ("segment", "name", "size_bytes", "encrypted", "created_at", "expires_at", "step")
    told = {name: row[name] for name in (*names, "public")}
    return events.event(
        Kind.CHECKPOINT_RESTORED,
        str(address),
        team_id=row["team_id"],
        run_id=address.run_id,
        deleted_id=row["id"],
        **told,
    )


def _purged(address: CheckpointPath, team_id: int, deleted_id: int) -> NewEvent:
    return events.event(
        Kind.CHECKPOINT_PURGED,
        str(address),
        team_id=team_id,
        run_id=address.run_id,
        deleted_id=deleted_id,
    )


def end_due(conn: Connection) -> None:
    """Forget the deleted checkpoints whose time is over, and all where the disk is nearly full.

    Their files are left to `leftovers.delete_due`.
    """
    conn.execute(_OVER, (AT_ONCE,))
    if disk.is_scarce():
        _make_room(conn)


def _make_room(conn: Connection) -> None:
    """End the time of those that were deleted first, which is told and stands in the audit log."""
    with conn.transaction():
        told: Sequence[NewEvent] = [
            _purged(CheckpointPath(*parts), team_id, deleted_id)
            for deleted_id, team_id, *parts in conn.execute(_OLDEST, (AT_ONCE,)).fetchall()
        ]
        for one in told:
            audit.record_by_platform(
                conn,
                team_id=one.team_id,
                event=one.kind.value,
                target=one.about,
                reason="the disk is nearly full",
            )
        events.write_sync(conn, *told)
    if told:
        log.warning("the disk is nearly full: %d deleted checkpoints are given up", len(told))
        events.announce(conn)
