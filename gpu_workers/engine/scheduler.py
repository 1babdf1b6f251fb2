"""Who is served next: per-run queues, barriers, and deficit round robin in tokens between teams.

Pure Python: it knows run ids, teams and token counts, no tensors and no threads. The engine thread
alone calls it.

A run's queue holds passes (forward, forward_backward) and barriers (everything that needs the
passes before it to be done: optimizer steps, saves, loads). Passes are served chunk by chunk up to
the run's first barrier. A cycle is at most `budget` tokens, shared between the teams that wait:
each visit gives a team a quantum to spend, what it does not spend it keeps while it has work.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, eq=False)
class Pass:
    """Chunks of one request, `costs` tokens each; `next` is the first not yet picked."""

    run: str
    costs: list[int]
    payload: Any
    next: int = 0
    done: int = 0


@dataclass(slots=True, eq=False)
class Barrier:
    """Work that waits for all before it and that all after it waits for."""

    run: str
    payload: Any


Item = Pass | Barrier


@dataclass(slots=True, eq=False)
class RunQueue:
    """What one run has been asked to do, in order."""

    run: str
    team: str
    items: deque[Item] = field(default_factory=deque)
    held: bool = False

    def next_pass(self) -> Pass | None:
        """The first pass before any barrier that still has a chunk to pick."""
        if self.held:
            return None
        for item in self.items:
            if isinstance(item, Barrier):
                return None
            if item.next < len(item.costs):
                return item
        return None


@dataclass(slots=True, eq=False)
class _Team:
    runs: OrderedDict[str, RunQueue] = field(default_factory=OrderedDict)
    deficit: int = 0


class Scheduler:
    """The engine's queues. `quantum` is the tokens a team may spend on each visit."""

    def __init__(self, quantum: int) -> None:
        self.quantum = quantum
        self.tokens = 0  # of all chunks not yet picked
        self._runs: dict[str, RunQueue] = {}  # runs that have work
        self._teams: OrderedDict[str, _Team] = OrderedDict()

    def add(self, item: Item, team: str) -> None:
        """Queue work behind all else of its run."""
        queue = self._runs.get(item.run)
        if queue is None:
            queue = self._runs[item.run] = RunQueue(item.run, team)
            members = self._teams.setdefault(team, _Team())
            members.runs[item.run] = queue
        queue.items.append(item)
        self.tokens += _unpicked(item)

    def hold(self, run: str) -> None:
        """Serve nothing of this run until `release`: it waits for something else."""
        if run in self._runs:
            self._runs[run].held = True

    def release(self, run: str) -> None:
        """Serve the run again."""
        if run in self._runs:
            self._runs[run].held = False

    def finish(self, item: Item) -> None:
        """Take finished (or failed) work out of its run's queue."""
        queue = self._runs.get(item.run)
        if queue is None or item not in queue.items:
            return
        queue.items.remove(item)
        self.tokens -= _unpicked(item)
        if not queue.items:
            self._forget(queue)

    def drop(self, run: str) -> list[Item]:
        """Forget a run; gives what it still had to do."""
        queue = self._runs.get(run)
        if queue is None:
            return []
        self._forget(queue)
        self.tokens -= sum(_unpicked(item) for item in queue.items)
        return list(queue.items)

    def _forget(self, queue: RunQueue) -> None:
        del self._runs[queue.run]
        team = self._teams[queue.team]
        del team.runs[queue.run]
        if not team.runs:
            del self._teams[queue.team]  # and its deficit: idle teams save nothing up

    def waiting(self, run: str) -> bool:
        """Whether the run has anything left to do."""
        return run in self._runs

    def busy(self, run: str) -> bool:
        """Whether the run is held or has a pass of which something was picked."""
        queue = self._runs.get(run)
        return queue is not None and (
            queue.held or any(isinstance(item, Pass) and item.next > 0 for item in queue.items)
        )

    def runs(self) -> Iterator[RunQueue]:
        """Runs with work, in the order in which they got some."""
        return iter(list(self._runs.values()))

    def barriers(self, ready: Callable[[str], bool]) -> list[Barrier]:
        """The barriers that nothing precedes, of runs that are neither held nor unready."""
        return [
            queue.items[0]
            for queue in self._runs.values()
            if isinstance(queue.items[0], Barrier) and not queue.held and ready(queue.run)
        ]

    def has_passes(self, ready: Callable[[str], bool]) -> bool:
        """Whether `cycle` would pick anything."""
        return any(
            queue.next_pass() is not None and ready(queue.run) for queue in self._runs.values()
        )

    def unserved(self) -> list[Pass]:
        """Passes of which a chunk was picked that is not done: none, once a cycle was served."""
        return [
            item
            for queue in self._runs.values()
            for item in queue.items
            if isinstance(item, Pass) and item.done < item.next
        ]

    def cycle(self, budget: int, ready: Callable[[str], bool]) -> list[tuple[Pass, int]]:
        """Pick the next chunks, (pass, chunk number), of about `budget` tokens, fairly.

        At least one chunk is picked if any can be. `ready` says which runs are in memory.
        """
        picked: list[tuple[Pass, int]] = []
        while _tokens(picked) < budget and self.has_passes(ready):
            name, team = self._first_active(ready)
            head = self._next(team, ready)
            if head is not None and head.costs[head.next] > team.deficit:
                team.deficit += self.quantum
            if self._serve(team, budget, ready, picked):
                break  # the budget is spent in the middle of its turn: it is first next time
            self._teams.move_to_end(name)
            if self._next(team, ready) is None:
                team.deficit = 0
        return picked

    def _serve(
        self,
        team: _Team,
        budget: int,
        ready: Callable[[str], bool],
        picked: list[tuple[Pass, int]],
    ) -> bool:
        """Pick what the team's deficit pays for; True if the budget cut it short."""
        spent = _tokens(picked)
        while (head := self._next(team, ready)) is not None:
            cost = head.costs[head.next]
            if cost > team.deficit:
                return False
            if picked and spent + cost > budget:
                return True
            team.deficit -= cost
            spent += cost
            self.tokens -= cost
            picked.append((head, head.next))
            head.next += 1
            team.runs.move_to_end(head.run)  # runs of a team take turns
        return False

    def _first_active(self, ready: Callable[[str], bool]) -> tuple[str, _Team]:
        return next(
            (name, team)
            for name, team in self._teams.items()
            if self._next(team, ready) is not None
        )

    @staticmethod
    def _next(team: _Team, ready: Callable[[str], bool]) -> Pass | None:
        for queue in team.runs.values():
            found = queue.next_pass()
            if found is not None and ready(queue.run):
                return found
        return None


def _tokens(picked: list[tuple[Pass, int]]) -> int:
    return sum(item.costs[number] for item, number in picked)


def _unpicked(item: Item) -> int:
    return sum(item.costs[item.next :]) if isinstance(item, Pass) else 0
