"""Work that waits for the passes before it: creation, optimizer steps, saves, loads, publication.

Optimizer steps that are due together are one fused call. Saves and publications copy the row and
are over for the run at once; the files follow behind. A load reads its files behind, too, and holds
only its own run meanwhile.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gpu_workers.engine.arena import Arena, Row, RowState
from gpu_workers.engine.divergence import check_state
from gpu_workers.engine.files import FileThreads
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.lora.context import Adapter
from gpu_workers.engine.optimizer import step_rows
from gpu_workers.engine.residency import Residency, Run
from gpu_workers.engine.scheduler import Barrier, Scheduler
from gpu_workers.engine.turns import Served, Times
from gpu_workers.engine.types import (
    AgeRecipient,
    CreateRun,
    Done,
    DropGradient,
    LoadState,
    OptimStep,
    PublishSampler,
    Result,
    RunWork,
    SaveResult,
    SaveState,
)

logger = logging.getLogger(__name__)

Ready = Callable[[str], bool]


class Publisher(Protocol):
    """What takes published weights: the sampler."""

    def publish(self, version: str, adapter: Adapter) -> None: ...


@dataclass(slots=True, eq=False)
class Ticket:
    """A piece of work and the callback that is owed for it, once."""

    run_id: str
    work: RunWork
    done: Done
    answered: bool = False
    times: Times = field(default_factory=Times)

    def answer(self, result: Result | BaseException) -> None:
        """Call `done`, unless that has happened. What it raises is logged, not ours."""
        if self.answered:
            return
        self.answered = True
        self.times.end()
        try:
            self.done(result)
        except Exception:
            logger.exception("a callback of run %s failed", self.run_id)


class Barriers:
    """Serves what stands at the head of the runs' queues."""

    def __init__(
        self,
        arena: Arena,
        scheduler: Scheduler,
        residency: Residency,
        files: FileThreads,
        publisher: Publisher,
        *,
        base_name: str,
        post: Callable[[Callable[[], None]], object],
    ) -> None:
        self._arena = arena
        self._scheduler = scheduler
        self._residency = residency
        self._files = files
        self._publisher = publisher
        self._base_name = base_name
        self._post = post

    def serve(self, runs: dict[str, Run], ready: Ready) -> list[Served]:
        """Everything that is due, and what becomes due by it, e.g. the save after a step.

        Returns whose it was, as often as there was something of theirs.
        """
        served: list[Served] = []
        while due := self._scheduler.barriers(ready):
            steps: list[tuple[Barrier, Run]] = []
            for barrier in due:
                run = runs[barrier.run]
                if run.row is None or run.broken is not None:
                    self._end(barrier, run.broken or RuntimeError("the run is not in memory"))
                    continue
                self._residency.touch(run)
                barrier.payload.times.begin()
                served.append((run.team, run.id))
                if isinstance(barrier.payload.work, OptimStep):
                    steps.append((barrier, run))
                    continue
                try:
                    self._serve_one(barrier, run, run.row)
                except Exception as error:
                    if _makes_the_run(barrier.payload.work):
                        run.broken = error  # half made: nothing may be built on it
                    self._scheduler.release(run.id)  # should it be held already, for a load
                    self._end(barrier, error)
            if steps:
                self._step(steps)
        return served

    def _end(self, barrier: Barrier, result: Result | BaseException) -> None:
        self._scheduler.finish(barrier)
        barrier.payload.answer(result)

    def _step(self, steps: list[tuple[Barrier, Run]]) -> None:
        items = [(run.row, barrier.payload.work) for barrier, run in steps if run.row is not None]
        try:
            results = step_rows(items)
        except Exception as error:
            logger.exception("an optimizer step of %d runs failed", len(steps))
            for barrier, run in steps:
                # Some rows may have stepped and others not: none can be trusted to go on.
                run.broken = error
                self._end(barrier, error)
            return
        for (barrier, _), result in zip(steps, results, strict=True):
            self._end(barrier, result)

    def _serve_one(self, barrier: Barrier, run: Run, row: Row) -> None:
        work = barrier.payload.work
        if isinstance(work, CreateRun):
            row.initialize()
            self._end(barrier, None)
        elif isinstance(work, DropGradient):
            row.clear_gradient()
            self._end(barrier, None)
        elif isinstance(work, SaveState | PublishSampler):
            if not self._files.has_room(run.team):
                self._wait_for_room(run)
            elif isinstance(work, SaveState):
                self._save(barrier, run, row, work)
            else:
                self._publish(barrier, run, row, work)
        elif isinstance(work, LoadState):
            self._load(barrier, run, row, work)
        else:
            raise TypeError(f"{type(work).__name__} is no work on a run")

    def _wait_for_room(self, run: Run) -> None:
        """Copies of this team's rows fill what waiting files may hold: the run waits, no other."""

        def go_on() -> None:
            if not run.dropped:
                self._scheduler.release(run.id)

        self._scheduler.hold(run.id)
        self._files.when_room(lambda: self._post(go_on))

    def _save(self, barrier: Barrier, run: Run, row: Row, work: SaveState) -> None:
        state = row.snapshot(moments=work.optimizer, gradient=work.gradient)
        check_state(state)
        self._scheduler.finish(barrier)  # the run goes on; the answer follows the files
        self._write(
            barrier.payload,
            run,
            row,
            work,
            state,
            optimizer=work.optimizer,
            encrypt_for=work.encrypt_for,
        )

    def _publish(self, barrier: Barrier, run: Run, row: Row, work: PublishSampler) -> None:
        state = row.snapshot(moments=False, gradient=False)
        check_state(state)
        self._publisher.publish(work.version, self._arena.frozen(row.spec, state.master))
        self._scheduler.finish(barrier)
        self._write(barrier.payload, run, row, work, state, optimizer=False)

    def _write(
        self,
        ticket: Ticket,
        run: Run,
        row: Row,
        work: SaveState | PublishSampler,
        state: RowState,
        *,
        optimizer: bool,
        encrypt_for: Sequence[AgeRecipient] = (),
    ) -> None:
        layout, spec = row.layout, row.spec

        def write() -> int:
            if peft_io.is_saved(work.directory, encrypted=bool(encrypt_for)):
                return peft_io.size(work.directory)
            shutil.rmtree(work.directory, ignore_errors=True)
            return peft_io.save(
                work.directory,
                layout,
                spec,
                state,
                base_name=self._base_name,
                optimizer=optimizer,
                encrypt_for=encrypt_for,
            )

        def written(result: int | Exception) -> None:
            ticket.answer(result if isinstance(result, Exception) else SaveResult(result))

        self._files.submit(
            write,
            written,
            run=run.id,
            team=run.team,
            urgent=isinstance(work, PublishSampler),
            nbytes=state.nbytes,
        )

    def _load(self, barrier: Barrier, run: Run, row: Row, work: LoadState) -> None:
        self._scheduler.hold(run.id)
        layout, spec = row.layout, row.spec

        def read() -> RowState:
            return peft_io.load(
                work.directory,
                layout,
                spec,
                optimizer=work.optimizer or work.restore,
                gradient=work.restore,
            )

        def arrived(result: RowState | Exception) -> None:
            self._post(lambda: self._loaded(barrier, run, row, result))

        self._files.submit(read, arrived, run=run.id, team=run.team, urgent=True)

    def _loaded(self, barrier: Barrier, run: Run, row: Row, result: RowState | Exception) -> None:
        if run.dropped:
            return  # answered when it was dropped
        self._scheduler.release(run.id)
        if isinstance(result, Exception):
            if _makes_the_run(barrier.payload.work):
                run.broken = result
            self._end(barrier, result)
            return
        try:
            row.restore(result)
        except Exception as error:
            logger.exception("run %s could not take over what was loaded", run.id)
            run.broken = error  # some numbers are of the files, others are not
            self._end(barrier, error)
        else:
            self._end(barrier, None)


def _makes_the_run(work: RunWork) -> bool:
    return isinstance(work, CreateRun) or (isinstance(work, LoadState) and work.creates)
