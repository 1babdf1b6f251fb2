"""What of a run waits at this moment: behind what, and why, in words. Of others only counts."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from runs.timeline.blame import Course
from runs.timeline.facts import Cause, Work
from runs.timeline.reading import Served

# over so long others' share is told, so that nobody's load can be read from it moment by moment
OVER_S = 10.0

_WORDS = {
    Cause.TEAM: "other runs of your team are served first",
    Cause.QUEUE: "it stands behind earlier operations of this run",
    Cause.FILES: "weights are being read or written for this run",
    Cause.NO_WORKER: "no worker serves the base model",
    Cause.ENGINE: "the engine is working for this run",
    Cause.WIRE: "it is being handed over",
}


@dataclass(frozen=True, slots=True)
class WaitsNow:
    """The oldest operation that is not finished.

    Attributes:
        running: whether a worker has it.
        ahead: how many operations of the same run or sampler are before it.
        others: how many came after it and wait, too.
        cause: what held it most in the last seconds; `reason`: that in words.
    """

    kind: str
    target: str
    seq: int
    since_s: float
    running: bool
    ahead: int
    others: int
    cause: str
    reason: str


def waiting_now(
    works: list[Work], served: list[Served], course: Course, now: float
) -> WaitsNow | None:
    """What waits now, if anything does."""
    unfinished = [work for work in works if work.finished == inf and work.created <= now]
    if not unfinished:
        return None
    oldest = min(unfinished, key=lambda work: (work.created, work.seq))
    since = max(oldest.created, now - OVER_S)
    found = course.between(since, now)
    cause = max(found, key=lambda one: found[one])
    return WaitsNow(
        kind=oldest.kind,
        target=oldest.target,
        seq=oldest.seq,
        since_s=round(now - oldest.created, 3),
        running=oldest.claimed < inf,
        ahead=sum(
            1 for work in unfinished if work.target == oldest.target and work.seq < oldest.seq
        ),
        others=len(unfinished) - 1,
        cause=str(cause),
        reason=_reason(cause, served, now),
    )


def _reason(cause: Cause, served: list[Served], now: float) -> str:
    if cause != Cause.OTHERS:
        return _WORDS.get(cause, "why is not known")
    recent = [one for one in served if one.turn.ended > now - OVER_S]
    theirs = [one for one in recent if one.turn.others > one.turn.own + one.turn.team]
    teams = len(frozenset[str]().union(*(one.teams for one in theirs)))
    whom = "another team" if teams == 1 else f"{teams} other teams"
    cycles, of_them = sum(one.pieces for one in recent), sum(one.pieces for one in theirs)
    return f"{of_them} of {cycles} cycles in the last {OVER_S:.0f} s were given to {whom}"
