"""Which runs are in memory: more may exist than fit, the least recently used are parked in files.

A parked run comes back, bit for bit, when it is given work; nobody outside notices but for the time
it takes. All of it is called by the engine thread; files are the file threads' business.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from gpu_workers.engine.arena import Arena, Row, RowState
from gpu_workers.engine.files import FileThreads
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.scheduler import Scheduler
from gpu_workers.engine.turns import Watch
from gpu_workers.engine.types import AdapterSpec

logger = logging.getLogger(__name__)

PARKING = "(parking)"
"""The account of rows that wait to be written because their runs gave way; no team's name."""


@dataclass(slots=True, eq=False)
class Run:
    """A run that the engine knows. `row` None: parked (`parked` says where), or not made yet."""

    id: str
    team: str
    spec: AdapterSpec | None = None
    row: Row | None = None
    parked: Path | None = None
    last_used: int = 0
    fresh: bool = False  # came in for work that it has not had yet
    dropped: bool = False
    broken: BaseException | None = None  # why it cannot go on, e.g. it could not be brought back


class Residency:
    """Brings runs with work into memory and parks those that give way."""

    def __init__(
        self,
        arena: Arena,
        scheduler: Scheduler,
        files: FileThreads,
        directory: Path,
        post: Callable[[Callable[[], None]], object],
        watch: Watch | None = None,
    ) -> None:
        """`post` runs a function on the engine thread, from any thread."""
        self.arena = arena
        self.parkings = 0
        self._scheduler = scheduler
        self._files = files
        self._directory = directory
        self._post = post
        self._watch = watch or Watch()
        self._numbers = count()
        self._clock = count(1)

    def touch(self, run: Run) -> None:
        """Say that the run has just been served."""
        run.last_used = next(self._clock)
        run.fresh = False

    def arrange(self, runs: dict[str, Run]) -> None:
        """Bring in runs that have work, longest waiting first, as far as there is room."""
        for queue in self._scheduler.runs():
            run = runs[queue.run]
            if run.row is not None or queue.held or run.spec is None or run.broken is not None:
                continue
            try:
                if not self._make_room(run.spec, runs):
                    return
                self._bring_in(run)
            except Exception as error:
                logger.exception("run %s could not be brought into memory", run.id)
                run.broken = error  # its work fails with this; others may still fit

    def release(self, run: Run) -> None:
        """Give back all that a dropped run holds."""
        run.dropped = True
        if run.row is not None:
            self.arena.release(run.row)
            run.row = None
        if run.parked is not None:
            self._remove(run, run.parked)
            run.parked = None

    def _make_room(self, spec: AdapterSpec, runs: dict[str, Run]) -> bool:
        """Park runs until such a one fits; False if those in memory are all busy."""
        while not self.arena.fits(spec):
            victim = self._victim(runs)
            if victim is None:
                return False
            if not self._files.has_room(PARKING):
                self._files.when_room(lambda: self._post(lambda: None))
                return False
            self._park(victim)
        return True

    def _victim(self, runs: dict[str, Run]) -> Run | None:
        """The least recently used run that is idle; else one whose work has not begun."""
        idle: list[Run] = []
        waiting: list[Run] = []
        for run in runs.values():
            if run.row is None:
                continue
            if not self._scheduler.waiting(run.id):
                idle.append(run)
            elif not (run.fresh or self._scheduler.busy(run.id)):
                waiting.append(run)
        return min(idle or waiting, key=lambda run: run.last_used, default=None)

    def _park(self, run: Run) -> None:
        row, spec = run.row, run.spec
        if row is None or spec is None:
            raise RuntimeError("only runs in memory can be parked")
        directory = self._directory / str(next(self._numbers))
        state = row.handover()

        def write() -> int:
            return peft_io.save(
                directory, row.layout, spec, state, base_name="", optimizer=True, durable=False
            )

        def written(result: int | Exception) -> None:
            if isinstance(result, Exception):
                self._post(lambda: self._keep(run, row, result))

        self._files.submit(
            write,
            written,
            run=run.id,
            team=run.team,
            urgent=True,
            nbytes=state.nbytes,
            account=PARKING,
        )
        run.row, run.parked = None, directory
        self.arena.release(row)
        self.parkings += 1

    def _keep(self, run: Run, row: Row, error: Exception) -> None:
        """The disk would not have a parked run: it stays in memory, above the limit."""
        logger.error("run %s could not be parked: %s", run.id, error)
        if run.dropped:
            return
        if run.row is not None:  # on its way back already, from files that are not there
            self.arena.release(run.row)
        run.row, run.parked = row, None
        self.arena.readmit(row)
        self._scheduler.release(run.id)

    def _bring_in(self, run: Run) -> None:
        if run.spec is None:
            raise RuntimeError("a run that was never created has no row")
        row = run.row = self.arena.acquire(run.spec)
        run.fresh = True
        if run.parked is None:
            return  # new: CreateRun will fill it
        self._scheduler.hold(run.id)
        try:
            self._read_back(run, row, run.spec, run.parked)
        except Exception:
            self._scheduler.release(run.id)
            self.arena.release(row)
            run.row = None
            raise

    def _read_back(self, run: Run, row: Row, spec: AdapterSpec, directory: Path) -> None:
        """Have a file thread fill the row from the parked run's files."""

        def read() -> RowState:
            return peft_io.load(directory, row.layout, spec, optimizer=True, gradient=True)

        began = time.monotonic()

        def arrived(result: RowState | Exception) -> None:
            self._post(lambda: self._arrived(run, row, result))
            self._watch.held(run.id, "swapping", began)

        self._files.submit(read, arrived, run=run.id, team=run.team, urgent=True)
        self._remove(run, directory)

    def _remove(self, run: Run, directory: Path) -> None:
        """Delete a parked run's folder, after all of the run's file work before."""
        self._files.submit(
            lambda: shutil.rmtree(directory, ignore_errors=True),
            run=run.id,
            team=run.team,
            urgent=False,
        )

    def _arrived(self, run: Run, row: Row, result: RowState | Exception) -> None:
        if run.dropped or run.row is not row:
            return
        run.parked = None
        try:
            if isinstance(result, Exception):
                raise result
            row.restore(result)
        except Exception as error:
            logger.exception("run %s could not be brought back", run.id)
            run.broken = error
        self._scheduler.release(run.id)
