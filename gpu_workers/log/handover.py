"""Claimed operations on their way: to an engine, and what came of them to the finisher."""

from __future__ import annotations

import functools
import logging
from typing import Any

import psycopg

from checkpoints import store
from gpu_workers.capture.seen import Note, Seen, seen
from gpu_workers.engine.turns import Times
from gpu_workers.engine.types import EngineStopped, SampleCancelled, UserError
from gpu_workers.engines import Engines, NotServed
from gpu_workers.log.capacity import Capacity
from gpu_workers.log.finisher import Ended, Finisher
from gpu_workers.log.held_runs import HeldRuns
from gpu_workers.log.in_hand import SamplesInHand
from gpu_workers.log.streamer import Streamer
from gpu_workers.reading import answers, plans, samples
from operations.claims import Claimed
from operations.models import CONVICTED

log = logging.getLogger(__name__)

CONVICTED_MESSAGE = (
    f"{CONVICTED} workers died while they did this, the last one with no other operation in hand, "
    "so it is given up; most likely it takes more memory than there is: send less at once"
)


class Handover:
    """Begins operations, on the drain's thread, and takes their ends, on the engines' threads.

    Args:
        held: the runs that may be worked on. samples: those in hand. streamer: announces tokens.
        capacity: what is in hand counts against it, until its outcome is written.
        note: takes what was done, once that is durable.
    """

    def __init__(
        self,
        *,
        engines: Engines,
        held: HeldRuns,
        samples: SamplesInHand,
        streamer: Streamer,
        capacity: Capacity,
        finisher: Finisher,
        note: Note,
    ) -> None:
        self._note = note
        self._engines = engines
        self._held = held
        self._samples = samples
        self._streamer = streamer
        self._capacity = capacity
        self._finisher = finisher

    def begin(self, conn: psycopg.Connection, operation: Claimed) -> None:
        """Hand a claimed operation to its engine; what is wrong with it ends it.

        Raises:
            psycopg.OperationalError: the database is away; the operation is not in hand.
        """
        self._capacity.take(operation)
        try:
            if operation.kind == "sample":
                self._begin_sample(operation)
            else:
                self._begin_on_run(conn, operation)
        except psycopg.OperationalError:
            self._let_go(operation)
            raise
        except NotServed as error:
            # comparing with the log gives a sample back
            log.error("%s:%d was claimed, but %s", operation.target, operation.seq, error)
            self._let_go(operation)
            if operation.kind != "sample":
                self._held.give_back(conn, [operation.target])
        except Exception as error:
            self._ended(operation, answers.json, None, error)

    def _begin_on_run(self, conn: psycopg.Connection, operation: Claimed) -> None:
        progress = self._held.find(operation.target)
        if progress is None or operation.seq != progress.last_submitted + 1:
            # an answer of the log was lost on its way: take the run up anew
            self._held.give_back(conn, [operation.target])
            self._let_go(operation)
            return
        run = progress.run
        try:
            _refuse_convicted(operation)
            progress.require_created()
            plan = plans.plan(conn, run, operation)
            engine = self._engines.get(run.base_model)
            for work in plan.work:
                engine.validate(work)
        except (psycopg.OperationalError, NotServed):
            raise
        except Exception as error:
            self._held.fail(progress, operation.seq, error)
            raise
        results: list[object] = []
        times = Times()

        def done(result: object) -> None:
            results.append(result)
            if len(results) == len(plan.work):
                failures = [item for item in results if isinstance(item, BaseException)]
                outcome = failures[0] if failures else result
                self._ended(
                    operation,
                    plan.answer,
                    plan.effect,
                    outcome,
                    plan.used,
                    writes=plan.writes,
                    times=times,
                    seen=seen(run.id, operation.seq, plan.work, outcome),
                )

        self._held.give(
            progress,
            operation.seq,
            plan.work,
            done,
            snapshot_after=plan.snapshot_after,
            times=times,
        )

    def _begin_sample(self, operation: Claimed) -> None:
        assert operation.base_model is not None
        _refuse_convicted(operation)
        work, recorded = samples.sample(operation.body)
        engine = self._engines.get(operation.base_model)
        engine.validate(work)
        key = operation.weights_key
        request_id = f"{operation.target}:{operation.seq}"
        self._samples.take(request_id)
        times = Times()
        cancel = engine.sample(
            key,
            store.path(key) if key is not None else None,
            work,
            team=str(operation.team_id),
            done=functools.partial(
                self._ended,
                operation,
                functools.partial(answers.sample, targets=work.prompt_targets),
                functools.partial(plans.recording, request_id) if recorded else None,
                used=plans.used_by_sample(work),
                times=times,
            ),
            on_token=self._streamer.reporter(request_id) if work.report_tokens else None,
            target=operation.target,
            times=times,
        )
        self._samples.begun(request_id, cancel)

    def _ended(
        self,
        operation: Claimed,
        answer: Any,
        effect: Any,
        result: object,
        used: Any = None,
        *,
        writes: str | None = None,
        times: Times | None = None,
        seen: Seen | None = None,
    ) -> None:
        request_id = f"{operation.target}:{operation.seq}"
        self._samples.ended(request_id)
        if isinstance(result, EngineStopped):
            self._let_go(operation)
            return
        self._streamer.ended(request_id)
        if isinstance(result, SampleCancelled):
            self._samples.forget([request_id])
            self._let_go(operation)
            return
        size = answers.size_of(result)
        if seen is not None:
            size = max(size, seen.size)  # it keeps what came with the request, too
        self._capacity.give_back(operation, result=size)
        self._finisher.put(
            Ended(operation.id, request_id, result, answer, effect, used, writes, size, times, seen)
        )

    def _let_go(self, operation: Claimed) -> None:
        """An operation leaves without an outcome."""
        self._capacity.give_back(operation)
        self._capacity.settle(1)

    def written(self, written: list[Ended]) -> None:
        """These outcomes are in the log: their room is free, and their runs have come further."""
        self._samples.forget(ended.request_id for ended in written)
        self._capacity.settle(len(written), results=sum(ended.size for ended in written))
        self._held.written(ended.request_id for ended in written)
        self._note(ended.seen for ended in written if ended.seen is not None)


def _refuse_convicted(operation: Claimed) -> None:
    if operation.deaths >= CONVICTED:
        raise UserError(CONVICTED_MESSAGE)
