"""Samples in hand: given up wherever they are, and nothing of them stays."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from gpu_workers.engine.types import SampleCancelled
from gpu_workers.log import drain
from gpu_workers.log.in_hand import SamplesInHand
from gpu_workers.process.worker import Worker
from operations.models import Operation
from runs.models import Sampler
from tests.gpu_workers.bench import WITHIN_S, Bench
from tests.support.sessions import end_sessions


def submit(bench: Bench, sampler: Sampler, seq: int) -> str:
    body = {
        "sampling_session_id": sampler.id,
        "seq_id": seq,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]},
        "sampling_params": {"max_tokens": 1},
    }
    bench.log.submit(sampler, seq, "sample", json.dumps(body).encode())
    return f"{sampler.id}:{seq}"


class Endless:
    """An engine's samples that go on until they are cancelled."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cancelled = threading.Event()
        (engine,) = worker.engines.running().values()
        monkeypatch.setattr(engine, "sample", self._sample)

    def _sample(self, *arguments: Any, done: Any, **named: Any) -> Any:
        def cancel() -> None:
            self.cancelled.set()
            done(SampleCancelled())

        return cancel


def end_and_release(bench: Bench, sampler: Sampler, by: Worker) -> None:
    end_sessions()
    by.reconciling.release_ended(bench.log.conn)
    assert Operation.objects.get(target=sampler.id).state == "failed"


@pytest.mark.parametrize("listens", [True, False], ids=["listening", "away"])
def test_the_end_of_a_session_gives_up_its_samples_on_every_worker(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    """Another worker releases the session; one that did not hear of it finds out."""
    if not listens:
        monkeypatch.setattr(drain, "LASTS_S", 1.0)
    sampler = bench.log.sampler(bench.log.team("a"))
    holder = bench.start()
    endless = Endless(holder, monkeypatch)
    submit(bench, sampler, 0)
    bench.wait(lambda: Operation.objects.filter(state="running").exists(), "the sample's begin")
    if not listens:
        bench.pause(holder)
    other = Worker(bench.log.pool)
    other.start()
    try:
        end_and_release(bench, sampler, by=other)
        if not listens:
            bench.adopt(holder)
        assert endless.cancelled.wait(WITHIN_S / 3)
    finally:
        other.stop()
    bench.wait(lambda: not holder.samples.all(), "the letting go")


def test_a_sample_that_ends_while_it_is_begun_leaves_nothing() -> None:
    samples = SamplesInHand()
    for number in range(3000):
        name = f"s:{number}"
        samples.take(name)
        end = threading.Thread(target=samples.ended, args=[name])
        end.start()
        samples.begun(name, lambda: None)
        end.join()
        samples.forget([name])
    assert samples._cancels == {}
    assert samples.all() == []


def test_a_sample_given_up_while_it_is_begun_is_cancelled_once() -> None:
    samples, cancelled = SamplesInHand(), []
    samples.take("s:0")
    samples.cancel("s:0")
    samples.cancel("s:0")
    samples.begun("s:0", lambda: cancelled.append(1))
    samples.cancel("s:0")
    assert cancelled == [1]
    assert samples._cancels == {}


def test_giving_up_what_is_not_in_hand_is_fine() -> None:
    samples = SamplesInHand()
    samples.cancel("s:0")
    samples.begun("s:0", lambda: pytest.fail("it was never taken"))
    assert samples._cancels == {}
