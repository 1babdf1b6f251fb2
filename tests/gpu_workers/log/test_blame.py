"""Delays put into a real worker one at a time: each falls into its own cause, as long as it was.

How long each was is told by the clock of the test, which stands where the delay is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core import database
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.trainer import Trainer
from runs.models import TrainingRun
from runs.timeline import service
from runs.timeline.blame import HANDOVER_S
from runs.timeline.service import Timeline
from tests.gpu_workers.bench import Bench, batch, body, create, step
from tinsmith.wire import wire_pb2

# of the delay, and what a busy machine adds to the ends of one
WITHIN, SLACK_S = 0.05, 0.1
# datums of a long request
LONG = 8


def pause(seconds: float) -> None:
    """Be slow on purpose."""
    threading.Event().wait(seconds)


def told(bench: Bench, run: TrainingRun) -> Timeline:
    """The run's timeline until now."""

    async def find() -> Timeline:
        try:
            actor = bench.log.actor(run.team)
            return await service.find_timeline(actor=actor, run_id=run.id)
        finally:
            await database.shutdown()

    return asyncio.run(find())


def seconds(timeline: Timeline) -> dict[str, float]:
    """Seconds by cause, which must add up to all of the time."""
    spent = {one.cause: one.seconds for one in timeline.blame}
    assert sum(spent.values()) == pytest.approx(timeline.last - timeline.first, abs=0.01)
    assert sum(one.share for one in timeline.blame) == pytest.approx(1, abs=1e-4)
    return spent


def holds(found: float, injected: float) -> None:
    """What was found is what was put in."""
    assert found == pytest.approx(injected, rel=WITHIN, abs=SLACK_S)


@pytest.fixture
def trained(bench: Bench) -> TrainingRun:
    """A run with a first step, which a worker has."""
    bench.start()
    run = bench.log.run(bench.log.team("a"))
    create(bench.log, run)
    step(bench.log, run, 1)
    bench.finish(run)
    return run


class Passes:
    """The engine's passes, timed; `slow` seconds are added to each."""

    def __init__(self) -> None:
        self.slow = 0.0
        self.spans: list[tuple[set[int], float, float]] = []

    def of(self, sizes: set[int], first: float, last: float) -> float:
        """Seconds between two moments in passes over requests of these sizes alone."""
        return sum(
            max(0.0, min(ended, last) - max(began, first))
            for found, began, ended in self.spans
            if found <= sizes
        )


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """A clock around every pass of the engine."""
    made = Passes()
    run: Callable[..., Any] = Trainer.run

    def timed(trainer: Trainer, chunks: list[Any]) -> Any:
        began = time.monotonic()
        try:
            pause(made.slow)
            return run(trainer, chunks)
        finally:
            sizes = {len(chunk.job.work.data) for chunk in chunks}
            made.spans.append((sizes, began, time.monotonic()))

    monkeypatch.setattr(Trainer, "run", timed)
    return made


def test_a_worker_that_is_not_there(bench: Bench, trained: TrainingRun) -> None:
    (worker, *_) = bench.running[0]
    before = seconds(told(bench, trained))
    worker.stop()
    bench.running.clear()
    submitted = time.monotonic()
    step(bench.log, trained, 3)
    pause(1.0)
    bench.start()
    there = time.monotonic()
    bench.finish(trained)
    after = seconds(told(bench, trained))
    assert before["no_worker"] == 0
    holds(after["no_worker"], there - submitted)


def test_files_that_are_slow(
    bench: Bench, trained: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans = []
    save = peft_io.save

    def slow(*args: Any, **more: Any) -> Any:
        began = time.monotonic()
        pause(2.0)
        try:
            return save(*args, **more)
        finally:
            spans.append(time.monotonic() - began)

    monkeypatch.setattr(peft_io, "save", slow)
    before = seconds(told(bench, trained))
    log = bench.log
    log.submit(trained, 3, "save_weights", body(trained, 3, path="a", overwrite=False))
    bench.finish(trained)
    after = seconds(told(bench, trained))
    assert len(spans) == 1
    holds(after["files"] - before["files"], spans[0])


def test_another_team_that_keeps_the_engine_busy(
    bench: Bench, trained: TrainingRun, passes: Passes
) -> None:
    log = bench.log
    passes.slow = 0.1
    other = log.run(log.team("b"))
    create(log, other)
    bench.finish(other)
    before = told(bench, trained)
    # forward alone goes into passes of its own
    for seq in range(1, 9):
        log.submit(other, seq, "forward_backward", forward(other, seq))
    bench.wait(lambda: any(one[0] == {LONG} for one in passes.spans), "a long pass")
    first = time.monotonic()
    for seq in range(3, 15, 2):
        step(log, trained, seq)
    bench.finish(trained)
    last = max(ended for sizes, _, ended in passes.spans if sizes == {2})
    bench.running[0][0].stop()  # what engines did is written half a second later
    after = told(bench, trained)
    found = seconds(after)["others"] - seconds(before)["others"]
    assert passes.of({LONG}, first, last) > 0.5  # enough to tell from what is lost at the ends
    holds(found, passes.of({LONG}, first, last))
    assert after.teams == 1
    assert "b" not in str([one.target for one in after.operations if other.id in one.target])


def forward(run: TrainingRun, seq: int) -> bytes:
    """Forward passes over datums of 250 tokens, two of which fill a chunk."""
    tokens = np.arange(250, dtype="<i4")
    request = wire_pb2.ForwardBackwardRequest(
        model_id=run.id, seq_id=seq, loss_fn="cross_entropy", forward_only=True
    )
    for _ in range(LONG):
        datum = request.data.add()
        datum.model_input.add().encoded_text.tokens = tokens.tobytes()
        target = datum.loss_fn_inputs["target_tokens"]
        target.dense, target.dtype = tokens.astype("<i8").tobytes(), wire_pb2.DTYPE_INT64
        target.shape.append(len(tokens))
        weights = datum.loss_fn_inputs["weights"]
        weights.dense, weights.dtype = np.ones(250, "<f4").tobytes(), wire_pb2.DTYPE_FLOAT32
        weights.shape.append(len(tokens))
    return request.SerializeToString()


def test_operations_that_stand_behind_each_other(
    bench: Bench, trained: TrainingRun, passes: Passes
) -> None:
    passes.slow = 0.4
    before, earlier = len(passes.spans), seconds(told(bench, trained))
    for seq in range(3, 8):
        submitted = time.monotonic()
        bench.log.submit(trained, seq, "forward_backward", batch(trained, seq, seed=seq))
    bench.finish(trained)
    timeline = told(bench, trained)
    last = timeline.operations[-1]
    assert last.seq == 7
    spans = passes.spans[before:]
    assert len(spans) == 5
    holds(last.waits["queue"], spans[-1][1] - submitted)
    assert sum(last.waits.values()) == pytest.approx((last.began or 0) - last.created, abs=0.01)
    # to the run it was the engine's time, and nobody's fault
    found = seconds(timeline)["engine"] - earlier["engine"]
    holds(found, sum(ended - began for _, began, ended in spans))


def test_what_is_slow_and_nobody_measures(bench: Bench, trained: TrainingRun) -> None:
    """A worker is there and takes nothing: a second may be handing over, the rest shows."""
    (worker, *_) = bench.running[0]
    worker.stop()
    bench.running.clear()
    bench.log.worker()  # it says that it lives, and that is all
    before = seconds(told(bench, trained))
    submitted = time.monotonic()
    step(bench.log, trained, 3)
    pause(2.0)
    bench.start()
    there = time.monotonic()
    bench.finish(trained)
    after = seconds(told(bench, trained))
    assert before["unexplained"] < SLACK_S
    holds(after["unexplained"], there - submitted - HANDOVER_S)


def test_a_killed_worker_was_there_until_it_was_heard_last(
    bench: Bench, trained: TrainingRun
) -> None:
    (worker, *_) = bench.running[0]
    bench.crash(worker)
    bench.running.clear()
    bench.start()
    step(bench.log, trained, 3)
    bench.finish(trained)
    timeline = told(bench, trained)
    assert seconds(timeline)["unexplained"] < 0.5
    assert [one.seq for one in timeline.operations] == [0, 1, 2, 3, 4]
    assert timeline.waiting is None
