"""Serving the chunks that were picked, a micro-batch at a time, and keeping failures to themselves.

Whatever goes wrong, a pass that was picked ends: done, or failed with its gradient put back.
"""

from __future__ import annotations

import logging

from gpu_workers.engine.barriers import Ticket
from gpu_workers.engine.residency import Residency, Run
from gpu_workers.engine.sampler.versions import VersionStore
from gpu_workers.engine.scheduler import Item, Pass, Scheduler
from gpu_workers.engine.trainer import Chunk, Job, Trainer
from gpu_workers.engine.types import UserError

logger = logging.getLogger(__name__)

Picked = list[tuple[Pass, int]]
"""Chunks: a pass and the number of its chunk."""


def ticket_of(item: Item) -> Ticket:
    """What is owed for a piece of work."""
    return item.payload[0] if isinstance(item, Pass) else item.payload


def job_of(item: Pass) -> Job:
    """The request that a pass is made of."""
    return item.payload[1]


class Passes:
    """Serves micro-batches. `runs` is the engine's, by id; `versions` are the sampler's."""

    def __init__(
        self,
        trainer: Trainer,
        scheduler: Scheduler,
        residency: Residency,
        runs: dict[str, Run],
        versions: VersionStore,
    ) -> None:
        self._trainer = trainer
        self._scheduler = scheduler
        self._residency = residency
        self._runs = runs
        self._versions = versions

    def serve(self, picked: Picked) -> None:
        """One micro-batch; answers the passes that it completes."""
        chunks: dict[Pass, list[Chunk]] = {}
        for item, number in picked:
            if ticket_of(item).answered:  # failed or dropped since it was picked
                continue
            try:
                self._begin(item)
            except Exception as error:  # e.g. no memory for a copy of its gradient
                logger.warning("a pass of run %s could not begin: %r", item.run, error)
                self.fail(item, error)
                continue
            chunks.setdefault(item, []).append(Chunk(job_of(item), number))
        if not chunks:
            return
        items = {job_of(item): item for item in chunks}
        try:
            failed = self._trainer.run([chunk for some in chunks.values() for chunk in some])
        except Exception as error:
            logger.exception("a micro-batch of %d requests failed", len(chunks))
            self._serve_one_by_one(chunks, error)
            return
        for job, reason in failed.items():
            self.fail(items[job], reason)
        self._complete(chunks)

    def _begin(self, item: Pass) -> None:
        """Make ready for a pass's next chunk; raises why its run cannot be served."""
        run = self._runs[item.run]
        if run.broken is not None or run.row is None:
            raise run.broken or RuntimeError("the run is not in memory")
        self._residency.touch(run)
        ticket_of(item).times.begin()
        job = job_of(item)
        reference = job.work.reference
        if reference is not None and job.frozen is None:
            job.frozen = self._versions.read(reference.version, reference.directory)
        job.begin(run.row)

    def _serve_one_by_one(self, chunks: dict[Pass, list[Chunk]], error: Exception) -> None:
        """After an exception: redo each request by itself, so that only the one at fault fails."""
        alone = len(chunks) == 1
        for item in chunks:
            self._undo(item)
        for item, some in chunks.items():
            if alone:
                self.fail(item, error)
                continue
            try:
                self._begin(item)
                for number in range(some[-1].number + 1):
                    for reason in self._trainer.run([Chunk(job_of(item), number)]).values():
                        raise reason
            except Exception as own_error:
                self.fail(item, own_error)
            else:
                self._complete({item: some})

    def _complete(self, chunks: dict[Pass, list[Chunk]]) -> None:
        for item, some in chunks.items():
            ticket, job = item.payload
            if ticket.answered:
                continue
            item.done = some[-1].number + 1
            if item.done < len(item.costs):
                continue
            try:
                result = job.finish()
            except Exception as error:
                if not isinstance(error, UserError):
                    logger.exception("a pass of run %s could not be finished", item.run)
                self.fail(item, error)
                continue
            self._scheduler.finish(item)
            ticket.answer(result)

    def fail(self, item: Pass, error: BaseException) -> None:
        """End a pass that cannot be done; its gradient is as before."""
        self._undo(item)
        self._scheduler.finish(item)
        ticket_of(item).answer(error)

    def _undo(self, item: Pass) -> None:
        try:
            job_of(item).undo()
        except Exception as error:
            logger.exception("the gradient of run %s could not be put back", item.run)
            if item.run in self._runs:
                self._runs[item.run].broken = error  # nothing may be built on what is there
