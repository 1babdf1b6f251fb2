"""The engine as a whole: its thread, its answers, parking, dropping, stopping, sampling."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    EngineStopped,
    ForwardBackward,
    OptimStep,
    PublishSampler,
    Sample,
    SampleResult,
    SaveState,
)
from tests.gpu_workers.engine.harness import Client, Draw, assert_equal, create_random, running
from tests.support.waiting import eventually, never


def sample(client: Client, version: str | None, directory: Path | None = None) -> Future[Any]:
    future: Future[Any] = Future()
    work = Sample(prompt=[1, 2, 3], max_tokens=4, temperature=0.0, stop_tokens=[], stop_strings=[])
    client.engine.validate(work)
    client.engine.sample(version, directory, work, team="team", done=future.set_result)
    return future


def greedy(client: Client, version: str | None, directory: Path | None = None) -> list[int]:
    result = sample(client, version, directory).result(60)
    assert isinstance(result, SampleResult), result
    return result.sequences[0].tokens.tolist()


def test_an_idle_engine_uses_no_cpu(client: Client, tmp_path: Path) -> None:
    """No polling: over half a second without work its thread runs for well under a millisecond."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("run", ForwardBackward(Draw(0).data([9]), "cross_entropy"))
    greedy(client, None)
    ident = client.engine._thread.ident
    assert ident is not None
    clock = time.pthread_getcpuclockid(ident)
    looks = [0.0, time.clock_gettime(clock)]

    def at_rest() -> bool:
        looks.append(time.clock_gettime(clock))
        return looks[-1] == looks[-2]

    eventually(at_rest, every_s=0.05)
    never(
        lambda: time.clock_gettime(clock) - looks[-1] > 0.001,
        for_s=0.5,
        but_after=lambda: greedy(client, None),
    )


def test_work_on_one_run_is_answered_in_order(client: Client, tmp_path: Path) -> None:
    order: list[int] = []
    last = threading.Event()
    works: list[Any] = [CreateRun(AdapterSpec(8, 1))]
    for _ in range(5):
        works += [ForwardBackward(Draw(0).data([9]), "cross_entropy"), OptimStep()]
    for number, work in enumerate(works):

        def done(result: Any, number: int = number) -> None:
            order.append(number)
            if number == len(works) - 1:
                last.set()

        client.engine.submit("run", work, team="team", done=done)
    assert last.wait(60)
    assert order == list(range(len(works)))


def test_a_result_comes_as_soon_as_its_last_chunk_is_done(client: Client) -> None:
    """A short request is answered while a long one that came first is still being served."""
    for run in ("long", "short"):
        client.do(run, CreateRun(AdapterSpec(8, 1)))
    with client.together():
        long = client.submit("long", ForwardBackward(Draw(0).data([48] * 60), "cross_entropy"), "a")
        long_was_done: list[bool] = []
        short = client.submit("short", ForwardBackward(Draw(1).data([9]), "cross_entropy"), "b")
        short.add_done_callback(lambda _: long_was_done.append(long.done()))
    long.result(60)
    short.result(60)
    assert long_was_done == [False]


def test_sampling_goes_on_between_the_micro_batches_of_a_long_request(client: Client) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    with client.together():
        long = client.submit("run", ForwardBackward(Draw(0).data([48] * 60), "cross_entropy"))
        sampled = sample(client, None)
        long_was_done: list[bool] = []
        sampled.add_done_callback(lambda _: long_was_done.append(long.done()))
    long.result(60)
    sampled.result(60)
    assert long_was_done == [False]


def test_a_published_version_stays_as_it_was(client: Client, tmp_path: Path) -> None:
    """Sampling from it is the same after more training, and from its files after it was dropped."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    client.do("run", PublishSampler("v1", tmp_path / "v1"))
    first = greedy(client, "v1")
    for _ in range(3):
        client.submit("run", ForwardBackward(Draw(0).data([30]), "cross_entropy"))
        client.do("run", OptimStep(learning_rate=0.1))
    client.do("run", PublishSampler("v2", tmp_path / "v2"))
    assert greedy(client, "v1") == first
    assert greedy(client, "v2") != first
    client.engine.drop_sampler("v1")
    assert greedy(client, "v1", tmp_path / "v1") == first
    client.engine.drop_sampler("never heard of")


def test_more_runs_than_slots_come_and_go_unnoticed(base: BaseModel, tmp_path: Path) -> None:
    """Nine runs on two slots, step by step in turn, end where they end with room for all."""
    states: list[dict[str, Any]] = []
    for slots in (2, 9):
        directory = tmp_path / str(slots)
        directory.mkdir()
        with running(base, directory, slots=slots) as client:
            for step in range(3):
                futures = []
                for number in range(9):
                    run, spec = f"run{number}", AdapterSpec(4 * number + 1, number)
                    if step == 0:
                        client.submit(run, CreateRun(spec))
                    data = Draw(step).data([9, 12])
                    futures.append(client.submit(run, ForwardBackward(data, "cross_entropy")))
                    if step != 1:  # so that runs are parked with a gradient, too
                        futures.append(client.submit(run, OptimStep(learning_rate=1e-2)))
                for future in futures:
                    future.result(60)
                assert client.engine.load_report()["runs_in_memory"] <= slots  # type: ignore[operator]
            parkings = client.engine.load_report()["parkings"]
            assert parkings == 0 if slots == 9 else parkings >= 18  # type: ignore[operator]
            states.append({f"{n}": client.state(f"run{n}", directory / f"s{n}") for n in range(9)})
    for run in states[0]:
        assert_equal(states[0][run], states[1][run])


def test_runs_are_parked_by_bytes_too(base: BaseModel, tmp_path: Path) -> None:
    with running(base, tmp_path, arena_bytes=1) as client:
        for run in ("one", "two"):
            client.do(run, CreateRun(AdapterSpec(8, 1)))
            assert client.engine.load_report()["runs_in_memory"] == 1
        client.do("one", ForwardBackward(Draw(0).data([9]), "cross_entropy"))


def test_a_run_that_cannot_be_parked_stays(base: BaseModel, tmp_path: Path) -> None:
    """A disk that takes no files costs memory, not a run."""
    with running(base, tmp_path, slots=1) as client:
        client.do("one", CreateRun(AdapterSpec(8, 1)))
        client.do("one", ForwardBackward(Draw(0).data([9]), "cross_entropy"))
        before = client.state("one", tmp_path / "before")
        shutil.rmtree(client.engine._parking)
        client.engine._parking.write_text("no folder")
        client.do("two", CreateRun(AdapterSpec(8, 1)))
        assert_equal(client.state("one", tmp_path / "after"), before)
        client.engine._parking.unlink()


def test_a_dropped_run_frees_its_slot_and_fails_what_it_had_to_do(client: Client) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("other", CreateRun(AdapterSpec(8, 1)))
    with client.together():
        future = client.submit("run", ForwardBackward(Draw(0).data([9]), "cross_entropy"))
        client.engine.drop_run("run")
        client.engine.drop_run("never heard of")
    with pytest.raises(EngineStopped):
        future.result(60)
    with pytest.raises(LookupError, match="run is not known"):
        client.do("run", OptimStep())
    assert client.engine.load_report()["runs_in_memory"] == 1
    client.do("run", CreateRun(AdapterSpec(16, 1)))


def test_a_parked_run_can_be_dropped(base: BaseModel, tmp_path: Path) -> None:
    with running(base, tmp_path, slots=1) as client:
        for run in ("one", "two"):
            client.do(run, CreateRun(AdapterSpec(8, 1)))
        client.engine.drop_run("one")
        client.do("two", SaveState(tmp_path / "saved"))  # the file thread is through by then
        client.do("two", SaveState(tmp_path / "again"))
        assert list(client.engine._parking.iterdir()) == []


def test_creating_a_run_twice_is_refused_and_changes_nothing(
    client: Client, tmp_path: Path
) -> None:
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    before = client.state("run", tmp_path / "before")
    with pytest.raises(RuntimeError, match="exists already"):
        client.do("run", CreateRun(AdapterSpec(8, 4)))
    assert_equal(client.state("run", tmp_path / "after"), before)


def test_a_callback_that_raises_harms_nobody(client: Client) -> None:
    def broken(result: Any) -> None:
        raise RuntimeError("broken callback")

    client.engine.submit("run", CreateRun(AdapterSpec(8, 1)), team="team", done=broken)
    work = ForwardBackward(Draw(0).data([9]), "cross_entropy")
    client.engine.submit("run", work, team="team", done=broken)
    client.do("run", ForwardBackward(Draw(0).data([9]), "cross_entropy"))


def test_stopping_answers_everything_and_finishes_files(base: BaseModel, tmp_path: Path) -> None:
    engine = Engine(base, EngineOptions(park_directory=tmp_path / "parked", chunk_tokens=48))
    client = Client(engine)
    engine.start()
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    with client.together():
        saved = client.submit("run", SaveState(tmp_path / "saved"))
        pending = [
            client.submit("run", ForwardBackward(Draw(0).data([48] * 400), "cross_entropy")),
            client.submit("run", OptimStep()),
            sample(client, None),
        ]
    saved.result(60)
    engine.stop()
    assert isinstance(pending[0].exception(5), EngineStopped)
    assert isinstance(pending[1].exception(5), EngineStopped)
    assert isinstance(pending[2].result(5), EngineStopped | SampleResult)
    assert isinstance(client.submit("run", OptimStep()).exception(5), EngineStopped)
    assert isinstance(sample(client, None).result(5), EngineStopped)
    assert list((tmp_path / "parked").iterdir()) == []
    assert not engine._thread.is_alive()


def test_an_engine_that_never_started_can_be_stopped(base: BaseModel, tmp_path: Path) -> None:
    engine = Engine(base, EngineOptions(park_directory=tmp_path / "parked"))
    future = Client(engine).submit("run", CreateRun(AdapterSpec(8, 1)))
    engine.stop()
    assert isinstance(future.exception(5), EngineStopped)


def test_the_engine_says_what_it_serves(client: Client, family: str) -> None:
    info = client.engine.info
    assert info.architecture == {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}[family]
    assert (info.vocab_size, info.max_context_length) == (131, 2048)
    assert info.parameters == {"qwen3": 50_368, "llama": 57_392}[family]
