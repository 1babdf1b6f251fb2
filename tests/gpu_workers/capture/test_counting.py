"""Which step is whose, where a recorder has not seen all of a run; and sums that stay apart."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from captures import keeping
from captures.models import StepStat
from gpu_workers.capture.measuring import measure
from gpu_workers.capture.recorder import Recorder
from gpu_workers.capture.seen import Seen
from gpu_workers.engine.types import Datum, ForwardBackward, OptimResult, OptimStep, PassResult
from operations.models import Operation
from runs.models import TrainingRun
from tests.gpu_workers.bench import Bench
from tests.support.waiting import eventually, never


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A recorder that runs, of no worker."""
    made = Recorder()
    made.start()
    yield made
    made.stop()


def stepped(bench: Bench, run: TrainingRun, seq: int) -> Seen:
    """An optimizer step that is done."""
    operation = bench.log.submit(run, seq, "optim_step", b"{}")
    Operation.objects.filter(id=operation.id).update(state="done")
    return Seen(run.id, seq, OptimStep(), OptimResult({}))


def noted(run: TrainingRun, count: int) -> list[tuple[int, int]]:
    """Steps that are noted, with their operations, once there are so many."""
    rows = StepStat.objects.filter(run=run).order_by("step")
    eventually(lambda: rows.count() >= count, within_s=20)
    return list(rows.values_list("step", "last_seq"))


def test_a_run_that_comes_back_is_counted_anew(bench: Bench, recorder: Recorder) -> None:
    run = bench.log.run(bench.log.team("team"))
    recorder.put([stepped(bench, run, 1)])
    assert noted(run, 1) == [(0, 1)]
    for seq in (2, 3):
        stepped(bench, run, seq)  # by another worker
    recorder.put([Seen(run.id, 3, None, None, taken_up=True), stepped(bench, run, 4)])
    assert noted(run, 2) == [(0, 1), (3, 4)]


def test_what_did_not_even_fit_counts(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.log.run(bench.log.team("team"))
    full = Recorder()
    monkeypatch.setattr("gpu_workers.capture.recorder.MOST_SEEN", 1)
    full.put([stepped(bench, run, seq) for seq in (1, 2)])
    assert full.forgotten == 1
    full.start()
    assert noted(run, 1) == [(0, 1)]
    full.put([stepped(bench, run, 3)])
    assert noted(run, 2) == [(0, 1), (2, 3)]
    full.stop()


def test_what_cannot_be_thinned_costs_nothing_that_is_written(
    bench: Bench, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(conn: psycopg.Connection, runs: list[str]) -> None:
        raise psycopg.errors.DeadlockDetected("two at once")

    monkeypatch.setattr(keeping, "thin", busy)
    monkeypatch.setattr("gpu_workers.capture.recorder.THIN_EVERY_S", -1)
    run = bench.log.run(bench.log.team("team"))
    recorder._touched.add(run.id)
    for seq in (1, 2):
        recorder.put([stepped(bench, run, seq)])
        noted(run, seq)
    assert noted(run, 2) == [(0, 1), (1, 2)]
    assert recorder.forgotten == 0


def test_it_stops_at_once_while_it_waits_for_more(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    started = Recorder()
    started.start()
    started.put([stepped(bench, run, 1)])
    took: list[float] = []

    def stop() -> None:
        began = time.monotonic()
        started.stop()
        took.append(time.monotonic() - began)

    never(lambda: not started._thread.is_alive(), for_s=0.05, but_after=stop)
    assert took[0] < 4
    assert noted(run, 1) == [(0, 1)]


def test_numbers_of_one_datum_do_not_spoil_the_next() -> None:
    data = [
        Datum(
            np.arange(2, dtype=np.int32),
            {"target_tokens": np.arange(2), "weights": np.ones(2, np.float32)},
        )
        for _ in range(2)
    ]
    outputs = [np.array([-np.inf, -1], np.float32), np.array([-1, -2], np.float32)]
    result = PassResult(outputs, {"loss:sum": 1.0}, [1.0, 3.0])
    found = measure("run", 0, 1, ForwardBackward(data, "cross_entropy"), result)
    assert [datum.logprob for datum in found.datums] == [None, -1.5]
