"""Copying a checkpoint: real files, in a run and session of their own that nobody trains."""

from __future__ import annotations

import asyncio

from psycopg.types.json import Jsonb

from accounts.keys import Caller
from audit import services as audit
from checkpoints import services as checkpoints
from checkpoints import store
from checkpoints.changes import check_ttl
from checkpoints.services import CheckpointInfo
from core import database, ids
from core.database import Connection
from core.errors import NotFound
from core.ids import CheckpointPath

# files whose copying was cut short by a crash are deleted after this long
GIVE_UP_AFTER_S = 3600


async def copy_checkpoint(
    *,
    caller: Caller,
    source_path: str,
    project_id: str,
    ttl_seconds: int | None,
    weights_access_token: str | None,
    idempotency_key: str,
) -> str:
    """Copy a checkpoint that the caller may read into one of the team's projects; its new path.

    Asking again with the same idempotency key gives the same path and copies nothing.

    Raises:
        NotFound: there is none that the caller may read. BadRequest: bad ttl or access token.
    """
    check_ttl(ttl_seconds)
    path = await _path_of(caller, idempotency_key)
    if path is not None:
        return path
    source = await checkpoints.find_readable(
        caller=caller, path=source_path, weights_access_token=weights_access_token
    )
    session_id = ids.new_session_id()
    address = CheckpointPath(ids.run_id(session_id, 0), source.segment, source.name)
    key = store.copied_key(*address)
    await _copy_files(source.key, key)
    async with database.transaction() as conn:
        first = await conn.execute(
            """
            INSERT INTO checkpoints_copy (team_id, idempotency_key, path) VALUES (%s, %s, %s)
            ON CONFLICT DO NOTHING
            """,
            (caller.team_id, idempotency_key, str(address)),
        )
        if first.rowcount:
            await _insert(conn, caller, source, session_id, address, key, project_id, ttl_seconds)
            await audit.record(conn, caller, "checkpoint.read", source.path, purpose="copy")
            told = {"source": source.path, "project_id": project_id}
            await audit.record(conn, caller, "checkpoint.copied", str(address), **told)
            await conn.execute("DELETE FROM checkpoints_leftover WHERE key = %s", (key,))
            return str(address)
    # the same request, sent again meanwhile, was faster: our files are left to the sweep
    return await _path_of(caller, idempotency_key) or str(address)


async def _path_of(caller: Caller, idempotency_key: str) -> str | None:
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                "SELECT path FROM checkpoints_copy WHERE team_id = %s AND idempotency_key = %s",
                (caller.team_id, idempotency_key),
            )
        ).fetchone()
    return row[0] if row is not None else None


async def _copy_files(source: str, target: str) -> None:
    """Copy files that the workers' sweep deletes, should the rows about them never come."""
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


async def _insert(
    conn: Connection,
    caller: Caller,
    source: CheckpointInfo,
    session_id: str,
    address: CheckpointPath,
    key: str,
    project_id: str,
    ttl_seconds: int | None,
) -> None:
    """The session (ended from the beginning), the run and the checkpoint."""
    await conn.execute(
        """
        INSERT INTO runs_session (id, team_id, display_name, project_id, ended_at, end_reason,
                                  released_at)
        VALUES (%s, %s, %s, %s, now(), 'success', now())
        """,
        (session_id, caller.team_id, f"copy of {source.path}", project_id),
    )
    await conn.execute(
        """
        INSERT INTO runs_trainingrun
            (id, session_id, team_id, number, base_model_id, rank, seed, train_attn, train_mlp,
             train_unembed, loaded_from)
        SELECT %s, %s, %s, 0, base_model_id, rank, seed, train_attn, train_mlp, train_unembed, %s
        FROM runs_trainingrun WHERE id = %s
        """,
        (address.run_id, session_id, caller.team_id, source.path, source.run_id),
    )
    await conn.execute(
        """
        INSERT INTO checkpoints_checkpoint
            (run_id, team_id, segment, name, key, size_bytes, encrypted, user_metadata, expires_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s))
        """,
        (
            address.run_id,
            caller.team_id,
            address.segment,
            address.name,
            key,
            source.size_bytes,
            source.encrypted,
            Jsonb(source.user_metadata),
            ttl_seconds,
        ),
    )
