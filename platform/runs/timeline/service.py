"""A run's timeline: what it waited for, drawn, divided, and said in a sentence."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from accounts.actors import Actor
from core import database
from core.errors import BadRequest, NotFound
from runs import trace
from runs.timeline import blame, picture, reading
from runs.timeline.advice import Advice, advise
from runs.timeline.facts import Cause, Work
from runs.timeline.picture import OperationTimes, Picture
from runs.timeline.reading import Stretch, Whose
from runs.timeline.waiting import WaitsNow, waiting_now

DEFAULT_S = 600.0
# a shorter stretch would tell moment by moment what others do
LEAST_S = 10.0
MOST_S = 6 * 3600.0

_STEPS = """
SELECT date_part('epoch', finished_at),
       (SELECT count(*) FROM operations_operation b
        WHERE b.target = %(run)s AND b.kind = 'optim_step' AND b.state = 'done'
          AND b.seq < %(seq)s)
       + row_number() OVER (ORDER BY seq) - 1
FROM operations_operation
WHERE target = %(run)s AND seq >= %(seq)s AND seq <= %(last_seq)s
  AND kind = 'optim_step' AND state = 'done'
ORDER BY seq LIMIT 5000
"""


@dataclass(frozen=True, slots=True)
class Blame:
    """A cause with its seconds of the stretch, and how long operations waited for it altogether.

    The seconds of all causes add up to the stretch. Waits do not: many may wait at once.
    """

    cause: str
    seconds: float
    share: float
    waits: float


@dataclass(frozen=True, slots=True)
class Timeline:
    """A stretch of a run's time; `first`, `last`, `now`, `begins`, `ends` are seconds since 1970.

    Attributes:
        begins, ends: of the run; it goes on while `ends` is null.
        cut: whether there was more than can be told, so that `first` is later than was asked.
        blame: every cause.
        total: how many operations lie in the stretch; `operations` are the newest of them.
        last_before: when the last operation before the stretch was over, if it holds none.
        trace: where the session's trace for ui.perfetto.dev is, for an hour or so.
    """

    first: float
    last: float
    now: float
    begins: float
    ends: float | None
    cut: bool
    blame: list[Blame]
    teams: int
    picture: Picture
    operations: list[OperationTimes]
    total: int
    last_before: float | None
    waiting: WaitsNow | None
    advice: Advice
    trace: str


async def find_timeline(
    *,
    actor: Actor,
    run_id: str,
    first: float | None = None,
    last: float | None = None,
    seconds: float = DEFAULT_S,
) -> Timeline:
    """A stretch of the time of a run of the actor's team; unless said otherwise, the last minutes.

    Raises:
        NotFound: there is no such run.
        BadRequest: the stretch is too short, too long, or ends before it begins.
    """
    async with database.connection() as conn:
        whose = await reading.find_whose(conn, run_id=run_id, team_id=actor.team_id)
        if whose is None:
            raise NotFound(f"there is no training run {run_id}")
        first, last = stretch_of(whose, first, last, seconds)
        stretch = await reading.read(conn, whose, first, last)
        seqs = [row["seq"] for row in stretch.rows if row["target"] == run_id]
        values = {"run": run_id, "seq": min(seqs, default=0), "last_seq": max(seqs, default=-1)}
        cursor = await conn.execute(_STEPS, values)
        steps = [(at, step) for at, step in await cursor.fetchall() if stretch.first <= at <= last]
        before = await _last_before(conn, run_id, first) if not stretch.rows else None
    signed, name = await trace.link_trace(actor=actor, session_id=whose.session_id)
    link = f"/api/v1/downloads/{signed}/{name}"
    return await asyncio.to_thread(_tell, whose, stretch, steps, before, link)


def stretch_of(
    whose: Whose, first: float | None, last: float | None, seconds: float
) -> tuple[float, float]:
    """What is told, within the run's life and within bounds."""
    end = whose.now if whose.ended is None else whose.ended
    last = end if last is None else min(last, whose.now)
    first = max(whose.created, last - seconds) if first is None else first
    if first >= last:
        raise BadRequest("to must be later than from, and from not in the future")
    if last - first > MOST_S:
        raise BadRequest(f"from and to may be {MOST_S / 3600:.0f} hours apart at most")
    # what lies outside of the run's life is nobody's time
    first = max(first, whose.created)
    last = max(min(last, end), first)
    if last - first < LEAST_S:
        first = last - LEAST_S
    return first, last


async def _last_before(conn: database.Connection, run_id: str, first: float) -> float | None:
    row = await (
        await conn.execute(
            """
            SELECT date_part('epoch', max(coalesce(finished_at, created_at)))
            FROM operations_operation WHERE target = %s AND created_at < to_timestamp(%s)
            """,
            (run_id, first),
        )
    ).fetchone()
    return None if row is None else row[0]


def _tell(
    whose: Whose,
    stretch: Stretch,
    steps: list[tuple[float, int]],
    last_before: float | None,
    link: str,
) -> Timeline:
    """All that is computed of a stretch; on a thread, for the event loop has others to serve."""
    course = blame.course(stretch.facts, stretch.first, stretch.last)
    spent = course.spent()
    works = {work.id: work for work in stretch.facts.works}
    found = blame.waits_of(stretch.facts.works, course)
    waits = {work.id: one for work, one in zip(stretch.facts.works, found, strict=True)}
    teams = len(frozenset[str]().union(*(one.teams for one in stretch.served)))
    length = max(stretch.last - stretch.first, 1e-9)
    is_now = whose.ended is None and whose.now - stretch.last < 2
    return Timeline(
        first=round(stretch.first, 3),
        last=round(stretch.last, 3),
        now=round(whose.now, 3),
        begins=round(whose.created, 3),
        ends=None if whose.ended is None else round(whose.ended, 3),
        cut=stretch.cut,
        blame=[
            Blame(
                str(cause),
                round(seconds, 4),
                round(seconds / length, 6),
                round(sum(one.get(cause, 0.0) for one in found), 4),
            )
            for cause, seconds in spent.items()
        ],
        teams=teams,
        picture=picture.draw(stretch, course, steps),
        operations=_newest(stretch, works, waits),
        total=len(works),
        waiting=waiting_now(stretch.facts.works, stretch.served, course, stretch.last)
        if is_now
        else None,
        advice=advise(stretch.facts.works, spent, teams=teams),
        last_before=last_before,
        trace=link,
    )


def _newest(
    stretch: Stretch, works: dict[int, Work], waits: dict[int, dict[Cause, float]]
) -> list[OperationTimes]:
    rows = sorted(stretch.rows, key=lambda row: (row["created"], row["seq"]))
    return [
        picture.times_of(row, works[row["id"]], waits[row["id"]], stretch.first)
        for row in rows[-picture.MOST_OPERATIONS :]
    ]
