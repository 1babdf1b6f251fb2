"""What a client may do with sessions and training runs, on the raw pool."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from accounts import rights
from accounts.rights import Right
from catalog import services as catalog
from checkpoints import services as checkpoints
from checkpoints.encryption import require_plain
from core import database, ids
from core.errors import BadRequest, Gone, NoSuchSession, NotFound, SessionEnded
from core.metadata import as_text
from core.words import did_you_mean
from events import services as events
from operations import closing, lanes
from operations import services as operations
from operations.announcements import Announcement
from operations.models import Operation
from operations.services import Submitted
from runs import listening, telling
from runs.sessions import CLIENT_REASONS

if TYPE_CHECKING:
    from accounts.actors import Actor


@dataclass(frozen=True, slots=True)
class CreateRunRequest:
    """A new training run: which base model, which adapter."""

    session_id: str
    number: int
    base_model: str
    rank: int
    seed: int | None = None
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True
    user_metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What `get_info` tells about a run."""

    id: str
    base_model: str
    tokenizer_id: str
    family: str
    rank: int


async def create_session(
    *,
    actor: Actor,
    tags: list[str],
    user_metadata: dict[str, Any],
    sdk_version: str,
    project_id: str | None = None,
    display_name: str | None = None,
) -> str:
    """Open a session for the actor's team; returns its id.

    Raises:
        Forbidden: the actor's role does not suffice.
    """
    rights.require(actor, Right.OPEN_SESSION)
    session_id = ids.new_session_id()
    async with events.transaction() as conn:
        await conn.execute(
            f"""
            INSERT INTO runs_session
                (id, team_id, tags, user_metadata, sdk_version, project_id, display_name,
                 heard_at_s)
            VALUES (%s, %s, %s, %s, %s, %s, %s, {listening.NOW})
            """,
            (
                session_id,
                actor.team_id,
                sorted(tags),
                Jsonb(as_text(user_metadata)),
                sdk_version,
                project_id,
                display_name or "",
            ),
        )
        told = telling.session_begun(
            session_id,
            team_id=actor.team_id,
            display_name=display_name or "",
            project_id=project_id,
        )
        await events.write(conn, told)
    return session_id


async def heartbeat(*, actor: Actor, session_id: str) -> None:
    """Keep a session alive.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such session in the actor's team. Gone: it has ended.
    """
    rights.require(actor, Right.KEEP_SESSION)
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                f"""
                UPDATE runs_session SET heartbeat_at = now(), heard_at_s = {listening.NOW}
                WHERE id = %s AND team_id = %s RETURNING ended_at
                """,
                (session_id, actor.team_id),
            )
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no session {session_id}")
    if row[0] is not None:
        raise Gone(f"the session {session_id} has ended")


async def finish_session(*, actor: Actor, session_id: str, reason: str, detail: str | None) -> None:
    """End a session: its waiting operations fail, its slots are freed. The first reason stands.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such session in the actor's team. BadRequest: unknown reason.
    """
    rights.require(actor, Right.FINISH_SESSION)
    if reason not in CLIENT_REASONS:
        raise BadRequest(f"unknown reason {reason!r}; allowed: {', '.join(CLIENT_REASONS)}")
    async with events.transaction() as conn:
        row = await (
            await conn.execute(
                """
                WITH ending AS (
                    SELECT id, ended_at IS NULL AS is_first FROM runs_session
                    WHERE id = %s AND team_id = %s FOR UPDATE
                )
                UPDATE runs_session s SET ended_at = coalesce(ended_at, now()),
                    end_reason = coalesce(end_reason, %s),
                    end_detail = CASE WHEN ended_at IS NULL THEN %s ELSE end_detail END
                FROM ending WHERE s.id = ending.id
                RETURNING ending.is_first
                """,
                (session_id, actor.team_id, reason, detail),
            )
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no session {session_id}")
        pools = await (await conn.execute(closing.CLOSE, {"sessions": [session_id]})).fetchall()
        if row[0]:
            ended = await (await conn.execute(telling.ENDED, ([session_id],))).fetchall()
            await events.write(conn, *telling.sessions_ended(ended))
    async with database.connection() as conn:
        for (pool,) in pools:
            await operations.announce(conn, pool, Announcement.CHANGE)


async def create_run(*, actor: Actor, body: bytes, request: CreateRunRequest) -> Submitted:
    """Make a training run; a re-send for the same (session, number) gets the same one.

    Raises:
        Forbidden: the actor's role does not suffice.
        BadRequest: unknown base model, rank outside its limits, nothing to train; the message
            names what is allowed. NotFound: no such session in the actor's team.
    """
    rights.require(actor, Right.CREATE_RUN)
    model = await _trainable(request.base_model)
    if not 1 <= request.rank <= model.max_lora_rank:
        raise BadRequest(
            f"rank must be between 1 and {model.max_lora_rank} for {model.name}, not {request.rank}"
        )
    if not (request.train_attn or request.train_mlp or request.train_unembed):
        raise BadRequest("nothing to train: set train_attn, train_mlp or train_unembed")
    kind = Operation.Kind.CREATE_RUN
    return await _insert_run(actor, kind, body, request, model.id, model.pool)


async def create_run_from_checkpoint(
    *,
    actor: Actor,
    body: bytes,
    session_id: str,
    number: int,
    path: str,
    base_model: str | None,
    user_metadata: dict[str, Any],
    weights_access_token: str | None = None,
) -> Submitted:
    """Make a training run that starts from a checkpoint, with the checkpoint's adapter shape.

    Args:
        weights_access_token: another team's key that opens that team's checkpoints.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such checkpoint or session for the actor. BadRequest: the checkpoint was
            trained on another base model than the one asked for or is encrypted, the model is not
            offered, or the access token is no good.
    """
    rights.require(actor, Right.CREATE_RUN)
    checkpoint = await checkpoints.find_readable(
        actor=actor, path=path, weights_access_token=weights_access_token
    )
    require_plain(checkpoint)
    if base_model is not None and base_model != checkpoint.base_model:
        raise BadRequest(f"{path} was trained on {checkpoint.base_model}, not on {base_model}")
    model = await _trainable(checkpoint.base_model)
    request = CreateRunRequest(
        session_id=session_id,
        number=number,
        base_model=checkpoint.base_model,
        rank=checkpoint.rank,
        train_attn=checkpoint.train_attn,
        train_mlp=checkpoint.train_mlp,
        train_unembed=checkpoint.train_unembed,
        user_metadata=user_metadata,
    )
    kind = Operation.Kind.CREATE_RUN_FROM_CHECKPOINT
    return await _insert_run(actor, kind, body, request, model.id, model.pool, loaded_from=path)


async def run_info(*, actor: Actor, run_id: str) -> RunInfo:
    """What a client asks once after creating a run.

    Raises:
        NotFound: no such run in the actor's team.
    """
    async with database.connection() as conn, conn.cursor(row_factory=class_row(RunInfo)) as cursor:
        await cursor.execute(
            """
            SELECT r.id, b.name AS base_model, b.tokenizer_id, b.family, r.rank
            FROM runs_trainingrun r JOIN catalog_basemodel b ON b.id = r.base_model_id
            WHERE r.id = %s AND r.team_id = %s
            """,
            (run_id, actor.team_id),
        )
        info = await cursor.fetchone()
    if info is None:
        raise NotFound(f"there is no training run {run_id}")
    return info


async def offered(name: str) -> catalog.OfferedModel:
    """The base model of that name. Raises BadRequest, which names those that are offered."""
    model = await catalog.find_offered(name)
    if model is None:
        names = [model.name for model in await catalog.offered_models()]
        raise BadRequest(
            f"unknown base model {name!r}{did_you_mean(name, names)}; "
            f"offered: {', '.join(names) or 'none'}"
        )
    return model


async def _trainable(name: str) -> catalog.OfferedModel:
    model = await offered(name)
    if not model.trainable:
        raise BadRequest(f"{name} is not offered for training")
    return model


async def require_open_session(conn: database.Connection, actor: Actor, session_id: str) -> None:
    """Hold a session open until the transaction ends. Raises NoSuchSession, SessionEnded."""
    row = await (
        await conn.execute(
            "SELECT ended_at FROM runs_session WHERE id = %s AND team_id = %s FOR SHARE",
            (session_id, actor.team_id),
        )
    ).fetchone()
    if row is None:
        raise NoSuchSession(f"there is no session {session_id}")
    if row[0] is not None:
        raise SessionEnded(f"the session {session_id} has ended; start a new one")


async def _insert_run(
    actor: Actor,
    kind: str,
    body: bytes,
    request: CreateRunRequest,
    base_model_id: int,
    pool: str,
    loaded_from: str | None = None,
) -> Submitted:
    run_id = ids.run_id(request.session_id, request.number)
    seed = request.seed if request.seed is not None else secrets.randbits(31)
    async with events.transaction() as conn:
        await require_open_session(conn, actor, request.session_id)
        made = await conn.execute(
            f"""
            WITH made AS (
                INSERT INTO runs_trainingrun
                    (id, session_id, team_id, number, base_model_id, rank, seed, train_attn,
                     train_mlp, train_unembed, user_metadata, loaded_from)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                ON CONFLICT DO NOTHING
                RETURNING id, session_id, team_id, base_model_id, NULL::timestamptz AS closed_at
            ), {lanes.OPEN_FOR_RUN}
            SELECT FROM made
            """,
            (
                run_id,
                request.session_id,
                actor.team_id,
                request.number,
                base_model_id,
                request.rank,
                seed,
                request.train_attn,
                request.train_mlp,
                request.train_unembed,
                Jsonb(as_text(request.user_metadata)),
                loaded_from,
            ),
        )
        if made.rowcount:
            await operations.append_creation(conn, run_id=run_id, kind=kind, body=body)
            told = telling.run_created(
                run_id,
                team_id=actor.team_id,
                session_id=request.session_id,
                base_model=request.base_model,
                rank=request.rank,
                loaded_from=loaded_from,
            )
            await events.write(conn, told)
    async with database.connection() as conn:
        await operations.announce(conn, pool, Announcement.CHANGE)
    return Submitted(ids.request_id(run_id, 0), run_id=run_id)
