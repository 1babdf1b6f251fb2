"""What has changed in a team since somebody looked: a sentence's worth of each run, at most a few.

What happened is known from events after the cursor of what they have seen; how headlines moved,
from how these stood then, which is kept with the cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import dict_row

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from captures import curves
from core import database
from core.errors import BadRequest
from events import reader, seen
from events.cursors import BadCursor, Cursor
from events.seen import Headlines, News, Seen
from operations import cluster
from runs import headlines
from runs.cluster import reason_of
from runs.headlines import Better, MetricSummary
from runs.overviews import ENDED, NAME

What = Literal["failed", "waiting", "moved", "finished", "stopped", "saved", "new"]
# the most important first
_ORDER: tuple[What, ...] = ("failed", "waiting", "moved", "finished", "stopped", "saved", "new")
MOST_SHOWN = 8
MOST_RUNS = 200
# whose headline is looked at
MOST_MOVED = 50
# of the newest points of a headline the best is told
MOST_POINTS = 20_000
# a shorter wait is nothing to come back to
WAITS_AFTER_S = 60
_STUCK = {"unserved", "silent", "retrying", "suspect"}
_NONE: tuple[str, int, float | None] = ("", -1, None)


@dataclass(frozen=True, slots=True)
class Moved:
    """How a headline moved; `best`: since then, with its step. Values not finite are None."""

    key: str
    better: Better | None
    first: float | None
    last: float | None
    step: int
    best: float | None
    best_step: int | None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a run.

    Attributes:
        what: the most important of it.
        reason: why it failed, stopped or waits.
        sound: the name of the last checkpoint of a run that failed, if it has one.
        saved: how many checkpoints it has saved. newest: the last one's name.
    """

    run_id: str
    name: str
    what: What
    at: datetime
    reason: str | None
    moved: Moved | None
    saved: int
    newest: str | None
    sound: str | None


@dataclass(frozen=True, slots=True)
class Since:
    """What is new to somebody; nothing to who has never been there.

    Attributes:
        cursor: up to where this tells; what to say that one has seen.
        since: when they last looked. more: how many changes are not shown.
    """

    cursor: str
    since: datetime | None
    changes: list[Change]
    more: int


_STANDING = f"""
SELECT r.id, {NAME} AS name, {ENDED} AS ended, s.end_detail AS reason, s.ended_at, r.created_at,
       coalesce(l.moved_at, r.created_at) AS moved_at, now() AS now
FROM runs_trainingrun r JOIN runs_session s ON s.id = r.session_id
LEFT JOIN operations_lane l ON l.target = r.id
WHERE r.team_id = %(team)s AND r.id = ANY(%(runs)s)
"""
_OPEN = f"""
SELECT target FROM operations_lane
WHERE team_id = %s AND ordered AND closed_at IS NULL ORDER BY opened_at DESC LIMIT {MOST_RUNS}
"""
_SOUND = """
SELECT DISTINCT ON (run_id) run_id, name FROM checkpoints_checkpoint
WHERE run_id = ANY(%s) AND segment = 'weights' AND (expires_at IS NULL OR expires_at > now())
ORDER BY run_id, created_at DESC
"""
_BEST = f"""
SELECT value, step FROM (
    SELECT value, step FROM {{table}} recorded
    WHERE run_id = %(run)s AND key = %(key)s AND step > %(after)s
    ORDER BY step DESC LIMIT {MOST_POINTS}
) points WHERE value = value AND abs(value) < 'infinity'
ORDER BY value {{order}}, step LIMIT 1
"""


@dataclass(slots=True)
class _Facts:
    """What is known of a run that may have changed."""

    run_id: str
    name: str
    at: datetime
    ended: str | None = None
    reason: str | None = None
    is_new: bool = False
    stuck: bool = False
    saved: list[str] = field(default_factory=list)
    moved: Moved | None = None

    def what(self) -> What | None:
        """The most important; None if nothing has changed."""
        if self.ended is not None:
            return self.ended  # type: ignore[return-value]
        if self.stuck:
            return "waiting"
        if self.moved is not None:
            return "moved"
        return "saved" if self.saved else "new" if self.is_new else None


async def read(*, actor: Actor, user_id: int) -> Since:
    """What has changed in the actor's team since that person looked."""
    async with database.connection() as conn:
        now = await reader.current(conn)
        before = await seen.read(conn, user_id=user_id, team_id=actor.team_id)
        if before is None:
            return Since(str(now), None, [], 0)
        facts = await _facts(conn, actor.team_id, before, now)
        found = [one for one in facts if one.what() is not None]
        found.sort(key=_importance)
        shown = found[:MOST_SHOWN]
        sound = await _sound(conn, [one.run_id for one in shown if one.ended == "failed"])
        changes = [_change(one, sound) for one in shown]
    return Since(str(now), before.at, changes, len(found) - len(shown))


async def mark(*, actor: Actor, user_id: int, cursor: str | None) -> None:
    """Note that somebody has seen what there is up to a cursor; None: up to now.

    Raises:
        Forbidden: the actor's role does not suffice.
        BadRequest: the cursor is none, or none of this server's.
    """
    rights.require(actor, Right.SAY_WHAT_IS_SEEN)
    async with database.connection() as conn, conn.transaction():
        now = await reader.current(conn)
        upto = now if cursor is None else _parsed(cursor, now)
        rows = await (await conn.execute(_OPEN, (actor.team_id,))).fetchall()
        runs = [run_id for (run_id,) in rows]
        heads = _heads(runs, await headlines.summarize(conn, runs))
        await seen.write(conn, user_id=user_id, team_id=actor.team_id, cursor=upto, headlines=heads)


def _parsed(text: str, now: Cursor) -> Cursor:
    try:
        found = Cursor.parse(text)
    except BadCursor:
        raise BadRequest("cursor is none that this server has given") from None
    if found.server != now.server or found.seen.xmax > now.seen.xmax:
        raise BadRequest("cursor is none that this server has given")
    return found


def _heads(runs: Iterable[str], summaries: dict[str, list[MetricSummary]]) -> Headlines:
    """The headline of each run as it stands; of those without metrics, that they are there."""
    found: Headlines = dict.fromkeys(runs, _NONE)
    for run_id, metrics in summaries.items():
        head = headlines.choose(metrics)
        found[run_id] = (head.key, head.last_step, head.last_value)
    return found


async def _facts(
    conn: database.Connection, team_id: int, before: Seen, now: Cursor
) -> list[_Facts]:
    news = await seen.news(conn, team_id=team_id, seen=before, now=now)
    stuck = await _stuck(team_id, before.at)
    ids = {*before.headlines, *(one.run_id for one in news), *stuck}
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_STANDING, {"team": team_id, "runs": list(ids)})
        rows = await cursor.fetchall()
    found = {row["id"]: _fact(row, news) for row in rows}
    for run_id in stuck.keys() & found.keys():
        found[run_id].stuck, found[run_id].reason = True, stuck[run_id]
    moved = sorted(rows, key=_moved_at)
    for run_id, change in (await _moves(conn, moved[-MOST_MOVED:], before.headlines)).items():
        found[run_id].moved = change
    return list(found.values())


async def _stuck(team_id: int, at: datetime) -> dict[str, str]:
    """What has begun to wait since, and not just for its turn: run or sampler, and why."""
    found: dict[str, str] = {}
    for row in (await cluster.look()).waiting:
        why, words = reason_of(row)
        begun = row.since > at and row.waited_s > WAITS_AFTER_S
        if row.team_id == team_id and begun and why in _STUCK:
            found[row.target] = words
    return found


def _moved_at(row: dict[str, Any]) -> datetime:
    found: datetime = row["moved_at"]
    return found


def _fact(row: dict[str, Any], news: Iterable[News]) -> _Facts:
    fact = _Facts(row["id"], row["name"], row["moved_at"])
    # newest first
    for one in [one for one in news if one.run_id == row["id"]]:
        if one.kind == "run.ended":
            fact.ended, fact.reason = row["ended"], row["reason"]
        elif one.kind == "run.created":
            fact.is_new = True
        else:
            fact.saved.append(str(one.data.get("name", "")))
    return fact


async def _moves(
    conn: database.Connection, rows: Sequence[dict[str, Any]], before: Headlines
) -> dict[str, Moved]:
    """How the headlines of runs moved; those that did not are left out."""
    summaries = await headlines.summarize(conn, [row["id"] for row in rows])
    found: dict[str, Moved] = {}
    for run_id, metrics in summaries.items():
        head = headlines.choose(metrics)
        key, step, value = before.get(run_id, _NONE)
        if key != head.key:
            # it had none, or another one: from its beginning
            step, value = -1, head.first_value
        if head.last_step <= step or (step < 0 and head.first_step == head.last_step):
            continue
        best, best_step = await _best(conn, run_id, head, step)
        found[run_id] = Moved(
            head.key, head.better, value, head.last_value, head.last_step, best, best_step
        )
    return found


async def _best(
    conn: database.Connection, run_id: str, head: MetricSummary, after: int
) -> tuple[float | None, int | None]:
    if head.better is None:
        return None, None
    statement = _BEST.format(
        order="DESC" if head.better == "up" else "ASC",
        table=curves.table_of(head.key, "runs_metric"),
    )
    values = {"run": run_id, "key": head.key, "after": after}
    row = await (await conn.execute(statement, values)).fetchone()
    return (None, None) if row is None else (row[0], row[1])


async def _sound(conn: database.Connection, runs: list[str]) -> dict[str, str]:
    """The name of the last checkpoint to train on of each run that has one."""
    if not runs:
        return {}
    return dict(await (await conn.execute(_SOUND, (runs,))).fetchall())


def _importance(fact: _Facts) -> tuple[int, float]:
    what = fact.what()
    assert what is not None
    return _ORDER.index(what), -fact.at.timestamp()


def _change(fact: _Facts, sound: dict[str, str]) -> Change:
    what = fact.what()
    assert what is not None
    return Change(
        run_id=fact.run_id,
        name=fact.name,
        what=what,
        at=fact.at,
        reason=fact.reason,
        moved=fact.moved,
        saved=len(fact.saved),
        newest=fact.saved[0] if fact.saved else None,
        sound=sound.get(fact.run_id),
    )
