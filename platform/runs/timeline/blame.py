"""Every moment of a run's time has a cause: which, is said here, and nothing else is done here.

A moment may have several: operations overlap. It is divided by what the run got of it, in this
order (docs/timeline.md says why): the engine works on the run; files are read or written for it;
something of it waits; an outcome is being written or sent; a limit turned it away; else the program
has the word. Only where the engine serves several at once is a moment divided, by its seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from runs.timeline.facts import FILE_KINDS, Cause, EngineTurn, Facts, Interval, Work

CAUSES = tuple(Cause)
# handing over takes so long at most; what lasts longer without another cause is unexplained
HANDOVER_S = 1.0
# between two turns of a busy engine there is at most so much time
BETWEEN_TURNS_S = 0.05
# to whom a limit said no comes again within this time
KNOCKS_AGAIN_S = 2.0

_AT = {cause: number for number, cause in enumerate(CAUSES)}


@dataclass(frozen=True, slots=True)
class Course:
    """A stretch of time in pieces: `edges` [n + 1] seconds, `shares` [causes, n], each sum 1."""

    edges: np.ndarray
    shares: np.ndarray

    def spent(self) -> dict[Cause, float]:
        """Seconds by cause; they add up to the whole stretch."""
        sums = self.shares @ np.diff(self.edges)
        return {cause: float(sums[at]) for at, cause in enumerate(CAUSES)}

    def between(self, first: float, last: float) -> dict[Cause, float]:
        """Seconds by cause of a part of the stretch."""
        first, last = np.clip((first, last), self.edges[0], self.edges[-1])
        steps = np.concatenate(
            (np.zeros((len(CAUSES), 1)), np.cumsum(self.shares * np.diff(self.edges), axis=1)),
            axis=1,
        )
        return {
            cause: float(np.interp(last, self.edges, row) - np.interp(first, self.edges, row))
            for cause, row in zip(CAUSES, steps, strict=True)
        }


def course(facts: Facts, first: float, last: float) -> Course:
    """Divide the time from `first` to `last` into causes."""
    return _Division(facts, first, last).done()


def waits_of(work: Work, whole: Course) -> dict[Cause, float]:
    """Why one operation waited from its arrival until the engine began it, in seconds by cause.

    Behind an earlier one of the same run or sampler it waits in its own queue, whatever holds that
    one up. Then what counted for the run counts for it; work on the run's others is its own queue.
    """
    began = min(work.began, float(whole.edges[-1]))
    own = max(0.0, min(began, work.after) - work.created)
    found = whole.between(min(began, max(work.created, work.after)), began)
    queue = own + found.pop(Cause.QUEUE) + found.pop(Cause.ENGINE) + found.pop(Cause.FILES)
    return {Cause.QUEUE: queue} | found


class _Division:
    """One stretch on its way to being divided."""

    def __init__(self, facts: Facts, first: float, last: float) -> None:
        self._turns = _bridged(facts.turns)
        works = facts.works
        self._active = [(w.began, w.ended) for w in works if w.kind not in FILE_KINDS]
        self._files = [(w.began, w.ended) for w in works if w.kind in FILE_KINDS] + facts.delays
        self._waiting = [(w.created, w.began) for w in works]
        self._gaps = [(w.created, min(w.ready, w.began)) for w in works]
        self._writing = [(w.ended, w.finished) for w in works]
        asked = [w for w in works if w.asked < w.delivered]
        self._sending = [(max(w.finished, w.asked), w.delivered) for w in asked]
        self._limits = [(began, ended + KNOCKS_AGAIN_S) for began, ended in facts.limits]
        self._workers = facts.workers
        self._handing = [
            *((began, began + HANDOVER_S) for began, _ in facts.workers),
            *(_short(w.ready, w.claimed) for w in works),
            *(_short(max(w.claimed, w.after), w.began) for w in works),
            *(_short(w.ended, w.finished) for w in works),
        ]
        self.edges = _edges(
            first,
            last,
            [(turn.began, turn.ended) for turn in self._turns],
            *(self._active, self._files, self._waiting, self._gaps, self._writing),
            *(self._sending, self._limits, self._workers, self._handing),
        )
        self.lengths = np.diff(self.edges)
        self.middles = (self.edges[1:] + self.edges[:-1]) / 2
        self.shares = np.zeros((len(CAUSES), self.lengths.size))
        self.left = np.ones(self.lengths.size)

    def done(self) -> Course:
        """The stretch, divided."""
        if self.lengths.size:
            self._divide()
        return Course(self.edges, self.shares)

    def _divide(self) -> None:
        active = self._count(self._active) > 0
        waiting = self._count(self._waiting)
        waits = waiting > 0
        foreign, of_team, alone = self._rates(active)
        # the engine is at it: what it gave to others meanwhile is theirs
        self._take_foreign(active, foreign, of_team)
        self._take(Cause.ENGINE, active)
        self._take(Cause.FILES, self._count(self._files) > 0)
        self._take(Cause.NO_WORKER, waits & (self._count(self._workers) == 0))
        self._take(Cause.QUEUE, waits & (self._count(self._gaps) == waiting))
        # what it did for the run while nothing was under way has come to nothing: a crash
        self._take(Cause.ENGINE, waits, alone)
        self._take_foreign(waits, foreign, of_team)
        handing = self._count(self._handing) > 0
        self._take(Cause.WIRE, waits & handing)
        self._take(Cause.UNEXPLAINED, waits)
        writing = self._count(self._writing) > 0
        self._take(Cause.WIRE, writing & handing)
        self._take(Cause.UNEXPLAINED, writing)
        self._take(Cause.WIRE, self._count(self._sending) > 0)
        self._take(Cause.LIMITED, self._count(self._limits) > 0)
        self._take(Cause.PROGRAM, np.ones_like(active))

    def _take(self, cause: Cause, where: np.ndarray, most: np.ndarray | float = 1.0) -> None:
        """Give a cause what is left of some pieces, up to a share."""
        share = np.where(where, np.minimum(self.left, most), 0)
        self.shares[_AT[cause]] += share
        self.left -= share

    def _take_foreign(self, where: np.ndarray, most: np.ndarray, of_team: np.ndarray) -> None:
        """Give a share to those whom the engine served instead; `of_team` is whose part of it."""
        taken = np.where(where, np.minimum(self.left, most), 0)
        self._take(Cause.TEAM, where, taken * of_team)
        self._take(Cause.OTHERS, where, taken * (1 - of_team))

    def _count(self, intervals: Iterable[Interval]) -> np.ndarray:
        """How many of these are under way in each piece."""
        found = np.array([pair for pair in intervals if pair[1] > pair[0]]).reshape(-1, 2)
        starts, ends = np.sort(found[:, 0]), np.sort(found[:, 1])
        return np.searchsorted(starts, self.middles) - np.searchsorted(ends, self.middles)

    def _rates(self, active: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each piece, how much the engine gave to others, the team's part of that, and `alone`.

        Of a turn is known how long it served whom, not when. While the run has it do something, it
        is idle for nobody: what it did not give to the run went to others, as far as it served any.
        The rest of what they got falls into the rest of the turn. `alone` is what it did for the
        run in turns in which the run had nothing under way.
        """
        if not self._turns:
            nothing = np.zeros(self.lengths.size)
            return nothing, nothing, nothing
        began, ended, own, team, others = np.array(
            [(t.began, t.ended, t.own, t.team, t.others) for t in self._turns]
        ).T
        at = np.searchsorted(began, self.middles, side="right") - 1
        inside = (at >= 0) & (self.middles < ended[at])
        length = np.maximum(ended - began, 1e-9)
        # of a turn at the stretch's border a part is seen, and serves for the whole
        seen, busy = np.zeros(began.size), np.zeros(began.size)
        np.add.at(seen, at[inside], self.lengths[inside])
        np.add.at(busy, at[inside], (self.lengths * active)[inside])
        busy *= length / np.maximum(seen, 1e-9)
        foreign = team + others
        meanwhile = np.clip(np.minimum(foreign, busy - own), 0, None)
        within = meanwhile / np.maximum(busy, 1e-9)
        beside = np.minimum(1, (foreign - meanwhile) / np.maximum(length - busy, 1e-9))
        rate = np.where(active, within[at], beside[at])
        alone = np.where(busy <= 0, np.minimum(1, own / length), 0)[at]
        of_team = (team / np.maximum(foreign, 1e-12))[at]
        return np.where(inside, rate, 0), np.clip(of_team, 0, 1), np.where(inside, alone, 0)


def _short(began: float, ended: float) -> Interval:
    return began, min(ended, began + HANDOVER_S)


def _bridged(turns: list[EngineTurn]) -> list[EngineTurn]:
    """Turns in order, those of a busy engine without the moments between them."""
    found = sorted(turns, key=lambda turn: turn.began)
    for at, (turn, after) in enumerate(pairwise(found)):
        if after.began - turn.ended < BETWEEN_TURNS_S:
            found[at] = EngineTurn(turn.began, after.began, turn.own, turn.team, turn.others)
    return found


def _edges(first: float, last: float, *groups: Iterable[Interval]) -> np.ndarray:
    """All moments at which something begins or ends, from `first` to `last`."""
    moments = np.array([first, last, *(at for group in groups for pair in group for at in pair)])
    return np.unique(np.clip(moments, first, last))
