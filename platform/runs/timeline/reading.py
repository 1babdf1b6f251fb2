"""What the log knows of a stretch of a run's time, its samplers' operations included.

All reads are bounded. Of others is read what their share of the engine's time was, as numbers;
nothing here knows their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import Any

from psycopg.rows import dict_row

from core import database
from operations import workers
from runs.timeline.facts import FILE_KINDS, EngineTurn, Facts, Work

MOST_OPERATIONS = 5000
MOST_TURNS = 20_000
# the newest that there were at the time
MOST_SAMPLERS = 50
# of a run's operations those that came so long before a stretch may still have been under way
BEFORE = 300
# a worker that has not renewed its lease for so long is not there any more
SILENT_S = 12.0
LONGEST_TURN_S = 60.0

_RUN = """
SELECT r.id, date_part('epoch', r.created_at) AS created, b.name AS base_model, b.pool,
       l.worker_id, l.claimed_seq, r.session_id, date_part('epoch', s.ended_at) AS session_ended,
       date_part('epoch', now()) AS now
FROM runs_trainingrun r
JOIN runs_session s ON s.id = r.session_id
JOIN catalog_basemodel b ON b.id = r.base_model_id
LEFT JOIN operations_lane l ON l.target = r.id
WHERE r.id = %(run)s AND r.team_id = %(team)s
"""
_LAST = """
SELECT date_part('epoch', max(greatest(o.created_at, o.finished_at, o.delivered_at))) AS last
FROM (SELECT * FROM operations_operation WHERE target = %(run)s ORDER BY seq DESC LIMIT 20) o
"""
# the first operation of a run that came at or after a moment: they come in order, or nearly
_FIRST_SEQ = """
WITH RECURSIVE ends AS (
    SELECT 0::bigint AS low,
           coalesce((SELECT max(seq) FROM operations_operation WHERE target = %(run)s), 0) AS high
), search AS (
    SELECT low, high, 0 AS tries FROM ends
    UNION ALL
    SELECT CASE WHEN m.earlier THEN m.middle + 1 ELSE s.low END,
           CASE WHEN m.earlier THEN s.high ELSE m.middle END, s.tries + 1
    FROM search s CROSS JOIN LATERAL (
        SELECT (s.low + s.high) / 2 AS middle,
               (SELECT o.created_at < to_timestamp(%(first)s) FROM operations_operation o
                WHERE o.target = %(run)s AND o.seq >= (s.low + s.high) / 2
                ORDER BY o.seq LIMIT 1) AS earlier) m
    WHERE s.low < s.high AND s.tries < 64
)
SELECT min(high) FROM search
"""
_MOMENTS = """
o.id, o.target, o.seq, o.kind, o.state, o.cost, o.worker_id, left(o.error, 300) AS error,
date_part('epoch', o.created_at) AS created, date_part('epoch', o.started_at) AS claimed,
date_part('epoch', o.began_at) AS began, date_part('epoch', o.ended_at) AS ended,
date_part('epoch', o.finished_at) AS finished, date_part('epoch', o.asked_at) AS asked,
date_part('epoch', o.delivered_at) AS delivered
"""
_IN_TIME = """
o.created_at < to_timestamp(%(last)s)
AND (o.finished_at IS NULL OR coalesce(o.delivered_at, o.finished_at) >= to_timestamp(%(first)s))
"""
_OF_RUN = f"""
SELECT {_MOMENTS} FROM operations_operation o
WHERE o.target = %(run)s AND o.seq >= %(seq)s AND {_IN_TIME}
ORDER BY o.seq DESC LIMIT %(most)s
"""
# another team may sample from a published checkpoint of the run: that is its own
_OF_SAMPLERS = f"""
SELECT {_MOMENTS} FROM operations_operation o
WHERE o.target = ANY(ARRAY(
    SELECT s.id FROM runs_sampler s JOIN operations_lane l ON l.target = s.id
    WHERE s.run_id = %(run)s AND s.team_id = %(team)s AND l.opened_at < to_timestamp(%(last)s)
    ORDER BY l.opened_at DESC LIMIT %(samplers)s))
  AND {_IN_TIME}
ORDER BY o.id DESC LIMIT %(most)s
"""
_TURNS = """
SELECT date_part('epoch', t.began_at) AS began, date_part('epoch', t.ended_at) AS ended,
       t.worker_id, t.pieces, t.shares
FROM operations_turn t
WHERE t.pool = %(pool)s AND t.base_model = %(base_model)s
  AND t.began_at >= to_timestamp(%(first)s - %(longest)s) AND t.began_at < to_timestamp(%(last)s)
  AND t.ended_at > to_timestamp(%(first)s)
ORDER BY t.began_at DESC LIMIT %(most)s
"""
_DELAYS = """
SELECT cause, date_part('epoch', began_at) AS began, date_part('epoch', ended_at) AS ended
FROM operations_delay
WHERE target = ANY(%(targets)s) AND began_at < to_timestamp(%(last)s)
  AND began_at > to_timestamp(%(first)s - 3600) AND ended_at >= to_timestamp(%(first)s - 10)
LIMIT %(most)s
"""
_WORKERS = f"""
SELECT id, date_part('epoch', started_at) AS began,
       date_part('epoch', alive_until) AS until,
       date_part('epoch', alive_until) - {workers.ALIVE_S} AS renewed,
       lingering
FROM operations_worker
WHERE pool = %(pool)s AND jsonb_exists(models_served, %(base_model)s)
  AND alive_until > to_timestamp(%(first)s - 60)
"""


@dataclass(frozen=True, slots=True)
class Whose:
    """A run as its time is told: until when it lasted, and what serves it."""

    id: str
    team_id: int
    base_model: str
    pool: str
    worker_id: Any
    claimed_seq: int
    session_id: str
    created: float
    ended: float | None
    now: float


@dataclass(frozen=True, slots=True)
class Served:
    """An engine's turn with what of it was whose: `run_tokens` are this run's."""

    turn: EngineTurn
    run_tokens: int
    pieces: int
    # the other teams that were served in it: how many, and which only to be counted together
    teams: frozenset[str]


@dataclass(slots=True)
class Stretch:
    """All that is known; `cut` says that what is older was left out, and `first` moved on."""

    first: float
    last: float
    facts: Facts = field(default_factory=Facts)
    rows: list[dict[str, Any]] = field(default_factory=list)
    served: list[Served] = field(default_factory=list)
    delays: list[tuple[str, float, float]] = field(default_factory=list)
    cut: bool = False


async def find_whose(conn: database.Connection, *, run_id: str, team_id: int) -> Whose | None:
    """The run, if the team has it."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_RUN, {"run": run_id, "team": team_id})
        row = await cursor.fetchone()
        if row is None:
            return None
        await cursor.execute(_LAST, {"run": run_id})
        last = await cursor.fetchone()
    moved = (last or {}).get("last") or row["created"]
    ended = row.pop("session_ended")
    return Whose(
        **{name: row[name] for name in ("id", "base_model", "pool", "worker_id", "session_id")},
        team_id=team_id,
        claimed_seq=-1 if row["claimed_seq"] is None else row["claimed_seq"],
        created=row["created"],
        ended=None if ended is None else min(ended, max(moved, row["created"] + 1)),
        now=row["now"],
    )


async def read(conn: database.Connection, whose: Whose, first: float, last: float) -> Stretch:
    """A stretch of a run's time; of one with very much in it, the newest part."""
    values: dict[str, Any] = {
        "run": whose.id,
        "team": whose.team_id,
        "pool": whose.pool,
        "base_model": whose.base_model,
        "first": first,
        "last": last,
        "most": MOST_OPERATIONS + 1,
        "samplers": MOST_SAMPLERS,
        "longest": LONGEST_TURN_S,
    }
    async with conn.cursor(row_factory=dict_row) as cursor:

        async def all_of(statement: str, **more: Any) -> list[dict[str, Any]]:
            await cursor.execute(statement, values | more)
            return await cursor.fetchall()

        (found,) = await all_of(_FIRST_SEQ)
        seq = max(0, (found["min"] or 0) - BEFORE)
        of_run = await all_of(_OF_RUN, seq=seq)
        of_samplers = await all_of(_OF_SAMPLERS)
        turns = await all_of(_TURNS, most=MOST_TURNS + 1)
        targets = list({row["target"] for row in of_samplers} | {whose.id})
        delays = await all_of(_DELAYS, targets=targets)
        alive = await all_of(_WORKERS)
    cuts = [
        rows[MOST - 1]["created" if "created" in rows[0] else "began"]
        for rows, MOST in (
            (of_run, MOST_OPERATIONS),
            (of_samplers, MOST_OPERATIONS),
            (turns, MOST_TURNS),
        )
        if len(rows) > MOST
    ]
    first = min(max([first, *cuts]), last)
    rows = sorted(of_run[:MOST_OPERATIONS] + of_samplers[:MOST_OPERATIONS], key=_by_target)
    stretch = Stretch(first, last, rows=rows, cut=bool(cuts))
    stretch.delays = [(row["cause"], row["began"], row["ended"]) for row in delays]
    stretch.served = _served(whose, turns, rows)
    stretch.facts = Facts(
        works=_works(rows, whose),
        turns=[one.turn for one in stretch.served],
        delays=[(b, e) for cause, b, e in stretch.delays if cause != "limited"],
        limits=[(b, e) for cause, b, e in stretch.delays if cause == "limited"],
        workers=[(row["began"], _was_there(row, turns, whose.now)) for row in alive],
    )
    return stretch


def _was_there(worker: dict[str, Any], turns: list[dict[str, Any]], now: float) -> float:
    """Until when a worker was there; `inf` if it is.

    One that leaves says so. One that is killed renews its lease no more: it was there when it did
    so last, or when its engine last did something.
    """
    seen = max((turn["ended"] for turn in turns if turn["worker_id"] == worker["id"]), default=0.0)
    seen = max(seen, worker["renewed"], worker["began"])
    if worker["until"] > now:
        return inf if now - seen < SILENT_S else seen
    return seen if worker["lingering"] else float(worker["until"]) + workers.MARGIN_S


def _by_target(row: dict[str, Any]) -> tuple[str, int]:
    return row["target"], row["seq"]


def _served(whose: Whose, turns: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[Served]:
    """Turns of the workers that had the run, divided into the run's, its team's and others'."""
    targets = {row["target"] for row in rows} | {whose.id}
    mine = {row["worker_id"] for row in rows} | {whose.worker_id}
    mine.discard(None)
    team = str(whose.team_id)
    found = []
    for row in reversed(turns[:MOST_TURNS]):
        if mine and row["worker_id"] not in mine:
            continue
        own_team = row["shares"].get(team, {})
        own = sum(share[1] for target, share in own_team.items() if target in targets)
        tokens = sum(share[0] for target, share in own_team.items() if target in targets)
        all_own = sum(share[1] for share in own_team.values())
        everybody = sum(share[1] for one in row["shares"].values() for share in one.values())
        found.append(
            Served(
                EngineTurn(row["began"], row["ended"], own, all_own - own, everybody - all_own),
                tokens,
                row["pieces"],
                frozenset(row["shares"].keys() - {team}),
            )
        )
    return found


def _works(rows: list[dict[str, Any]], whose: Whose) -> list[Work]:
    """Operations as work in order: each with when it was ready, and when the one before ended."""
    works: list[Work] = []
    target, ready, after, before = "", 0.0, 0.0, -1
    for row in rows:
        if row["target"] != target:
            target, ready, after, before = row["target"], 0.0, 0.0, -1
        moments = {
            name: inf if row[name] is None else row[name]
            for name in ("claimed", "began", "ended", "finished", "asked", "delivered")
        }
        work = Work(
            row["id"], target, row["seq"], row["kind"], row["created"], **moments, after=after
        )
        if row["state"] == "running" and work.kind in FILE_KINDS and after < inf:
            work.began = max(work.claimed, after)  # what it does is told when it is done
        if target == whose.id:
            # a number before it has not come
            is_gap = before >= 0 and row["seq"] > before + 1 and row["seq"] > whose.claimed_seq
            ready = inf if is_gap else max(ready, row["created"])
            work.ready = ready
        work.put_in_order()
        if target == whose.id:
            before, after = row["seq"], max(after, min(work.ended, work.finished))
        works.append(work)
    return works
