"""How the whole cluster stands: its workers, what waits for them, and for whom they have worked.

One look serves everybody who asks within `LOOKS_EVERY_S` seconds, so that pages may ask often
whatever their number. It names no team: whose rows are shown to whom is for the caller to say.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from core import database
from operations.models import SUSPECT
from operations.workers import ALIVE_S, UNSERVED

LOOKS_EVERY_S = 2.0
# for how long a worker that is gone is still shown
GONE_FOR_S = 3600
MOST_WORKERS = 200
# whose place in the queue is told; the first of each run or sampler
MOST_WAITING = 5000
SHARE_OF_S = 300


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as the log knows it.

    Attributes:
        heard_at: when it last renewed its lease, to half a minute for one that left by itself.
        report: numbers of each base model's engine, or why there is none.
    """

    id: str
    pool: str
    host: str
    pid: int
    started_at: datetime
    heard_at: datetime
    alive: bool
    models: list[str]
    report: dict[str, dict[str, Any]]
    runs: int
    restoring: int


@dataclass(frozen=True, slots=True)
class Queue:
    """What is to be done with a base model. `oldest_s`: for how long the first has waited."""

    pool: str
    base_model: str
    queued: int
    running: int
    oldest_s: float | None
    unserved: str | None


@dataclass(frozen=True, slots=True)
class Share:
    """Tokens that a pool has done for a team in the last `SHARE_OF_S` seconds."""

    pool: str
    team_id: int
    tokens: int


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """The first operation of a run or sampler that waits, and its place in its pool's queue.

    Attributes:
        ahead: operations of other teams that come before it, as teams take turns.
        teams_ahead: of how many teams. own_ahead: of its own team's.
        unserved: what no worker is there for, if that is so.
        worker_alive: None if no worker has it.
    """

    team_id: int
    target: str
    pool: str
    base_model: str
    kind: str
    waiting: int
    since: datetime
    waited_s: float
    place: int
    ahead: int
    own_ahead: int
    teams_ahead: int
    unserved: str | None
    worker_alive: bool | None
    restoring: bool
    retrying: bool
    suspect: bool


@dataclass(frozen=True, slots=True)
class Look:
    """All of it, at one moment."""

    at: datetime
    workers: list[WorkerRow]
    queues: list[Queue]
    shares: list[Share]
    waiting: list[WaitingRow]


_WORKERS = f"""
SELECT w.id::text, w.pool, w.host, w.pid, w.started_at,
       least(w.alive_until - make_interval(secs => {ALIVE_S}), now()) AS heard_at,
       w.alive_until > now() AS alive, w.models_served AS models, w.report,
       count(l.target)::int AS runs, (count(*) FILTER (WHERE l.restoring))::int AS restoring
FROM operations_worker w LEFT JOIN operations_lane l ON l.worker_id = w.id
WHERE w.alive_until > now() - make_interval(secs => {GONE_FOR_S})
GROUP BY w.id ORDER BY alive DESC, w.pool, w.started_at LIMIT {MOST_WORKERS}
"""
_QUEUES = f"""
SELECT b.pool, b.name AS base_model, coalesce(o.queued, 0) AS queued,
       coalesce(o.running, 0) AS running, o.oldest_s, {UNSERVED} AS unserved
FROM catalog_basemodel b LEFT JOIN (
    SELECT l.base_model_id, (count(*) FILTER (WHERE o.state = 'queued'))::int AS queued,
           (count(*) FILTER (WHERE o.state = 'running'))::int AS running,
           extract(epoch FROM now() - min(o.created_at) FILTER (WHERE o.state = 'queued'))::float8
               AS oldest_s
    FROM operations_operation o JOIN operations_lane l ON l.target = o.target
    WHERE o.state IN ('queued', 'running') GROUP BY l.base_model_id
) o ON o.base_model_id = b.id
WHERE b.enabled OR o.queued > 0 OR o.running > 0 ORDER BY b.pool, b.name
"""
_SHARES = f"""
SELECT b.pool, t.id AS team_id, sum(e.quantity)::bigint AS tokens
FROM accounts_team t
JOIN usage_entry e ON e.team_id = t.id AND e.kind <> 'checkpoint'
    AND e.created_at > now() - make_interval(secs => {SHARE_OF_S})
JOIN catalog_basemodel b ON b.name = e.base_model
GROUP BY b.pool, t.id ORDER BY tokens DESC
"""
# Teams take turns, as in claims.py: the second of one team's comes after the first of every
# other's. Of those before it, `turn - 1` are its own team's.
_WAITING = f"""
WITH turns AS (
    SELECT o.id, o.pool, o.team_id, o.target, o.kind, o.created_at, o.deaths,
           row_number() OVER (PARTITION BY o.pool, o.team_id ORDER BY o.id) AS turn
    FROM operations_operation o WHERE o.state = 'queued'
), places AS (
    SELECT *, row_number() OVER (PARTITION BY pool ORDER BY turn, id) AS place,
           count(*) FILTER (WHERE turn = 1) OVER (PARTITION BY pool ORDER BY turn, id) AS teams
    FROM turns
), firsts AS (
    SELECT DISTINCT ON (target) *, count(*) OVER (PARTITION BY target) AS waiting FROM places
    ORDER BY target, place
)
SELECT f.team_id, f.target, f.pool, b.name AS base_model, f.kind, f.waiting, f.created_at AS since,
       extract(epoch FROM now() - f.created_at)::float8 AS waited_s, f.place,
       f.place - f.turn AS ahead, f.turn - 1 AS own_ahead,
       f.teams - 1 AS teams_ahead,
       {UNSERVED} AS unserved, w.alive_until > now() AS worker_alive, l.restoring,
       coalesce(l.restore_after > now(), false) AS retrying,
       f.deaths >= {SUSPECT} AS suspect
FROM firsts f JOIN operations_lane l ON l.target = f.target
JOIN catalog_basemodel b ON b.id = l.base_model_id
LEFT JOIN operations_worker w ON w.id = l.worker_id
WHERE l.closed_at IS NULL
ORDER BY f.place LIMIT {MOST_WAITING}
"""

_last: tuple[float, Look] | None = None


async def look() -> Look:
    """How all stands now, or stood within the last `LOOKS_EVERY_S` seconds."""
    global _last
    if _last is not None and time.monotonic() - _last[0] < LOOKS_EVERY_S:
        return _last[1]
    began = time.monotonic()
    async with database.connection() as conn:
        row = await (await conn.execute("SELECT now()")).fetchone()
        assert row is not None
        found = Look(
            at=row[0],
            workers=await _read(conn, WorkerRow, _WORKERS),
            queues=await _read(conn, Queue, _QUEUES),
            shares=await _read(conn, Share, _SHARES),
            waiting=await _read(conn, WaitingRow, _WAITING),
        )
    _last = began, found
    return found


def forget() -> None:
    """Look anew when somebody asks next."""
    global _last
    _last = None


async def _read(conn: database.Connection, kind: type[Any], statement: str) -> list[Any]:
    async with conn.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(statement)
        return await cursor.fetchall()
