"""The engine's file threads: reads and writes happen behind training, in turns between teams.

One thread does what somebody waits for (publications, loads, runs that are parked or come back),
the other saves, so that nobody waits behind another team's saves. A run's work is done in the order
asked for, one piece at a time: a load sees the save before it, a parked run the state it was parked
in. Work hurries when what is behind it in its run does.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")
Then = Callable[[Any], None]

TURN_BYTES = 1 << 16
"""What any piece of work counts for at least when teams take turns: opening files costs, too."""


@dataclass(slots=True, eq=False)
class FileWork:
    """One piece of work; `nbytes` is the memory it holds until it is done, `account` whose."""

    run: str
    team: str
    urgent: bool
    nbytes: int
    account: str
    work: Callable[[], Any]
    then: Then


@dataclass(slots=True, eq=False)
class _Lane:
    """A run's work in order; of a lane only one piece is under way."""

    team: str
    waiting: deque[FileWork] = field(default_factory=deque)
    running: bool = False

    @property
    def urgent(self) -> bool:
        return any(work.urgent for work in self.waiting)


class FileQueue:
    """Which piece of work is next. Pure: no threads, no files.

    The team that was served least, in bytes, is next; its runs take turns. A team that comes back
    starts level with those present.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane] = {}
        self._served: dict[str, int] = {}

    def push(self, work: FileWork) -> None:
        """Queue work behind all else of its run."""
        if work.team not in self._served:
            self._served[work.team] = min(self._served.values(), default=0)
        self._lanes.setdefault(work.run, _Lane(work.team)).waiting.append(work)

    def next(self, *, urgent: bool) -> FileWork | None:
        """Work to begin now, of a run with urgent work or of one without; None if there is none."""
        open_lanes = [
            (run, lane)
            for run, lane in self._lanes.items()
            if not lane.running and lane.urgent == urgent
        ]
        if not open_lanes:
            return None
        # the first of equals: lanes that were served stand behind the others
        run, lane = min(open_lanes, key=lambda item: self._served[item[1].team])
        lane.running = True
        work = lane.waiting.popleft()
        self._served[lane.team] += max(work.nbytes, TURN_BYTES)
        self._lanes[run] = self._lanes.pop(run)
        return work

    def done(self, work: FileWork) -> None:
        """Say that begun work is over, so that its run's next may begin."""
        lane = self._lanes[work.run]
        lane.running = False
        if not lane.waiting:
            del self._lanes[work.run]
        present = {lane.team for lane in self._lanes.values()}
        if work.team not in present:
            del self._served[work.team]

    def __bool__(self) -> bool:
        return bool(self._lanes)


class FileThreads:
    """Runs file work behind the engine. `max_bytes` bounds the memory that waiting work holds."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._queue = FileQueue()
        self._held: Counter[str] = Counter()
        self._for_room: list[Callable[[], object]] = []
        self._change = threading.Condition()
        self._closing = False
        self._threads = [
            threading.Thread(target=self._main, args=(urgent,), name=name, daemon=True)
            for name, urgent in (("engine-files", True), ("engine-saves", False))
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        work: Callable[[], T],
        then: Callable[[T | Exception], None] = lambda result: None,
        *,
        run: str,
        team: str,
        urgent: bool,
        nbytes: int = 0,
        account: str | None = None,
    ) -> None:
        """Do `work` after all of the run's before it, then call `then` with what came of it.

        Raises:
            RuntimeError: the threads were closed.
        """
        item = FileWork(run, team, urgent, nbytes, account or team, work, then)
        with self._change:
            if self._closing:
                raise RuntimeError("the file threads were closed")
            self._held[item.account] += nbytes
            self._queue.push(item)
            self._change.notify_all()

    def has_room(self, account: str) -> bool:
        """Whether more that holds memory may be asked for. One piece an account always may.

        An account may hold a quarter of what all together may.
        """
        with self._change:
            own, total = self._held[account], self._held.total()
        return not own or (own < self._max_bytes // 4 and total < self._max_bytes)

    def when_room(self, then: Callable[[], object]) -> None:
        """Call `then` once some memory is given back; to be asked after `has_room` said no."""
        with self._change:
            if self._held.total():
                self._for_room.append(then)
                return
        then()  # all was done in between

    def close(self) -> None:
        """Finish everything asked for, then end the threads."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _main(self, urgent: bool) -> None:
        while (item := self._await(urgent)) is not None:
            _run(item)
            self._finish(item)
            del item  # or an idle thread would hold what it wrote last

    def _await(self, urgent: bool) -> FileWork | None:
        with self._change:
            while (item := self._queue.next(urgent=urgent)) is None:
                if self._closing and not self._queue:
                    return None
                self._change.wait()
            return item

    def _finish(self, item: FileWork) -> None:
        woken: list[Callable[[], object]] = []
        with self._change:
            self._queue.done(item)
            if item.nbytes:
                self._held[item.account] -= item.nbytes
                if not self._held[item.account]:
                    del self._held[item.account]
                woken, self._for_room = self._for_room, []
            self._change.notify_all()
        for then in woken:
            _call(then)


def _run(item: FileWork) -> None:
    try:
        result = item.work()
    except Exception as error:
        result = error
    _call(partial(item.then, result))
    # an error's traceback leads here and to what was to be written, so it would keep itself alive
    del result


def _call(function: Callable[[], object]) -> None:
    try:
        function()
    except Exception:
        logger.exception("a callback of the engine failed")
