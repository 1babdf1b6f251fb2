"""The engine: one base model, its runs, its sampler, and the one thread that drives them.

Work comes in from any thread and is answered by callbacks. The engine thread sleeps on a condition
until there is something to do, then turns: barriers that are due, a fair cycle of passes packed
into micro-batches, one sampling step between any two of them. Files are written and read by
threads of their own. docs/engine.md tells the whole story.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from gpu_workers.engine.arena import Arena
from gpu_workers.engine.barriers import Barriers, Ticket
from gpu_workers.engine.base import BaseModel, ModelInfo
from gpu_workers.engine.families import loading
from gpu_workers.engine.files import FileThreads
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.memory import CheckpointPlan
from gpu_workers.engine.options import EngineOptions, default_arena_bytes
from gpu_workers.engine.packing import Load, assign
from gpu_workers.engine.residency import Residency, Run
from gpu_workers.engine.sampler.local import LocalSampler
from gpu_workers.engine.scheduler import Barrier, Item, Pass, Scheduler
from gpu_workers.engine.serving import Passes, Picked, job_of, ticket_of
from gpu_workers.engine.trainer import Job, Trainer
from gpu_workers.engine.turns import Served, Times, Watch, Watcher
from gpu_workers.engine.types import (
    CreateRun,
    Done,
    EngineStopped,
    ForwardBackward,
    OnToken,
    RunWork,
    Sample,
    UserError,
    Work,
)
from gpu_workers.engine.validate import validate

__all__ = ["Engine", "EngineOptions", "ModelInfo"]

logger = logging.getLogger(__name__)


class Engine:
    """One base model: its arena, scheduler, sampler and one engine thread."""

    def __init__(self, base: BaseModel, options: EngineOptions) -> None:
        self.base = base
        self.info: ModelInfo = base.info
        self.options = options
        options.park_directory.mkdir(parents=True, exist_ok=True)
        self._parking = Path(tempfile.mkdtemp(prefix="parked-", dir=options.park_directory))
        self._wake = threading.Condition()
        self._inbox: list[Callable[[], None]] = []
        self._stopping = False
        self._watch = Watch()
        self._sampler_failures = 0  # steps in a row
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._runs: dict[str, Run] = {}
        self._files = FileThreads(options.waiting_bytes)
        self._arena = Arena(
            base.modules, options.slots, _arena_bytes(base, options), base.device, base.dtype
        )
        self._scheduler = Scheduler(quantum=options.chunk)
        self._residency = Residency(
            self._arena, self._scheduler, self._files, self._parking, self._post, self._watch
        )
        checkpoints = CheckpointPlan.of(
            base.config, base.dtype, base.device, options.checkpointed_layers
        )
        self._trainer = Trainer(base, options.row_multiple, checkpoints)
        self._sampler = LocalSampler(
            base,
            lambda directory: peft_io.load_frozen(directory, base),
            options.sampler,
            self._watch,
        )
        self._passes = Passes(
            self._trainer, self._scheduler, self._residency, self._runs, self._sampler.versions
        )
        self._barriers = Barriers(
            self._arena,
            self._scheduler,
            self._residency,
            self._files,
            self._sampler,
            base_name=options.base_name or Path(base.source).name,
            post=self._post,
        )

    @classmethod
    def load(cls, source: str | Path, options: EngineOptions) -> Engine:
        """Load a base model from a folder or hub id. Sets torch's thread count for the process.

        Raises:
            CannotServe: the engine does not compute such a model right.
        """
        if options.on_cpu:
            torch.set_num_threads(options.threads)
        base = loading.load(source, options.device, options.dtype, options.max_context_length)
        return cls(base, options)

    # --- from any thread --------------------------------------------------------------------------

    def start(self) -> None:
        """Start the engine thread."""
        self._thread.start()

    def stop(self) -> None:
        """Fail everything pending with EngineStopped, finish writing files, end the threads."""
        with self._wake:
            started = self._thread.is_alive()
            self._stopping = True
            self._wake.notify()
        if started:
            self._thread.join()
        else:
            self._shut_down()
        self._files.close()
        shutil.rmtree(self._parking, ignore_errors=True)

    def validate(self, work: Work) -> None:
        """Raise UserError if `work` cannot be done; to be called before `submit` and `sample`."""
        validate(work, self.info, self.options.max_rank)

    def watch(self, watcher: Watcher) -> None:
        """Tell somebody from now on what the engine's time goes to, on its threads."""
        self._watch.watcher = watcher

    def submit(
        self, run_id: str, work: RunWork, *, team: str, done: Done, times: Times | None = None
    ) -> None:
        """Queue valid work behind all else of the run; `times` gets noted in. Never blocks."""
        ticket = Ticket(run_id, work, done, times=times or Times())
        item: Item
        if isinstance(work, ForwardBackward):
            job = Job(work, self.options.chunk)
            item = Pass(run_id, [cut.tokens for cut in job.cuts], (ticket, job))
        else:
            item = Barrier(run_id, ticket)
        if not self._post(lambda: self._take(item, ticket, team)):
            ticket.answer(EngineStopped("The engine was stopped."))

    def sample(
        self,
        version: str | None,
        directory: Path | None,
        work: Sample,
        *,
        team: str,
        done: Done,
        on_token: OnToken | None = None,
        target: str = "",
        times: Times | None = None,
    ) -> Callable[[], None]:
        """Queue valid sampling from a published version (None: the base model).

        A version that is not in memory is read from `directory`. `on_token` hears of each token as
        it is drawn. `target` is the sampler that whoever watches is told of; `times` gets noted
        in. Returns a function that cancels.
        """
        try:
            cancel = self._sampler.submit(
                version, directory, work, team, done, on_token, target, times or Times()
            )
        except (UserError, EngineStopped) as error:
            answer = error  # `error` is gone when the except clause ends
            if not self._post(lambda: done(answer)):
                done(answer)
            return lambda: None
        self._post(lambda: None)

        def cancel_and_wake() -> None:
            cancel()
            self._post(lambda: None)

        return cancel_and_wake

    def drop_run(self, run_id: str) -> None:
        """Free all that the run holds; what it still had to do fails with EngineStopped."""
        self._post(lambda: self._drop(run_id))

    def drop_sampler(self, version: str) -> None:
        """Forget a published version; unknown ones are fine."""
        self._sampler.drop(version)

    def load_report(self) -> dict[str, int | str]:
        """Numbers for the worker page. Read without locks: each is right, not all at one moment."""
        return {
            "architecture": self.info.architecture,
            "dtype": str(self.base.dtype).removeprefix("torch."),
            "runs": len(self._runs),
            "runs_in_memory": self._arena.used,
            "slots": self.options.slots,
            "arena_bytes": self._arena.nbytes,
            "parkings": self._residency.parkings,
            "queued_tokens": self._scheduler.tokens,
            "tokens_trained": self._trainer.tokens_done,
            **self._sampler.report(),
        }

    def _post(self, message: Callable[[], None]) -> bool:
        """Have the engine thread call `message`; False if it will not, having been stopped."""
        with self._wake:
            if self._stopping:
                return False
            self._inbox.append(message)
            self._wake.notify()
        return True

    # --- on the engine's thread -------------------------------------------------------------------

    def _main(self) -> None:
        if self.options.on_cpu:
            torch.set_num_threads(self.options.threads)  # OpenMP keeps this number a thread
        failures = 0
        while self._await_work():
            try:
                self._turn()
                failures = 0
            except Exception as error:  # nothing of one turn may end the thread
                logger.exception("an engine turn failed")
                failures += 1
                if failures > 1:  # it would for ever, and everybody would wait for ever
                    self._fail_everything(error)
        self._shut_down()

    def _await_work(self) -> bool:
        """Sleep until there is something to do, take in what was posted; False to stop."""
        with self._wake:
            while not (self._stopping or self._inbox or self._has_work()):
                self._wake.wait()
            if self._stopping:
                return False
        self._take_in()
        return True

    def _take_in(self) -> None:
        with self._wake:
            messages, self._inbox = self._inbox, []
        for message in messages:
            try:
                message()
            except Exception:
                logger.exception("a message to the engine failed")

    def _has_work(self) -> bool:
        ready = self._ready
        return (
            self._sampler.has_work()
            or bool(self._scheduler.barriers(ready))
            or self._scheduler.has_passes(ready)
        )

    def _ready(self, run_id: str) -> bool:
        run = self._runs[run_id]
        return run.row is not None or run.broken is not None

    def _take(self, item: Item, ticket: Ticket, team: str) -> None:
        """Queue one piece of work, or answer it."""
        try:
            self._queue(item, ticket, team)
        except Exception as error:
            logger.exception("work on run %s could not be queued", ticket.run_id)
            self._scheduler.finish(item)
            ticket.answer(error)

    def _queue(self, item: Item, ticket: Ticket, team: str) -> None:
        run = self._runs.get(ticket.run_id)
        if isinstance(ticket.work, CreateRun):
            if run is not None:
                ticket.answer(RuntimeError(f"run {ticket.run_id} exists already"))
                return
            run = self._runs[ticket.run_id] = Run(ticket.run_id, team, ticket.work.spec)
        elif run is None:
            ticket.answer(LookupError(f"run {ticket.run_id} is not known to the engine"))
            return
        self._scheduler.add(item, run.team)

    def _drop(self, run_id: str) -> None:
        run = self._runs.pop(run_id, None)
        if run is None:
            return
        for item in self._scheduler.drop(run_id):
            ticket_of(item).answer(EngineStopped("The run was dropped."))
        self._residency.release(run)

    def _turn(self) -> None:
        """Everything that is due now, and one cycle of passes, all answered whatever raises."""
        self._residency.arrange(self._runs)
        self._serve_watched()
        try:
            batches = self._pick()
            for batch in batches:
                began = time.monotonic()
                weights = self._weights(batch)
                self._passes.serve(batch)
                self._watch.served(began, weights, in_tokens=True)
                self._serve_barriers()
                self._sample()
                self._take_in()
            if not batches:
                self._sample()
        except Exception as error:
            for item in self._scheduler.unserved():  # nobody would come back to them
                self._passes.fail(item, error)
            raise
        self._residency.arrange(self._runs)

    def _pick(self) -> list[Picked]:
        """A cycle's chunks, (pass, chunk number), in micro-batches."""
        picked = self._scheduler.cycle(self.options.cycle, self._ready)
        loads = [
            Load(item.run, id(item), item.costs[number], job_of(item).gradient)
            for item, number in picked
        ]
        mix_requests = not self.options.deterministic
        batches = assign(loads, self.options.micro_batch, mix_requests=mix_requests)
        return [[picked[i] for i in batch] for batch in batches]

    def _weights(self, batch: Picked) -> Counter[Served]:
        """How many of a micro-batch's tokens are whose."""
        weights: Counter[Served] = Counter()
        for item, number in batch:
            run = self._runs.get(item.run)
            if run is not None:
                weights[run.team, run.id] += item.costs[number]
        return weights

    def _serve_watched(self) -> None:
        began = time.monotonic()
        self._watch.ran(began, self._barriers.serve(self._runs, self._ready))

    def _serve_barriers(self) -> None:
        """What came due by a micro-batch; trouble here must not keep the next one from its turn."""
        try:
            self._serve_watched()
        except Exception:
            logger.exception("barriers failed; the next turn tries again")

    def _sample(self) -> None:
        if not self._sampler.has_work():
            return
        try:
            began = time.monotonic()
            self._sampler.step()
            self._watch.served(began, self._sampler.served, in_tokens=True)
            self._sampler_failures = 0
        except Exception as error:
            logger.exception("a sampling step failed")
            self._sampler_failures += 1
            if self._sampler_failures > 1:
                self._sampler.fail_everything(error)

    def _fail_everything(self, error: Exception) -> None:
        """The last resort: end all that is queued, but for runs that wait for their files."""
        for queue in self._scheduler.runs():
            for item in [] if queue.held else list(queue.items):
                if isinstance(item, Pass):
                    self._passes.fail(item, error)
                else:
                    if isinstance(item.payload.work, CreateRun):
                        self._runs[item.run].broken = error
                    self._scheduler.finish(item)
                    item.payload.answer(error)

    def _shut_down(self) -> None:
        error = EngineStopped("The engine was stopped.")
        self._take_in()
        for run_id in list(self._runs):
            for item in self._scheduler.drop(run_id):
                ticket_of(item).answer(error)
        self._sampler.stop(error)


def _arena_bytes(base: BaseModel, options: EngineOptions) -> int:
    if options.arena_bytes is not None:
        return options.arena_bytes
    free = 0 if options.on_cpu else torch.cuda.mem_get_info(base.device)[0]
    return default_arena_bytes(options.on_cpu, free)
