"""Finding checkpoints by their address, for the web process (async) and for workers (sync)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from core import database, ids
from core.errors import NotFound

if TYPE_CHECKING:
    from accounts.keys import Caller


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """A checkpoint, with the shape of the adapter it holds."""

    run_id: str
    segment: str
    name: str
    key: str
    size_bytes: int
    public: bool
    user_metadata: dict[str, str]
    created_at: datetime
    expires_at: datetime | None
    base_model: str
    rank: int
    train_attn: bool
    train_mlp: bool
    train_unembed: bool

    @property
    def path(self) -> str:
        """The `tinker://` address."""
        return str(ids.CheckpointPath(self.run_id, self.segment, self.name))


_SELECT = """
SELECT c.run_id, c.segment, c.name, c.key, c.size_bytes, c.public, c.user_metadata, c.created_at,
       c.expires_at, b.name AS base_model, r.rank, r.train_attn, r.train_mlp, r.train_unembed
FROM checkpoints_checkpoint c
JOIN runs_trainingrun r ON r.id = c.run_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
WHERE (c.expires_at IS NULL OR c.expires_at > now())
"""
_BY_ADDRESS = f"""{_SELECT} AND c.run_id = %s AND c.segment = %s AND c.name = %s
                  AND (c.team_id = %s OR c.public)"""


async def find_readable(*, caller: Caller, path: str) -> CheckpointInfo:
    """The checkpoint at `path`, the team's own or a public one.

    Raises:
        NotFound: there is none that the caller may read.
    """
    address = ids.parse_checkpoint_path(path)
    if address is None:
        raise NotFound(
            f"{path!r} is no checkpoint address; they look like tinker://<run>/weights/<name>"
        )
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor,
    ):
        await cursor.execute(_BY_ADDRESS, (*address, caller.team_id))
        found = await cursor.fetchone()
    if found is None:
        raise NotFound(f"there is no checkpoint {path}")
    return found


async def list_checkpoints(
    *, caller: Caller, run_id: str | None = None, limit: int = 1000, offset: int = 0
) -> tuple[list[CheckpointInfo], int]:
    """A page of the team's checkpoints, newest first, and how many there are in all."""
    scope = "AND c.team_id = %(team)s AND (%(run)s::text IS NULL OR c.run_id = %(run)s)"
    values = {"team": caller.team_id, "run": run_id, "limit": limit, "offset": offset}
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor,
    ):
        await cursor.execute(
            f"{_SELECT} {scope} ORDER BY c.created_at DESC, c.id DESC "
            "LIMIT %(limit)s OFFSET %(offset)s",
            values,
        )
        found = await cursor.fetchall()
        counted = await conn.execute(f"SELECT count(*) FROM ({_SELECT} {scope}) AS counted", values)
        row = await counted.fetchone()
    assert row is not None
    return found, row[0]


def find_for_worker(conn: Connection, *, team_id: int, path: str) -> CheckpointInfo | None:
    """The checkpoint at `path` that `team_id` may read, or None."""
    address = ids.parse_checkpoint_path(path)
    if address is None:
        return None
    with conn.cursor(row_factory=class_row(CheckpointInfo)) as cursor:
        return cursor.execute(_BY_ADDRESS, (*address, team_id)).fetchone()


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
) -> tuple[bool, str | None]:
    """Enter written weights under their address.

    Returns (True, key of the replaced files if nobody needs them or None), or (False, None) when
    the name is taken and may not be overwritten.
    """
    taken = conn.execute(
        """
        SELECT id, key FROM checkpoints_checkpoint
        WHERE run_id = %s AND segment = %s AND name = %s FOR UPDATE
        """,
        (run_id, segment, name),
    ).fetchone()
    if taken is not None and taken[1] != key:
        if not overwrite:
            return False, None
        conn.execute("DELETE FROM checkpoints_checkpoint WHERE id = %s", (taken[0],))
    conn.execute(
        """
        INSERT INTO checkpoints_checkpoint
            (run_id, team_id, segment, name, key, size_bytes, user_metadata, expires_at)
        SELECT id, team_id, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)
        FROM runs_trainingrun WHERE id = %s
        ON CONFLICT DO NOTHING
        """,
        (segment, name, key, size_bytes, Jsonb(user_metadata), ttl_seconds, run_id),
    )
    if taken is None or taken[1] == key:
        return True, None
    sampled_from = conn.execute(
        "SELECT FROM runs_sampler WHERE weights_key = %s LIMIT 1", (taken[1],)
    ).fetchone()
    return True, taken[1] if sampled_from is None else None
