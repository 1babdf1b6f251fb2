"""What a client may do with samplers, on the raw pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from accounts import rights
from accounts.rights import Right
from checkpoints import services as checkpoints
from checkpoints.encryption import require_plain
from core import database, ids
from core.errors import BadRequest, NotFound
from events import services as events
from operations import lanes
from runs import telling
from runs.services import offered, require_open_session

if TYPE_CHECKING:
    from accounts.actors import Actor


@dataclass(frozen=True, slots=True)
class SamplerInfo:
    """What the wire tells about a sampler."""

    id: str
    base_model: str
    model_path: str | None


async def create_sampler(
    *,
    actor: Actor,
    session_id: str,
    number: int,
    model_path: str | None,
    base_model: str | None,
) -> str:
    """Make a sampler of a base model or a checkpoint; idempotent on (session, number).

    Raises:
        Forbidden: the actor's role does not suffice.
        BadRequest: neither or an unknown model, or a checkpoint that is of another base model or
            encrypted.
        NotFound: no such session or checkpoint for the actor.
    """
    rights.require(actor, Right.CREATE_SAMPLER)
    weights_key = run_id = None
    if model_path is not None:
        checkpoint = await checkpoints.find_readable(actor=actor, path=model_path)
        require_plain(checkpoint)
        if base_model is not None and base_model != checkpoint.base_model:
            raise BadRequest(
                f"{model_path} was trained on {checkpoint.base_model}, not on {base_model}"
            )
        base_model = checkpoint.base_model
        weights_key, run_id = checkpoint.key, checkpoint.run_id
    if base_model is None:
        raise BadRequest("give a model_path or a base_model")
    model = await offered(base_model)
    if not model.sampleable:
        raise BadRequest(f"{base_model} is not offered for sampling")
    sampler_id = ids.sampler_id(session_id, number)
    async with events.transaction() as conn:
        await require_open_session(conn, actor, session_id)
        made = await conn.execute(
            f"""
            WITH made AS (
                INSERT INTO runs_sampler (id, session_id, team_id, number, base_model_id, run_id,
                                          model_path, weights_key)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
                RETURNING id, session_id, team_id, base_model_id, NULL::timestamptz AS closed_at
            ), {lanes.OPEN_FOR_SAMPLER}
            SELECT FROM made
            """,
            (
                sampler_id,
                session_id,
                actor.team_id,
                number,
                model.id,
                run_id,
                model_path,
                weights_key,
            ),
        )
        if made.rowcount:
            told = telling.sampler_created(
                sampler_id,
                team_id=actor.team_id,
                run_id=run_id,
                session_id=session_id,
                base_model=model.name,
                model_path=model_path,
            )
            await events.write(conn, told)
    return sampler_id


async def sampler_info(*, actor: Actor, sampler_id: str) -> SamplerInfo:
    """A sampler's base model and, if it has one, checkpoint.

    Raises:
        NotFound: no such sampler in the actor's team.
    """
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(SamplerInfo)) as cursor,
    ):
        await cursor.execute(
            """
            SELECT s.id, b.name AS base_model, s.model_path
            FROM runs_sampler s JOIN catalog_basemodel b ON b.id = s.base_model_id
            WHERE s.id = %s AND s.team_id = %s
            """,
            (sampler_id, actor.team_id),
        )
        info = await cursor.fetchone()
    if info is None:
        raise NotFound(f"there is no sampler {sampler_id}")
    return info
