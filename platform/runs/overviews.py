"""Training runs as the dashboard shows them: pages of them, and one with all that is known of it.

A run's state is told from its session, its lane and what of it waits; nothing is kept of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import dict_row

from accounts.actors import Actor
from core import database
from core.errors import NotFound
from operations.workers import UNSERVED
from runs import headlines
from runs.headlines import Headline, MetricSummary
from usage import services as usage
from usage.services import RunUsage

State = Literal["training", "waiting", "idle", "finished", "failed", "stopped"]
ENDS = ("finished", "failed", "stopped")
SORTS = {"created": "created_at", "active": "moved_at"}
# between two operations a program thinks: a run counts as training so long after the last one
QUIET_AFTER_S = 30
# an operation that is not taken up within this time waits for something
WAITS_AFTER_S = 2

# what a run's session says of it, once it has ended
ENDED = """
CASE WHEN s.failed_run_id = r.id THEN 'failed'
     WHEN s.end_reason = 'success' THEN 'finished'
     WHEN s.end_reason IN ('errored', 'failed') THEN 'failed'
     WHEN s.ended_at IS NOT NULL THEN 'stopped' END
"""
_STATE = f"""
coalesce({ENDED}, CASE
     WHEN l.claimed_seq > l.applied_seq THEN 'training'
     WHEN q.since < now() - make_interval(secs => {WAITS_AFTER_S}) THEN 'waiting'
     WHEN q.since IS NOT NULL THEN 'training'
     WHEN l.moved_at > now() - make_interval(secs => {QUIET_AFTER_S}) THEN 'training'
     ELSE 'idle' END)
"""
NAME = """
coalesce(nullif(r.user_metadata ->> 'name', ''), nullif(r.user_metadata ->> 'recipe', ''),
         nullif(s.display_name, ''), '')
"""
_TABLES = """
FROM runs_trainingrun r
JOIN runs_session s ON s.id = r.session_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
LEFT JOIN operations_lane l ON l.target = r.id
"""
SEARCHED = f"""
concat_ws(' ', r.id, {NAME}, b.name, array_to_string(s.tags, ' '), r.user_metadata::text)
"""
_SORTED_BY = {"created": "r.created_at", "active": "coalesce(l.moved_at, r.created_at)"}
_RUNS = f"""
SELECT r.id, t.slug AS team, {NAME} AS name, b.name AS base_model, r.rank, r.created_at,
       coalesce(l.moved_at, r.created_at) AS moved_at, {_STATE} AS state,
       s.end_detail AS ended_because, coalesce(l.applied_seq + 1, 0) AS operations,
       CASE WHEN r.user_metadata ->> 'planned_steps' ~ '^[0-9]{{1,12}}$'
            THEN (r.user_metadata ->> 'planned_steps')::bigint END AS planned_steps,
       s.id AS session_id, s.tags, r.user_metadata
{_TABLES}
JOIN accounts_team t ON t.id = r.team_id
LEFT JOIN LATERAL (
    SELECT min(o.created_at) AS since FROM operations_operation o
    WHERE o.pool = b.pool AND o.target = r.id AND o.state = 'queued') q ON true
WHERE r.team_id = ANY(%(teams)s)
"""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in a list. `step` is the last that has a metric, None if there is no metric."""

    id: str
    team: str
    name: str
    base_model: str
    rank: int
    created_at: datetime
    moved_at: datetime
    state: State
    ended_because: str | None
    operations: int
    planned_steps: int | None
    session_id: str
    tags: list[str]
    step: int | None
    headline: Headline | None
    usage: RunUsage


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of runs ends: the value it is sorted by, and the run."""

    value: datetime
    run_id: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the teams' runs is to be listed, and in which order."""

    search: str = ""
    state: State | None = None
    session_id: str | None = None
    sort: str = "created"
    newest_first: bool = True
    after: Place | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class OperationCount:
    """How many operations of a kind are in a state."""

    kind: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An operation that failed, with what its caller was told."""

    seq: int
    kind: str
    error: str
    category: str
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class SessionOfRun:
    """The session that a run belongs to."""

    id: str
    display_name: str
    project_id: str | None
    sdk_version: str
    user_metadata: dict[str, Any]
    created_at: datetime
    heartbeat_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    end_detail: str | None


@dataclass(frozen=True, slots=True)
class RunDetail(RunRow):
    """A run with its settings. `unserved`: what no worker is there for, if that is so."""

    seed: int = 0
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True
    loaded_from: str | None = None
    user_metadata: dict[str, Any] = field(default_factory=dict)
    session: SessionOfRun | None = None
    metrics: list[MetricSummary] = field(default_factory=list)
    counts: list[OperationCount] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unserved: str | None = None
    first_operation_at: datetime | None = None


async def list_runs(*, team_ids: Sequence[int], wanted: Wanted) -> list[RunRow]:
    """A page of the runs of some teams; shorter than the limit only if it is the last."""
    statement, values = _listing(team_ids, wanted)
    async with database.connection() as conn:
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement, values)
            rows = await cursor.fetchall()
        summaries = await headlines.summarize(conn, [row["id"] for row in rows])
        heads = await headlines.of_runs(conn, summaries)
        used = await usage.of_runs(conn, [row["id"] for row in rows])
    return [
        RunRow(
            **{name: value for name, value in row.items() if name != "user_metadata"},
            step=_last_step(summaries.get(row["id"], [])),
            headline=heads.get(row["id"]),
            usage=used[row["id"]],
        )
        for row in rows
    ]


def _listing(team_ids: Sequence[int], wanted: Wanted) -> tuple[str, dict[str, Any]]:
    """The statement of a page, and its values.

    First the runs are chosen, along an index where that can be; only of these is told the rest. A
    state of runs whose sessions are open is known of none before that.
    """
    moment = _SORTED_BY[wanted.sort]
    order, beyond = ("DESC", "<") if wanted.newest_first else ("ASC", ">")
    in_order = f"ORDER BY {moment} {order}, r.id {order} LIMIT %(limit)s"
    values = {"teams": list(team_ids), "limit": wanted.limit}
    conditions = ["r.team_id = ANY(%(teams)s)"]
    if len(team_ids) == 1:
        # in the order of its index
        conditions = ["r.team_id = %(team)s"]
        values["team"] = team_ids[0]
    if wanted.session_id is not None:
        conditions.append("r.session_id = %(session)s")
        values["session"] = wanted.session_id
    if wanted.search:
        conditions.append(f"{SEARCHED} ILIKE %(search)s")
        values["search"] = database.anywhere(wanted.search)
    if wanted.after is not None:
        conditions.append(f"({moment}, r.id) {beyond} (%(after)s, %(run)s)")
        values |= {"after": wanted.after.value, "run": wanted.after.run_id}
    if wanted.state is not None:
        values["state"] = wanted.state
        is_end = wanted.state in ENDS
        conditions.append(f"{ENDED} = %(state)s" if is_end else "s.ended_at IS NULL")
    chosen = f"SELECT r.id {_TABLES} WHERE {' AND '.join(conditions)}"
    if wanted.state is None or wanted.state in ENDS:
        return f"{_RUNS} AND r.id = ANY(ARRAY({chosen} {in_order})) {in_order}", values
    return f"{_RUNS} AND r.id = ANY(ARRAY({chosen})) AND {_STATE} = %(state)s {in_order}", values


async def find_run(*, actor: Actor, run_id: str) -> RunDetail:
    """One run of the actor's team.

    Raises:
        NotFound: there is none.
    """
    values = {"teams": [actor.team_id], "run": run_id}
    async with database.connection() as conn:
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(f"{_RUNS} AND r.id = %(run)s", values)
            row = await cursor.fetchone()
            if row is None:
                raise NotFound(f"there is no training run {run_id}")
            await cursor.execute(_SETTINGS, values)
            settings = await cursor.fetchone()
            assert settings is not None
            await cursor.execute(_SESSION, values)
            session = await cursor.fetchone()
            await cursor.execute(_COUNTS, values)
            counts = [OperationCount(**found) for found in await cursor.fetchall()]
            await cursor.execute(_FAILURES, values)
            failures = [Failure(**found) for found in await cursor.fetchall()]
        summaries = await headlines.summarize(conn, [run_id])
        heads = await headlines.of_runs(conn, summaries)
        used = await usage.of_runs(conn, [run_id])
    metrics = summaries.get(run_id, [])
    return RunDetail(
        **row,
        **settings,
        step=_last_step(metrics),
        headline=heads.get(run_id),
        usage=used[run_id],
        session=SessionOfRun(**session) if session else None,
        metrics=metrics,
        counts=counts,
        failures=failures,
    )


_SETTINGS = f"""
SELECT r.seed, r.train_attn, r.train_mlp, r.train_unembed, r.loaded_from, {UNSERVED} AS unserved,
       (SELECT o.created_at FROM operations_operation o WHERE o.target = r.id
        ORDER BY o.seq LIMIT 1) AS first_operation_at
FROM runs_trainingrun r JOIN catalog_basemodel b ON b.id = r.base_model_id WHERE r.id = %(run)s
"""
_SESSION = """
SELECT s.id, s.display_name, s.project_id, s.sdk_version, s.user_metadata, s.created_at,
       s.heartbeat_at, s.ended_at, s.end_reason, s.end_detail
FROM runs_session s JOIN runs_trainingrun r ON r.session_id = s.id WHERE r.id = %(run)s
"""
_COUNTS = """
SELECT kind, state, count(*) AS count FROM operations_operation
WHERE target = %(run)s GROUP BY kind, state ORDER BY kind, state
"""
_FAILURES = """
SELECT seq, kind, left(error, 2000) AS error, error_category AS category, finished_at
FROM operations_operation WHERE target = %(run)s AND state = 'failed' ORDER BY seq DESC LIMIT 5
"""


def _last_step(metrics: Sequence[MetricSummary]) -> int | None:
    return max((metric.last_step for metric in metrics), default=None)
