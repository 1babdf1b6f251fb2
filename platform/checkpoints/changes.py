"""What an owner does to a checkpoint: delete it, publish it, give it a time to live."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from audit import services as audit
from checkpoints import undo
from checkpoints.services import LIVE, MAX_TTL_S, MIN_TTL_S
from core.database import Connection
from core.errors import BadRequest, NotFound
from core.ids import CheckpointPath
from events import services as events
from events.models import Kind

_OWN = f"c.run_id = %s AND c.segment = %s AND c.name = %s AND c.team_id = %s AND {LIVE}"


_DELETE = f"""
WITH gone AS (
    DELETE FROM checkpoints_checkpoint c WHERE {_OWN} RETURNING {undo.COLUMNS}
), noted AS (
    INSERT INTO checkpoints_leftover (key) SELECT key FROM gone ON CONFLICT DO NOTHING
)
INSERT INTO checkpoints_deleted ({undo.COLUMNS}, until)
SELECT {undo.COLUMNS}, least(now() + make_interval(hours => {undo.UNDO_HOURS}), expires_at)
FROM gone RETURNING id, deleted_at, until, size_bytes
"""


@dataclass(frozen=True, slots=True)
class Deletion:
    """What can be brought back by `id` until a moment, and how much room it takes until then."""

    id: int
    until: datetime
    size_bytes: int


async def delete(*, actor: Actor, address: CheckpointPath) -> Deletion:
    """Delete a checkpoint: it is gone at once, and can be brought back for a day (`undo`).

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: the actor's team has no such checkpoint.
    """
    rights.require(actor, Right.DELETE_CHECKPOINT)
    async with events.transaction() as conn:
        deleted_id, deleted_at, until, size_bytes = await _change(
            conn, _DELETE, (*address, actor.team_id), address
        )
        await audit.record(conn, actor, "checkpoint.deleted", str(address))
        told = {"deleted_id": deleted_id, "deleted_at": deleted_at, "until": until}
        await _tell(conn, actor, Kind.CHECKPOINT_DELETED, address, **told)
    return Deletion(deleted_id, until, size_bytes)


async def set_public(*, actor: Actor, address: CheckpointPath, public: bool) -> None:
    """Let everybody read a checkpoint, or its team alone again. Doing so twice is fine.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: the actor's team has no such checkpoint.
    """
    rights.require(actor, Right.PUBLISH_CHECKPOINT)
    async with events.transaction() as conn:
        (was_public,) = await _change(
            conn,
            f"SELECT c.public FROM checkpoints_checkpoint c WHERE {_OWN} FOR UPDATE",
            (*address, actor.team_id),
            address,
        )
        if was_public == public:
            return
        await conn.execute(
            f"UPDATE checkpoints_checkpoint c SET public = %s WHERE {_OWN}",
            (public, *address, actor.team_id),
        )
        kind = Kind.CHECKPOINT_PUBLISHED if public else Kind.CHECKPOINT_UNPUBLISHED
        await audit.record(conn, actor, kind.value, str(address))
        await _tell(conn, actor, kind, address)


async def set_ttl(*, actor: Actor, address: CheckpointPath, ttl_seconds: int | None) -> None:
    """Let a checkpoint expire so many seconds from now, or never.

    Raises:
        Forbidden: the actor's role does not suffice.
        BadRequest: fewer or more seconds than allowed.
        NotFound: the actor's team has no such checkpoint.
    """
    rights.require(actor, Right.EXPIRE_CHECKPOINT)
    check_ttl(ttl_seconds)
    async with events.transaction() as conn:
        (expires_at,) = await _change(
            conn,
            f"""
            UPDATE checkpoints_checkpoint c SET expires_at = now() + make_interval(secs => %s)
            WHERE {_OWN} RETURNING c.expires_at
            """,
            (ttl_seconds, *address, actor.team_id),
            address,
        )
        await audit.record(conn, actor, "checkpoint.ttl_set", str(address), ttl_seconds=ttl_seconds)
        await _tell(conn, actor, Kind.CHECKPOINT_TTL_SET, address, expires_at=expires_at)


def check_ttl(seconds: int | None) -> None:
    """Refuse a time to live that no checkpoint may have."""
    if seconds is not None and not MIN_TTL_S <= seconds <= MAX_TTL_S:
        raise BadRequest(f"ttl_seconds must be from {MIN_TTL_S} to {MAX_TTL_S}, not {seconds}")


async def _tell(
    conn: Connection, actor: Actor, kind: Kind, address: CheckpointPath, **data: Any
) -> None:
    told = events.event(kind, str(address), team_id=actor.team_id, run_id=address.run_id, **data)
    await events.write(conn, told)


async def _change(
    conn: Connection, statement: str, values: tuple[Any, ...], address: CheckpointPath
) -> tuple[Any, ...]:
    """The row that a statement touches; NotFound when there is none."""
    row = await (await conn.execute(statement, values)).fetchone()
    if row is None:
        raise NotFound(f"there is no checkpoint {address}")
    return row
