"""Finding checkpoints by their address, for the web process (async) and for workers (sync)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from accounts.actors import Actor
from accounts.keys import authenticate
from accounts.models import Scope
from audit import services as audit
from checkpoints import leftovers
from core import database, ids
from core.errors import ApiError, BadRequest, NotFound
from core.words import did_you_mean
from events import services as events
from events.models import Kind
from events.services import NewEvent

MIN_TTL_S, MAX_TTL_S = 3600, 315_360_000
# a run's checkpoints are listed whole, up to so many
MAX_OF_RUN = 10_000


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint as listings show it."""

    run_id: str
    segment: str
    name: str
    size_bytes: int
    public: bool
    user_metadata: dict[str, str]
    created_at: datetime
    expires_at: datetime | None

    @property
    def path(self) -> str:
        """The `tinker://` address."""
        return str(ids.CheckpointPath(self.run_id, self.segment, self.name))


@dataclass(frozen=True, slots=True)
class CheckpointInfo(Saved):
    """A checkpoint with its owner, its files, the shape of the adapter it holds, and the renderer
    that its run's metadata names.
    """

    id: int
    team_id: int
    key: str
    encrypted: bool
    base_model: str
    rank: int
    train_attn: bool
    train_mlp: bool
    train_unembed: bool
    renderer_name: str | None
    step: int | None = None


# what is past its time is gone for everybody, even before the sweep deletes it
LIVE = "(c.expires_at IS NULL OR c.expires_at > now())"
_SELECT = f"""
SELECT c.id, c.team_id, c.run_id, c.segment, c.name, c.key, c.size_bytes, c.encrypted, c.public,
       c.user_metadata, c.created_at, c.expires_at, c.step,
       b.name AS base_model, r.rank, r.train_attn, r.train_mlp, r.train_unembed,
       r.user_metadata ->> 'renderer_name' AS renderer_name
FROM checkpoints_checkpoint c
JOIN runs_trainingrun r ON r.id = c.run_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
WHERE {LIVE}
"""
NEAREST_OF = 200
_BY_ADDRESS = f"""{_SELECT} AND c.run_id = %s AND c.segment = %s AND c.name = %s
                  AND (c.team_id = ANY(%s) OR c.public)"""


async def find_readable(
    *, actor: Actor, path: str, weights_access_token: str | None = None
) -> CheckpointInfo:
    """The checkpoint at `path`: the team's own, a public one, or one the access token opens.

    Raises:
        NotFound: there is none that the actor may read. BadRequest: the access token is no good.
    """
    address = ids.parse_checkpoint_path(path)
    if address is None:
        raise NotFound(
            f"{path!r} is no checkpoint address; they look like tinker://<run>/weights/<name>"
        )
    lender = await lender_of(weights_access_token) if weights_access_token is not None else None
    teams = [actor.team_id] if lender is None else [actor.team_id, lender.team_id]
    async with database.transaction() as conn:
        async with conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor:
            await cursor.execute(_BY_ADDRESS, (*address, teams))
            found = await cursor.fetchone()
        if found is None:
            names = await _addresses(conn, actor, address[0])
            raise NotFound(f"there is no checkpoint {path}{did_you_mean(path, names)}")
        if lender is not None and found.team_id == lender.team_id != actor.team_id:
            await audit.record(conn, lender, "checkpoint.read", path, by_team=actor.team_name)
    return found


async def _addresses(conn: database.Connection, actor: Actor, run_id: str) -> list[str]:
    """The newest checkpoints of a run of the team's, for who has misspelt one."""
    cursor = await conn.execute(
        f"""
        SELECT c.segment, c.name FROM checkpoints_checkpoint c
        WHERE {LIVE} AND c.run_id = %s AND c.team_id = %s ORDER BY c.id DESC LIMIT {NEAREST_OF}
        """,
        (run_id, actor.team_id),
    )
    return [str(ids.CheckpointPath(run_id, *row)) for row in await cursor.fetchall()]


async def lender_of(weights_access_token: str) -> Actor:
    """Whose checkpoints a weights access token (an API key that may train) opens.

    Raises:
        BadRequest: it is no valid key, or one that may not read weights.
    """
    try:
        lender = await authenticate(weights_access_token)
        lender.require(Scope.TRAIN)
    except ApiError as error:
        raise BadRequest(f"weights_access_token: {error.detail}") from None
    return lender


async def list_of_team(
    *, actor: Actor, segments: Sequence[str] = ids.SEGMENTS, limit: int, offset: int
) -> tuple[list[CheckpointInfo], int]:
    """A page of the team's checkpoints, newest first, and how many there are in all."""
    scope = "AND c.team_id = %(team)s AND c.segment = ANY(%(segments)s)"
    values = {"team": actor.team_id, "segments": list(segments)}
    return await _page(scope, values, limit, offset)


async def list_of_run(
    *, actor: Actor, run_id: str, segments: list[str], limit: int = MAX_OF_RUN, offset: int = 0
) -> tuple[list[CheckpointInfo], int]:
    """A run's checkpoints, newest first: all for its own team, for others the public ones.

    Raises:
        NotFound: no such run in the actor's team, nor one with a public checkpoint.
    """
    scope = """AND c.run_id = %(run)s AND c.segment = ANY(%(segments)s)
               AND (c.team_id = %(team)s OR c.public)"""
    values = {"team": actor.team_id, "run": run_id, "segments": segments}
    found, total = await _page(scope, values, limit, offset)
    if not total:
        await _require_run(actor, run_id)
    return found, total


async def _page(
    scope: str, values: dict[str, Any], limit: int, offset: int
) -> tuple[list[CheckpointInfo], int]:
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor,
    ):
        await cursor.execute(
            f"{_SELECT} {scope} ORDER BY c.created_at DESC, c.id DESC "
            "LIMIT %(limit)s OFFSET %(offset)s",
            values | {"limit": limit, "offset": offset},
        )
        found = await cursor.fetchall()
        counted = await conn.execute(
            f"SELECT count(*) FROM checkpoints_checkpoint c WHERE {LIVE} {scope}", values
        )
        row = await counted.fetchone()
    assert row is not None
    return found, row[0]


async def _require_run(actor: Actor, run_id: str) -> None:
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                "SELECT FROM runs_trainingrun WHERE id = %s AND team_id = %s",
                (run_id, actor.team_id),
            )
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no training run {run_id}")


def find_for_worker(conn: Connection, *, team_ids: list[int], path: str) -> CheckpointInfo | None:
    """The checkpoint at `path` that one of the teams may read, or None."""
    address = ids.parse_checkpoint_path(path)
    if address is None:
        return None
    with conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor:
        return cursor.execute(_BY_ADDRESS, (*address, team_ids)).fetchone()


def record(
    conn: Connection,
    *,
    run_id: str,
    segment: str,
    name: str,
    key: str,
    size_bytes: int,
    user_metadata: dict[str, str],
    ttl_seconds: int | None,
    overwrite: bool,
    encrypted: bool = False,
) -> bool:
    """Enter written weights under their address.

    False when the name is taken and may not be overwritten. A checkpoint past its time takes none.
    """
    taken = conn.execute(
        f"""
        SELECT c.id, c.key, {LIVE} FROM checkpoints_checkpoint c
        WHERE run_id = %s AND segment = %s AND name = %s FOR UPDATE
        """,
        (run_id, segment, name),
    ).fetchone()
    if taken is not None and taken[1] != key:
        if taken[2] and not overwrite:
            return False
        conn.execute("DELETE FROM checkpoints_checkpoint WHERE id = %s", (taken[0],))
    made = conn.execute(
        """
        INSERT INTO checkpoints_checkpoint
            (run_id, team_id, segment, name, key, size_bytes, encrypted, user_metadata, expires_at,
             step)
        SELECT id, team_id, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s),
               (SELECT m.step FROM runs_metric m WHERE m.run_id = r.id ORDER BY m.id DESC LIMIT 1)
        FROM runs_trainingrun r WHERE id = %s
        ON CONFLICT DO NOTHING RETURNING team_id, created_at, expires_at, step
        """,
        (segment, name, key, size_bytes, encrypted, Jsonb(user_metadata), ttl_seconds, run_id),
    ).fetchone()
    if made is not None:
        address = ids.CheckpointPath(run_id, segment, name)
        audit.record_by_platform(
            conn,
            team_id=made[0],
            event="checkpoint.saved",
            target=str(address),
            size_bytes=size_bytes,
        )
        events.write_sync(conn, saved(address, made, size_bytes, encrypted))
    elif not _is_there(conn, key):
        # brought back in this very moment: what stands there is not what was written
        return False
    if taken is not None and taken[1] != key:
        leftovers.leave(conn, taken[1])
    return True


def _is_there(conn: Connection, key: str) -> bool:
    """Whether a checkpoint names these files."""
    return (
        conn.execute("SELECT FROM checkpoints_checkpoint WHERE key = %s", (key,)).fetchone()
        is not None
    )


def saved(
    address: ids.CheckpointPath, made: tuple[Any, ...], size_bytes: int, encrypted: bool
) -> NewEvent:
    """The event of a checkpoint that has been entered: `made` is its team, times and step."""
    team_id, created_at, expires_at, step = made
    return events.event(
        Kind.CHECKPOINT_SAVED,
        str(address),
        team_id=team_id,
        run_id=address.run_id,
        segment=address.segment,
        name=address.name,
        size_bytes=size_bytes,
        encrypted=encrypted,
        created_at=created_at,
        expires_at=expires_at,
        step=step,
    )
