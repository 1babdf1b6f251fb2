"""Every moment of a run's time has a cause: which, is said here, and nothing else is done here.

A moment may have several: operations overlap. It is divided by what the run got of it, in this
order (docs/timeline.md says why): the engine works on the run; files are read or written for it;
something of it waits; an outcome is being written or sent; a limit turned it away; else the program
has the word. Only where the engine serves several at once is a moment divided, by its seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """A stretch of time in pieces.

    Attributes:
        edges: [n + 1], seconds. shares: [causes, n], of each piece they add up to 1.
        steps: [causes, n + 1], seconds of each cause from the beginning up to each edge.
    """

    edges: np.ndarray
    shares: np.ndarray
    steps: np.ndarray

    def spent(self) -> dict[Cause, float]:
        """Seconds by cause; they add up to the whole stretch."""
        return dict(zip(CAUSES, self.steps[:, -1].tolist(), strict=True))

    def between(self, first: float, last: float) -> dict[Cause, float]:
        """Seconds by cause of a part of the stretch."""
        found = self.up_to(np.array([last])) - self.up_to(np.array([first]))
        return dict(zip(CAUSES, found[:, 0].tolist(), strict=True))

    def up_to(self, moments: np.ndarray) -> np.ndarray:
        """Seconds of each cause up to some moments: [causes, moments]."""
        if self.edges.size < 2:
            return np.zeros((len(CAUSES), moments.size))
        moments = np.clip(moments, self.edges[0], self.edges[-1])
        at = np.clip(np.searchsorted(self.edges, moments, side="right") - 1, 0, self.edges.size - 2)
        return self.steps[:, at] + self.shares[:, at] * (moments - self.edges[at])


def course(facts: Facts, first: float, last: float) -> Course:
    """Divide the time from `first` to `last` into causes."""
    return _Division(facts, first, last).done()


def waits_of(works: Sequence[Work], whole: Course) -> list[dict[Cause, float]]:
    """Why each operation waited from its arrival until the engine began it, in seconds by cause.

    Behind an earlier one of the same run or sampler it waits in its own queue, whatever holds that
    one up. Then what counted for the run counts for it; work on the run's others is its own queue.
    """
    if not works:
        return []
    created, began, after = np.array([(w.created, w.began, w.after) for w in works]).T
    began = np.minimum(began, whole.edges[-1])
    own = np.clip(np.minimum(began, after) - created, 0, None)
    found = whole.up_to(began) - whole.up_to(np.minimum(began, np.maximum(created, after)))
    for cause in (Cause.ENGINE, Cause.FILES):
        found[_AT[Cause.QUEUE]] += found[_AT[cause]]
        found[_AT[cause]] = 0
    found[_AT[Cause.QUEUE]] += own
    return [dict(zip(CAUSES, row, strict=True)) for row in found.T.tolist()]


class _Division:
    """One stretch on its way to being divided."""

    def __init__(self, facts: Facts, first: float, last: float) -> None:
        self._turns = _bridged(facts.turns)
        works = facts.works
        names = ("created", "ready", "claimed", "after", "began", "ended", "finished")
        moments = {name: _column(works, name) for name in (*names, "asked", "delivered")}
        created, ready, claimed, after, began, ended, finished = (moments[name] for name in names)
        is_file = np.array([work.kind in FILE_KINDS for work in works], bool)
        engaged = np.stack((began, ended), axis=1)
        self._active = engaged[~is_file]
        self._files = np.concatenate((engaged[is_file], _pairs(facts.delays)))
        self._waiting = np.stack((created, began), axis=1)
        self._gaps = np.stack((created, np.minimum(ready, began)), axis=1)
        self._writing = np.stack((ended, finished), axis=1)
        asked = np.maximum(finished, moments["asked"])
        self._sending = np.stack((asked, np.where(asked < np.inf, moments["delivered"], 0)), axis=1)
        self._limits = _pairs(facts.limits) + np.array((0, KNOCKS_AGAIN_S))
        self._workers = _pairs(facts.workers)
        self._handing = np.concatenate(
            (
                self._workers[:, :1] + np.array((0, HANDOVER_S)),
                _short(ready, claimed),
                _short(np.maximum(claimed, after), began),
                _short(ended, finished),
            )
        )
        groups = (
            *(self._active, self._files, self._waiting, self._gaps, self._writing),
            *(self._sending, self._limits, self._workers, self._handing),
            _pairs([(turn.began, turn.ended) for turn in self._turns]),
        )
        edges = np.concatenate([group.ravel() for group in groups])
        self.edges = np.unique(np.clip(np.append(edges, (first, last)), first, last))
        self.lengths = np.diff(self.edges)
        self.middles = (self.edges[1:] + self.edges[:-1]) / 2
        self.shares = np.zeros((len(CAUSES), self.lengths.size))
        self.left = np.ones(self.lengths.size)

    def done(self) -> Course:
        """The stretch, divided."""
        if self.lengths.size:
            self._divide()
        spent = np.cumsum(self.shares * self.lengths, axis=1)
        steps = np.concatenate((np.zeros((len(CAUSES), 1)), spent), axis=1)
        return Course(self.edges, self.shares, steps)

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

    def _count(self, intervals: np.ndarray) -> np.ndarray:
        """How many of these are under way in each piece."""
        found = intervals[intervals[:, 1] > intervals[:, 0]]
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


def _column(works: Sequence[Work], name: str) -> np.ndarray:
    return np.array([getattr(work, name) for work in works], np.float64)


def _pairs(intervals: Iterable[Interval]) -> np.ndarray:
    """Intervals as an array, [n, 2]."""
    return np.array(list(intervals), np.float64).reshape(-1, 2)


def _short(began: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Of each interval what may be handing over."""
    return np.stack((began, np.minimum(ended, began + HANDOVER_S)), axis=1)


def _bridged(turns: list[EngineTurn]) -> list[EngineTurn]:
    """Turns in order, those of a busy engine without the moments between them."""
    found = sorted(turns, key=lambda turn: turn.began)
    for at, (turn, after) in enumerate(pairwise(found)):
        if after.began - turn.ended < BETWEEN_TURNS_S:
            found[at] = EngineTurn(turn.began, after.began, turn.own, turn.team, turn.others)
    return found
