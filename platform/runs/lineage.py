"""Where weights came from and went to: runs, their saves, and what they were loaded from.

Everything that hangs together with a run, or the newest of what a team has. Bounded: beyond so many
saves each run is told with their number alone, and with those that something came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row

from accounts.actors import Actor
from checkpoints.services import LIVE
from core import database, ids
from runs.overviews import NAME
from runs.parents import How

MAX_RUNS = 300
MAX_SAVES = 500
MAX_EDGES = 2000
Standing = Literal["kept", "deleted", "gone", "foreign"]


@dataclass(frozen=True, slots=True)
class LineageRun:
    """A run; `saves`: how many names it has saved weights under that are kept."""

    id: str
    name: str
    base_model: str
    created_at: datetime
    saves: int


@dataclass(frozen=True, slots=True)
class LineageSave:
    """What a run saved under one name, in one kind or several.

    `standing`: kept, deleted (and can be brought back), gone, or foreign: another team's.
    """

    run_id: str
    name: str
    segments: list[str]
    step: int | None
    public: bool
    created_at: datetime | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class LineageEdge:
    """Weights that came into a run, by its operation `seq`, from what another saved as `name`."""

    run_id: str
    seq: int
    how: str
    source: str
    source_run: str
    source_name: str
    optimizer: bool | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Lineage:
    """All of it. `folded`: saves that nothing came from are left out; `cut`: runs are."""

    runs: list[LineageRun]
    saves: list[LineageSave]
    edges: list[LineageEdge]
    folded: bool
    cut: bool


# A run, those its weights came from, and those that its weights went into, however far: the nearest
# first, each once. What another team did with weights is no way from one to the next.
_CONNECTED = f"""
WITH RECURSIVE found(id) AS (
    SELECT %(run)s::text
    UNION
    SELECT next.id FROM found f
    CROSS JOIN LATERAL (
        SELECT p.source_run AS id FROM runs_parent p
        WHERE p.team_id = %(team)s AND p.run_id = f.id
        UNION
        SELECT p.run_id FROM runs_parent p
        WHERE p.team_id = %(team)s AND p.source_run = f.id) next
)
SELECT id FROM found LIMIT {MAX_RUNS * 4}
"""
_NEWEST = f"""
SELECT r.id FROM runs_trainingrun r
WHERE r.team_id = %(team)s
  AND (EXISTS (SELECT FROM checkpoints_checkpoint c WHERE c.run_id = r.id)
       OR EXISTS (SELECT FROM runs_parent p WHERE p.run_id = r.id))
ORDER BY r.created_at DESC LIMIT {MAX_RUNS + 1}
"""
_RUNS = f"""
SELECT r.id, {NAME} AS name, b.name AS base_model, r.created_at,
       (SELECT count(DISTINCT c.name) FROM checkpoints_checkpoint c
        WHERE c.run_id = r.id AND {LIVE}) AS saves
FROM runs_trainingrun r
JOIN runs_session s ON s.id = r.session_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
WHERE r.team_id = %(team)s AND r.id = ANY(%(runs)s)
ORDER BY r.id = %(run)s::text DESC, r.created_at DESC, r.id LIMIT {MAX_RUNS + 1}
"""
_EDGES = f"""
SELECT run_id, seq, how, source, optimizer, created_at FROM runs_parent
WHERE team_id = %(team)s AND run_id = ANY(%(runs)s) ORDER BY created_at, run_id, seq
LIMIT {MAX_EDGES}
"""
_SAVES = f"""
SELECT c.run_id, c.name, array_agg(c.segment ORDER BY c.segment DESC) AS segments,
       max(c.step) AS step, bool_or(c.public) AS public, min(c.created_at) AS created_at,
       'kept' AS standing
FROM checkpoints_checkpoint c
WHERE c.team_id = %(team)s AND {LIVE}
  AND (c.run_id = ANY(%(runs)s) AND NOT %(folded)s
       OR c.run_id = ANY(%(sources)s) AND (c.run_id || '/' || c.name) = ANY(%(named)s))
GROUP BY c.run_id, c.name ORDER BY min(c.created_at), c.run_id, c.name
LIMIT {MAX_SAVES + MAX_EDGES}
"""
# also of those that are cut
_OWN = "SELECT id FROM runs_trainingrun WHERE team_id = %(team)s AND id = ANY(%(sources)s)"
_DELETED = """
SELECT DISTINCT run_id || '/' || name FROM checkpoints_deleted
WHERE team_id = %(team)s AND until > now() AND (run_id || '/' || name) = ANY(%(named)s)
"""


@dataclass(frozen=True, slots=True)
class _Edge:
    run_id: str
    seq: int
    how: How
    source: str
    optimizer: bool | None
    created_at: datetime


async def read(*, actor: Actor, run_id: str | None) -> Lineage:
    """What hangs together with a run of the actor's team, or the newest of all that it has."""
    values: dict[str, Any] = {"team": actor.team_id, "run": run_id}
    async with database.connection() as conn:
        chosen = await conn.execute(_NEWEST if run_id is None else _CONNECTED, values)
        values["runs"] = [one for (one,) in await chosen.fetchall()]
        async with conn.cursor(row_factory=class_row(LineageRun)) as cursor:
            await cursor.execute(_RUNS, values)
            runs = await cursor.fetchall()
        cut = len(runs) > MAX_RUNS
        runs = sorted(runs[:MAX_RUNS], key=lambda one: (one.created_at, one.id))
        values["runs"] = [one.id for one in runs]
        async with conn.cursor(row_factory=class_row(_Edge)) as cursor:
            await cursor.execute(_EDGES, values)
            edges = [_edge(one) for one in await cursor.fetchall()]
        folded = sum(one.saves for one in runs) > MAX_SAVES
        named = sorted({f"{one.source_run}/{one.source_name}" for one in edges})
        sources = list({one.source_run for one in edges})
        values |= {"folded": folded, "named": named, "sources": sources}
        async with conn.cursor(row_factory=class_row(LineageSave)) as cursor:
            await cursor.execute(_SAVES, values)
            saves = await cursor.fetchall()
        deleted = {one for (one,) in await (await conn.execute(_DELETED, values)).fetchall()}
        own = {one for (one,) in await (await conn.execute(_OWN, values)).fetchall()}
    return Lineage(runs, saves + _missing(own, saves, edges, deleted), edges, folded, cut)


def _edge(row: _Edge) -> LineageEdge:
    address = ids.parse_checkpoint_path(row.source)
    run, name = ("", row.source) if address is None else (address.run_id, address.name)
    return LineageEdge(
        row.run_id, row.seq, row.how, row.source, run, name, row.optimizer, row.created_at
    )


def _missing(
    own: set[str],
    saves: list[LineageSave],
    edges: list[LineageEdge],
    deleted: set[str],
) -> list[LineageSave]:
    """What weights came from that is no checkpoint of the team's (any more)."""
    there = {(one.run_id, one.name) for one in saves}
    found: dict[tuple[str, str], LineageSave] = {}
    for edge in edges:
        place = edge.source_run, edge.source_name
        if place in there or place in found:
            continue
        standing: Standing = "gone" if edge.source_run in own else "foreign"
        if f"{edge.source_run}/{edge.source_name}" in deleted:
            standing = "deleted"
        found[place] = LineageSave(*place, [], None, False, None, standing)
    return list(found.values())
