"""A checkpoint's copy: real files of its own, and its row."""

from __future__ import annotations

import asyncio

from psycopg.types.json import Jsonb

from accounts.actors import Actor
from checkpoints import store
from checkpoints.services import CheckpointInfo, saved
from core import database
from core.database import Connection
from core.errors import NotFound
from core.ids import CheckpointPath
from events import services as events

# files whose copying was cut short by a crash are deleted after this long
GIVE_UP_AFTER_S = 3600


async def find_path(*, actor: Actor, idempotency_key: str) -> str | None:
    """Where the copy is that a request made before, sent again now."""
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                "SELECT path FROM checkpoints_copy WHERE team_id = %s AND idempotency_key = %s",
                (actor.team_id, idempotency_key),
            )
        ).fetchone()
    return row[0] if row is not None else None


async def copy_files(source: str, target: str) -> None:
    """Copy files that the workers' sweep deletes, should the rows about them never come.

    Raises:
        NotFound: the files are gone.
    """
    async with database.connection() as conn:
        await conn.execute(
            """
            INSERT INTO checkpoints_leftover (key, not_before)
            VALUES (%s, now() + make_interval(secs => %s))
            """,
            (target, GIVE_UP_AFTER_S),
        )
    try:
        await asyncio.to_thread(store.copy, source, target)
    except OSError:
        raise NotFound("the files of the checkpoint are gone") from None


async def take_path(
    conn: Connection, *, actor: Actor, idempotency_key: str, address: CheckpointPath
) -> bool:
    """Note where the copy of a request goes; False when the same request was faster."""
    first = await conn.execute(
        """
        INSERT INTO checkpoints_copy (team_id, idempotency_key, path) VALUES (%s, %s, %s)
        ON CONFLICT DO NOTHING
        """,
        (actor.team_id, idempotency_key, str(address)),
    )
    return bool(first.rowcount)


async def enter(
    conn: Connection,
    *,
    actor: Actor,
    source: CheckpointInfo,
    address: CheckpointPath,
    key: str,
    ttl_seconds: int | None,
) -> None:
    """Enter copied files as a checkpoint of a run that the same transaction has made."""
    cursor = await conn.execute(
        """
        WITH named AS (DELETE FROM checkpoints_leftover WHERE key = %(key)s)
        INSERT INTO checkpoints_checkpoint
            (run_id, team_id, segment, name, key, size_bytes, encrypted, user_metadata, expires_at)
        VALUES (%(run)s, %(team)s, %(segment)s, %(name)s, %(key)s, %(size)s, %(encrypted)s,
                %(metadata)s, now() + make_interval(secs => %(ttl)s))
        RETURNING team_id, created_at, expires_at, step
        """,
        {
            "run": address.run_id,
            "team": actor.team_id,
            "segment": address.segment,
            "name": address.name,
            "key": key,
            "size": source.size_bytes,
            "encrypted": source.encrypted,
            "metadata": Jsonb(source.user_metadata),
            "ttl": ttl_seconds,
        },
    )
    made = await cursor.fetchone()
    assert made is not None
    await events.write(conn, saved(address, made, source.size_bytes, source.encrypted))
