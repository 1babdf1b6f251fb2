"""Exceptions where nobody expects them: every request is answered, neighbours notice nothing."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gpu_workers.engine import engine as engine_module
from gpu_workers.engine.arena import Row
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.trainer import Job
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    ForwardBackward,
    LoadState,
    OptimStep,
    Sample,
    SampleResult,
    SaveState,
)
from tests.gpu_workers.engine.harness import (
    Client,
    Draw,
    assert_equal,
    create_random,
    running,
)

MEMORY = MemoryError("no memory left")
Patch = pytest.MonkeyPatch


def failing(patch: Patch, owner: Any, name: str, when: Callable[..., bool], times: int = 1) -> None:
    """Make a function raise MEMORY the first `times` times that `when` says so of its arguments."""
    real = getattr(owner, name)
    left = [times]

    def instead(*args: Any, **kwargs: Any) -> Any:
        if left[0] and when(*args, **kwargs):
            left[0] -= 1
            raise MEMORY
        return real(*args, **kwargs)

    patch.setattr(owner, name, instead)


def always(*args: Any, **kwargs: Any) -> bool:
    return True


def of_run(client: Client, run: str) -> Callable[..., bool]:
    """Says whether it is about this run's row."""
    row = client.engine._runs[run].row
    return lambda *args: any(arg is row or getattr(arg, "row", None) is row for arg in args)


RUNS = ("one", "bad", "two")


def story(
    base: BaseModel, directory: Path, inject: Callable[[Client], None] | None
) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Three runs with a gradient from before each do a pass, a step and a pass, all at once.

    `inject` is called before that. Gives answers (results or exceptions) and final states by run.
    """
    directory.mkdir()
    with running(base, directory, chunk_tokens=48, micro_batch_tokens=160) as client:
        for number, run in enumerate(RUNS):
            create_random(client, run, AdapterSpec(8, number), directory / run)
            client.do(run, ForwardBackward(Draw(number).data([20, 9]), "cross_entropy"))
        if inject is not None:
            inject(client)
        futures: dict[str, list[Future[Any]]] = {run: [] for run in RUNS}
        with client.together():
            for run in RUNS:
                data = Draw(7).data([30, 40])
                for work in (
                    ForwardBackward(data, "cross_entropy"),
                    OptimStep(learning_rate=1e-2),
                    ForwardBackward(data, "cross_entropy"),
                ):
                    futures[run].append(client.submit(run, work))
        answers = {run: [f.exception(60) or f.result() for f in futures[run]] for run in RUNS}
        states = {run: client.state(run, directory / f"{run}.state") for run in RUNS}
    return answers, states


@pytest.fixture(scope="module")
def undisturbed(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the runs get when nothing goes wrong."""
    return story(base, tmp_path_factory.mktemp("undisturbed") / "story", None)


@pytest.fixture(scope="module")
def without_the_first_pass(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The state of "bad" when its first pass was never asked for."""
    directory = tmp_path_factory.mktemp("without")
    with running(base, directory, chunk_tokens=48, micro_batch_tokens=160) as client:
        create_random(client, "bad", AdapterSpec(8, 1), directory / "bad")
        client.do("bad", ForwardBackward(Draw(1).data([20, 9]), "cross_entropy"))
        client.do("bad", OptimStep(learning_rate=1e-2))
        client.do("bad", ForwardBackward(Draw(7).data([30, 40]), "cross_entropy"))
        return client.state("bad", directory / "state")


def same(found: Any, expected: Any, run: str) -> None:
    """The run's metrics and state are the same bits."""
    assert [a.metrics for a in found[0][run]] == [a.metrics for a in expected[0][run]]
    assert_equal(found[1][run], expected[1][run])


@pytest.mark.parametrize("place", ["begin", "finish"])
def test_a_pass_that_cannot_begin_or_end_fails_alone(
    place: str,
    base: BaseModel,
    tmp_path: Path,
    monkeypatch: Patch,
    undisturbed: Any,
    without_the_first_pass: Any,
) -> None:
    """Its gradient is as before; its step, its next pass and its neighbours are as ever."""

    def inject(client: Client) -> None:
        failing(monkeypatch, Job, place, of_run(client, "bad"))

    found = story(base, tmp_path / "story", inject)
    assert found[0]["bad"][0] is MEMORY
    assert_equal(found[1]["bad"], without_the_first_pass)
    for run in ("one", "two"):
        same(found, undisturbed, run)


def test_a_gradient_that_cannot_be_copied_stays(client: Client, tmp_path: Path) -> None:
    """`undo` after a `begin` that raised puts back nothing, for it has nothing to put back."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("run", ForwardBackward(Draw(0).data([9]), "cross_entropy"))
    row = client.engine._runs["run"].row
    assert row is not None
    before, gradient = row.gradient.clone(), row.gradient

    class Full:
        def clone(self) -> None:
            raise MEMORY

    job = Job(ForwardBackward(Draw(0).data([9]), "cross_entropy"), 48)
    row.gradient = Full()
    with pytest.raises(MemoryError):
        job.begin(row)
    row.gradient = gradient
    job.undo()
    assert row.dirty
    assert_equal({"": row.gradient}, {"": before})


def test_a_failure_in_planning_fails_what_was_picked_and_no_more(
    base: BaseModel, tmp_path: Path, monkeypatch: Patch, without_the_first_pass: Any
) -> None:
    """Each request is answered; those that failed have left no gradient, the rest is done."""

    def inject(client: Client) -> None:
        # turns that the work before woke may have nothing to plan
        failing(monkeypatch, engine_module, "assign", lambda loads, *_, **__: bool(loads))

    answers, states = story(base, tmp_path / "story", inject)
    firsts = [answers[run][0] for run in RUNS]
    assert any(first is MEMORY for first in firsts)
    for run in RUNS:
        assert not any(isinstance(answer, Exception) for answer in answers[run][1:])
    if answers["bad"][0] is MEMORY:
        assert_equal(states["bad"], without_the_first_pass)


@pytest.mark.parametrize("place", ["_barriers.serve", "_sampler.step", "_scheduler.cycle"])
def test_a_part_that_fails_once_costs_nobody_anything(
    place: str, base: BaseModel, tmp_path: Path, monkeypatch: Patch, undisturbed: Any
) -> None:
    """It is tried again, and all numbers are as ever."""
    sampled: Future[Any] = Future()

    def inject(client: Client) -> None:
        owner, name = place.split(".")
        failing(monkeypatch, getattr(client.engine, owner), name, always)
        work = Sample(prompt=[1, 2], max_tokens=3, stop_tokens=[], stop_strings=[])
        client.engine.sample(None, None, work, team="team", done=sampled.set_result)

    found = story(base, tmp_path / "story", inject)
    for run in RUNS:
        same(found, undisturbed, run)
    assert isinstance(sampled.result(60), SampleResult)


def test_a_turn_that_fails_again_and_again_answers_all_that_is_queued(
    client: Client, monkeypatch: Patch
) -> None:
    """Nobody waits for ever; the engine goes on as soon as it can."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    with monkeypatch.context() as patch:
        failing(patch, client.engine._barriers, "serve", always, times=2)
        with client.together():
            works: list[Any] = [ForwardBackward(Draw(0).data([9]), "cross_entropy"), OptimStep()]
            futures = [client.submit("run", work) for work in works]
            created = client.submit("new", CreateRun(AdapterSpec(8, 1)))
        for future in [*futures, created]:
            assert future.exception(60) is MEMORY
    client.do("run", works[0])
    assert client.submit("new", works[0]).exception(60) is MEMORY  # it was never made


def test_sampling_that_fails_again_and_again_answers_all_requests(
    client: Client, monkeypatch: Patch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, client.engine._sampler, "_admit", always, times=2)
        assert sample(client, 1).result(60) is MEMORY
    assert isinstance(sample(client, 1).result(60), SampleResult)


def test_a_run_that_gets_no_memory_is_broken_and_others_go_on(
    client: Client, tmp_path: Path, monkeypatch: Patch
) -> None:
    """All its work fails with the reason; once dropped it can be made anew."""
    client.do("other", CreateRun(AdapterSpec(8, 3)))
    failing(monkeypatch, type(client.engine._arena), "acquire", lambda _, spec: spec.rank == 16)
    work = ForwardBackward(Draw(0).data([9]), "cross_entropy")
    with client.together():
        broken = [client.submit("run", w) for w in (CreateRun(AdapterSpec(16, 1)), work)]
        good = [client.submit("other", work), client.submit("new", CreateRun(AdapterSpec(8, 1)))]
    assert [future.exception(60) for future in broken] == [MEMORY, MEMORY]
    assert [future.exception(60) for future in good] == [None, None]
    assert client.submit("run", OptimStep()).exception(60) is MEMORY
    client.engine.drop_run("run")
    client.do("run", CreateRun(AdapterSpec(16, 1)))


@pytest.mark.parametrize("place", ["_park", "_read_back"])
def test_a_run_that_cannot_come_back_is_broken_and_others_go_on(
    place: str, base: BaseModel, tmp_path: Path, monkeypatch: Patch
) -> None:
    """With one slot: the run that was in memory keeps its numbers."""
    with running(base, tmp_path, slots=1) as client:
        for run in ("parked", "other"):
            client.do(run, CreateRun(AdapterSpec(8, 1)))
        before = client.state("other", tmp_path / "before")
        failing(monkeypatch, client.engine._residency, place, always)
        work = ForwardBackward(Draw(0).data([9]), "cross_entropy")
        assert client.submit("parked", work).exception(60) is MEMORY
        assert_equal(client.state("other", tmp_path / "after"), before)
        assert client.engine.load_report()["runs_in_memory"] == 1


def test_a_load_that_stops_halfway_breaks_its_run_alone(
    client: Client, tmp_path: Path, monkeypatch: Patch
) -> None:
    for run in ("run", "other"):
        client.do(run, CreateRun(AdapterSpec(8, 1)))
    client.do("run", SaveState(tmp_path / "saved"))
    failing(monkeypatch, Row, "restore", of_run(client, "run"))
    work = ForwardBackward(Draw(0).data([9]), "cross_entropy")
    with client.together():
        load = client.submit("run", LoadState(tmp_path / "saved", optimizer=True))
        after = client.submit("run", work)
        other = client.submit("other", work)
    assert [load.exception(60), after.exception(60)] == [MEMORY, MEMORY]
    other.result(60)


def sample(client: Client, token: int, num_samples: int = 1, team: str = "team") -> Future[Any]:
    """Sample something that depends on `token`."""
    future: Future[Any] = Future()
    work = Sample(
        prompt=[token] * 5,
        num_samples=num_samples,
        max_tokens=6,
        seed=token,
        stop_tokens=[],
        stop_strings=[],
    )
    client.engine.validate(work)
    client.engine.sample(None, None, work, team=team, done=future.set_result)
    return future


def tokens(result: Any) -> list[list[int]]:
    assert isinstance(result, SampleResult), result
    return [sequence.tokens.tolist() for sequence in result.sequences]


ADMISSION = {
    "no place is counted": ("cache", "fits"),
    "no row for the prompt": ("cache", "allocate"),
    "no row for a further sample": ("cache", "fork"),
}


@pytest.mark.parametrize("what", ADMISSION)
def test_a_request_that_cannot_be_admitted_fails_alone(
    what: str, client: Client, monkeypatch: Patch
) -> None:
    """Its neighbour's tokens are as ever, and nothing that it held is lost."""
    expected = [tokens(sample(client, token, 3).result(60)) for token in (1, 2)]
    sampler = client.engine._sampler
    part, name = ADMISSION[what]
    failing(monkeypatch, getattr(sampler, part), name, always)
    with client.together():
        futures = [sample(client, token, 3) for token in (1, 2)]
    assert futures[0].result(60) is MEMORY
    assert tokens(futures[1].result(60)) == expected[1]
    assert tokens(sample(client, 1, 3).result(60)) == expected[0]
    assert sampler.cache.reserved_tokens == 0


@pytest.mark.parametrize("times", [1, 2])
def test_first_tokens_that_cannot_be_drawn_together_are_drawn_one_by_one(
    times: int, client: Client, monkeypatch: Patch
) -> None:
    """Failing once costs nobody anything, failing for a request alone costs that request."""
    expected = [tokens(sample(client, token, 2).result(60)) for token in (1, 2)]
    sampler = client.engine._sampler
    failing(monkeypatch, sampler._decoding, "_draw_first", always, times)
    with client.together():
        futures = [sample(client, token, 2) for token in (1, 2)]
    results = [future.result(60) for future in futures]
    assert (results[0] is MEMORY) == (times == 2)
    assert tokens(results[1]) == expected[1]
    assert sampler.cache.reserved_tokens == 0
