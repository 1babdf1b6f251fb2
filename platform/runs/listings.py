"""Training runs as listings show them, with their newest checkpoints, in one query a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from psycopg.rows import dict_row

from accounts.actors import Actor
from checkpoints.services import LIVE, Saved
from core import database
from core.errors import NotFound
from core.ids import DEFAULT_PROJECT


@dataclass(frozen=True, slots=True)
class RunListing:
    """A run as listings show it. Of another team's, only what it has published."""

    id: str
    base_model: str
    owner: str
    rank: int
    corrupted: bool
    last_request_at: datetime
    user_metadata: dict[str, str]
    last_training: Saved | None
    last_sampler: Saved | None


def _newest(segment: str) -> str:
    """The newest checkpoint of a run as JSON, among those that the actor may read."""
    return f"""
        LEFT JOIN LATERAL (
            SELECT to_jsonb(newest) AS saved FROM (
                SELECT c.run_id, c.segment, c.name, c.size_bytes, c.public, c.user_metadata,
                       c.created_at, c.expires_at
                FROM checkpoints_checkpoint c
                WHERE c.run_id = r.id AND c.segment = '{segment}' AND {LIVE}
                  AND (c.team_id = %(team)s OR c.public)
                ORDER BY c.created_at DESC, c.id DESC LIMIT 1) newest
        ) {segment} ON true"""


_SELECT = f"""
SELECT r.id, b.name AS base_model, t.name AS owner, r.rank,
       s.failed_run_id IS NOT DISTINCT FROM r.id AS corrupted,
       coalesce(l.moved_at, r.created_at) AS last_request_at,
       CASE WHEN r.team_id = %(team)s THEN r.user_metadata ELSE '{{}}' END AS user_metadata,
       weights.saved AS last_training, sampler_weights.saved AS last_sampler
FROM runs_trainingrun r
JOIN runs_session s ON s.id = r.session_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
JOIN accounts_team t ON t.id = r.team_id
-- others do not learn when a run was last worked on
LEFT JOIN operations_lane l ON l.target = r.id AND l.team_id = %(team)s
{_newest("weights")}
{_newest("sampler_weights")}
"""

_OWNED = "r.team_id = %(team)s"
_ACCESSIBLE = f"""(r.team_id = %(team)s OR EXISTS (
    SELECT FROM checkpoints_checkpoint c WHERE c.run_id = r.id AND c.public AND {LIVE}))"""


def _scope(accessible: bool) -> str:
    return _ACCESSIBLE if accessible else _OWNED


async def list_runs(
    *, actor: Actor, limit: int, offset: int, accessible: bool, project_id: str | None
) -> tuple[list[RunListing], int]:
    """A page of runs, newest first, and how many there are in all.

    Args:
        accessible: also other teams' runs that have public checkpoints.
        project_id: only the team's own runs in sessions of this project.
    """
    scope = _scope(accessible and project_id is None)
    if project_id is not None:
        scope += " AND coalesce(s.project_id, %(default)s) = %(project)s"
    values = {"team": actor.team_id, "project": project_id, "default": DEFAULT_PROJECT}
    page = f"{_SELECT} WHERE {scope} ORDER BY r.created_at DESC, r.id LIMIT %(limit)s OFFSET %(at)s"
    found = await _fetch(page, values | {"limit": limit, "at": offset})
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                f"""
                SELECT count(*) FROM runs_trainingrun r JOIN runs_session s ON s.id = r.session_id
                WHERE {scope}
                """,
                values,
            )
        ).fetchone()
    assert row is not None
    return found, row[0]


async def find_run(*, actor: Actor, run_id: str, accessible: bool) -> RunListing:
    """One run: the team's own, or if `accessible` one with public checkpoints.

    Raises:
        NotFound: there is none.
    """
    values = {"team": actor.team_id, "run": run_id}
    found = await _fetch(f"{_SELECT} WHERE r.id = %(run)s AND {_scope(accessible)}", values)
    if not found:
        raise NotFound(f"there is no training run {run_id}")
    return found[0]


async def _fetch(statement: str, values: dict[str, Any]) -> list[RunListing]:
    async with database.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, values)
        rows = await cursor.fetchall()
    return [msgspec.convert(row, RunListing) for row in rows]
