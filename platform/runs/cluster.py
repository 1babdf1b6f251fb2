"""The cluster as a person sees it: all workers and queues, of the teams their own by name.

Other teams are counted and never named, and neither are their runs. On which machine a worker is,
administrators of the installation are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import dict_row

from core import database
from operations import cluster
from operations.cluster import Look, WaitingRow, WorkerRow
from runs.overviews import NAME, WAITS_AFTER_S

Why = Literal["unserved", "restoring", "retrying", "silent", "suspect", "busy", "next"]
MOST_SHOWN = 100
# what an engine reports of the memory that it has taken for adapters and for what it has read
_MEMORY = ("arena_bytes", "sampler_kv_bytes", "sampler_version_bytes")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A base model of a worker; what its engine does not report is None.

    Attributes:
        not_loaded: why it is not served, though it should be; what the worker says of that, which
            may name its files, is for administrators of the installation.
        memory_bytes: of adapters and caches, without the base model's own weights.
    """

    name: str
    not_loaded: str | None
    runs: int | None
    slots: int | None
    sampling: int | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class ShownWorker:
    """A worker. `host` and `pid` are for administrators of the installation."""

    id: str
    alive: bool
    started_at: datetime
    heard_at: datetime
    host: str | None
    pid: int | None
    runs: int
    restoring: int
    models: list[LoadedModel]


@dataclass(frozen=True, slots=True)
class ShownQueue:
    """What is to be done with a base model; `workers`: how many serve it."""

    base_model: str
    queued: int
    running: int
    oldest_s: float | None
    workers: int


@dataclass(frozen=True, slots=True)
class TeamShare:
    """What a pool has done for one of the person's teams, or for all `teams` others (no name)."""

    team: str | None
    teams: int
    tokens: int


@dataclass(frozen=True, slots=True)
class ShownPool:
    """A pool. `start`: the command that starts one more worker of it."""

    name: str
    workers: list[ShownWorker]
    queues: list[ShownQueue]
    shares: list[TeamShare]
    start: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run, or sampler, of the person's teams that waits; `words` is why, in a sentence.

    Attributes:
        target: the run or sampler. run_id: the run, if it is one.
        operations: how many of its wait. place: in its pool's queue, about.
        start: the command that helps, if no worker is there.
    """

    target: str
    run_id: str | None
    name: str
    base_model: str
    pool: str
    operations: int
    since: datetime
    place: int
    why: Why
    words: str
    start: str | None


@dataclass(frozen=True, slots=True)
class Cluster:
    """All of it. `shares_of_s`: of how many seconds the shares are."""

    at: datetime
    pools: list[ShownPool]
    waiting: list[Waiting]
    waiting_in_all: int
    shares_of_s: int


def start_command(pool: str) -> str:
    """How a worker of a pool is started beside a server that runs already."""
    return f"celery -A gpu_workers.process.app worker -P threads -c 2 -Q gpu.{pool}"


async def of_person(*, teams: Mapping[int, str], is_administrator: bool) -> Cluster:
    """The cluster for a person with these teams, by id their names."""
    found = await cluster.look()
    ours = [row for row in found.waiting if row.team_id in teams and row.waited_s > WAITS_AFTER_S]
    names = await _names([row.target for row in ours[:MOST_SHOWN]])
    names_of_pools = sorted(
        {one.pool for one in found.queues} | {one.pool for one in found.workers}
    )
    return Cluster(
        at=found.at,
        pools=[_pool(found, name, teams, is_administrator) for name in names_of_pools],
        waiting=[_waiting(row, *names.get(row.target, (None, ""))) for row in ours[:MOST_SHOWN]],
        waiting_in_all=len(ours),
        shares_of_s=cluster.SHARE_OF_S,
    )


_NAMES = f"""
SELECT coalesce(r.id, p.id) AS target, r.id AS run_id,
       CASE WHEN p.id IS NULL THEN {NAME} ELSE coalesce(nullif(p.model_path, ''), '') END AS name
FROM unnest(%(targets)s::text[]) AS asked(target)
LEFT JOIN runs_trainingrun r ON r.id = asked.target
LEFT JOIN runs_session s ON s.id = r.session_id
LEFT JOIN runs_sampler p ON p.id = asked.target
WHERE r.id IS NOT NULL OR p.id IS NOT NULL
"""


async def _names(targets: list[str]) -> dict[str, tuple[str | None, str]]:
    """Run id, if it is a run, and name of each."""
    if not targets:
        return {}
    async with database.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_NAMES, {"targets": targets})
        rows = await cursor.fetchall()
    return {row["target"]: (row["run_id"], row["name"]) for row in rows}


def _pool(found: Look, name: str, teams: Mapping[int, str], is_administrator: bool) -> ShownPool:
    workers = [row for row in found.workers if row.pool == name]
    served = [model for row in workers if row.alive for model in row.models]
    shares = [one for one in found.shares if one.pool == name]
    others = [one for one in shares if one.team_id not in teams]
    shown = [TeamShare(teams[one.team_id], 1, one.tokens) for one in shares if one not in others]
    if others:
        shown.append(TeamShare(None, len(others), sum(one.tokens for one in others)))
    return ShownPool(
        name=name,
        workers=[_worker(row, is_administrator) for row in workers],
        queues=[
            ShownQueue(
                one.base_model,
                one.queued,
                one.running,
                one.oldest_s,
                served.count(one.base_model),
            )
            for one in found.queues
            if one.pool == name
        ],
        shares=shown,
        start=start_command(name),
    )


def _worker(row: WorkerRow, is_administrator: bool) -> ShownWorker:
    names = sorted({*row.models, *row.report})
    return ShownWorker(
        id=row.id,
        alive=row.alive,
        started_at=row.started_at,
        heard_at=row.heard_at,
        host=row.host if is_administrator else None,
        pid=row.pid if is_administrator else None,
        runs=row.runs,
        restoring=row.restoring,
        models=[_model(name, row.report.get(name, {}), is_administrator) for name in names],
    )


def _model(name: str, report: dict[str, Any], is_administrator: bool) -> LoadedModel:
    def number(key: str) -> int | None:
        value = report.get(key)
        return value if isinstance(value, int) else None

    parts = [number(key) for key in _MEMORY]
    known = [part for part in parts if part is not None]
    not_loaded = report.get("not_loaded")
    if not_loaded is not None and not is_administrator:
        not_loaded = "administrators see why"
    return LoadedModel(
        name=name,
        not_loaded=None if not_loaded is None else str(not_loaded),
        runs=number("runs"),
        slots=number("slots"),
        sampling=number("sampler_running"),
        memory_bytes=sum(known) if known else None,
    )


def _waiting(row: WaitingRow, run_id: str | None, name: str) -> Waiting:
    why, words = reason_of(row)
    return Waiting(
        target=row.target,
        run_id=run_id,
        name=name,
        base_model=row.base_model,
        pool=row.pool,
        operations=row.waiting,
        since=row.since,
        place=row.place,
        why=why,
        words=words,
        start=start_command(row.pool) if why == "unserved" else None,
    )


def reason_of(row: WaitingRow) -> tuple[Why, str]:
    """Why it waits: the first of the causes that holds."""
    if row.unserved is not None:
        return "unserved", f"No worker is there for {row.unserved}."
    if row.worker_alive is False:
        return "silent", "Its worker has fallen silent; another one takes it over within a minute."
    if row.retrying:
        return "retrying", "Bringing it back failed, which may pass; it is tried again soon."
    if row.restoring:
        return "restoring", "Its worker is bringing it back to where it was."
    if row.suspect:
        return "suspect", "Workers died over it, so it is tried apart from everything else."
    if row.ahead or row.own_ahead:
        return "busy", _behind(row)
    return "next", "It is the next in line."


def _behind(row: WaitingRow) -> str:
    parts = []
    if row.ahead:
        teams = _counted(row.teams_ahead, "other team")
        parts.append(f"{_counted(row.ahead, 'operation')} of {teams}")
    if row.own_ahead:
        parts.append(f"{_counted(row.own_ahead, 'operation')} of your own team")
    return f"It is behind {' and '.join(parts)}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
