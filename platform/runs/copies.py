"""Copying a checkpoint: real files, in a run and session of their own that nobody trains."""

from __future__ import annotations

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from audit import services as audit
from checkpoints import copying, store
from checkpoints import services as checkpoints
from checkpoints.changes import check_ttl
from checkpoints.services import CheckpointInfo
from core import ids
from core.database import Connection
from core.ids import CheckpointPath
from events import services as events
from operations import lanes
from runs import parents, telling


async def copy_checkpoint(
    *,
    actor: Actor,
    source_path: str,
    project_id: str,
    ttl_seconds: int | None,
    weights_access_token: str | None,
    idempotency_key: str,
) -> str:
    """Copy a checkpoint that the actor may read into one of the team's projects; its new path.

    Asking again with the same idempotency key gives the same path and copies nothing.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: there is none that the actor may read. BadRequest: bad ttl or access token.
    """
    rights.require(actor, Right.COPY_CHECKPOINT)
    check_ttl(ttl_seconds)
    path = await copying.find_path(actor=actor, idempotency_key=idempotency_key)
    if path is not None:
        return path
    source = await checkpoints.find_readable(
        actor=actor, path=source_path, weights_access_token=weights_access_token
    )
    session_id = ids.new_session_id()
    address = CheckpointPath(ids.run_id(session_id, 0), source.segment, source.name)
    key = store.copied_key(*address)
    await copying.copy_files(source.key, key)
    async with events.transaction() as conn:
        if await copying.take_path(
            conn, actor=actor, idempotency_key=idempotency_key, address=address
        ):
            await _make_run(conn, actor, source, session_id, address.run_id, project_id)
            await copying.enter(
                conn,
                actor=actor,
                source=source,
                address=address,
                key=key,
                ttl_seconds=ttl_seconds,
            )
            await audit.record(conn, actor, "checkpoint.read", source.path, purpose="copy")
            told = {"source": source.path, "project_id": project_id}
            await audit.record(conn, actor, "checkpoint.copied", str(address), **told)
            return str(address)
    # the same request, sent again meanwhile, was faster: our files are left to the sweep
    found = await copying.find_path(actor=actor, idempotency_key=idempotency_key)
    return found or str(address)


async def _make_run(
    conn: Connection,
    actor: Actor,
    source: CheckpointInfo,
    session_id: str,
    run_id: str,
    project_id: str,
) -> None:
    """The session, ended from the beginning, and the run."""
    name = f"copy of {source.path}"
    await conn.execute(
        """
        INSERT INTO runs_session (id, team_id, display_name, project_id, ended_at, end_reason,
                                  released_at)
        VALUES (%s, %s, %s, %s, now(), 'success', now())
        """,
        (session_id, actor.team_id, name, project_id),
    )
    await conn.execute(
        f"""
        WITH made AS (
            INSERT INTO runs_trainingrun
                (id, session_id, team_id, number, base_model_id, rank, seed, train_attn, train_mlp,
                 train_unembed, loaded_from)
            SELECT %s, %s, %s, 0, base_model_id, rank, seed, train_attn, train_mlp, train_unembed,
                   %s
            FROM runs_trainingrun WHERE id = %s
            RETURNING id, session_id, team_id, base_model_id, now() AS closed_at
        ), {lanes.OPEN_FOR_RUN}
        SELECT
        """,
        (run_id, session_id, actor.team_id, source.path, source.run_id),
    )
    begun = telling.session_begun(
        session_id, team_id=actor.team_id, display_name=name, project_id=project_id
    )
    created = telling.run_created(
        run_id,
        team_id=actor.team_id,
        session_id=session_id,
        base_model=source.base_model,
        rank=source.rank,
        loaded_from=source.path,
    )
    ended = await (await conn.execute(telling.ENDED, ([session_id],))).fetchall()
    await events.write(conn, begun, created, *telling.sessions_ended(ended))
    await parents.note_copy(conn, run_id=run_id, source=source.path)
