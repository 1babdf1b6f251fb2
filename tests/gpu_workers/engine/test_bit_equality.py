"""A run's float32 numbers on CPU are the same bits alone and beside others (docs/engine.md)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.types import AdapterSpec, CreateRun, ForwardBackward, OptimStep, RunWork
from tests.gpu_workers.engine.harness import Client, Draw, assert_equal, create_random, running
from tinsmith.losses import LOSSES

OPTIONS: dict[str, Any] = {"chunk_tokens": 96, "micro_batch_tokens": 256}
SPEC = AdapterSpec(11, 77)


def the_works() -> list[RunWork]:
    """What the run under watch does: every loss, odd lengths, pipelined requests and steps."""
    draw = Draw(100)
    works: list[RunWork] = []
    lengths = [[1], [3, 2], [50, 60, 7], [33], [5, 90, 130], [2]]
    for number, loss in enumerate(sorted(LOSSES)):
        works.append(ForwardBackward(draw.data(lengths[number % len(lengths)], loss), loss))
        if number % 2:
            works.append(OptimStep(learning_rate=3e-3, weight_decay=0.01, grad_clip_norm=5.0))
        works.append(ForwardBackward(draw.data([4, 19], loss), loss, forward_only=number % 3 == 0))
    wide = [draw.datum(30, width=40), draw.datum(50), draw.datum(9, width=3), draw.datum(20)]
    works.append(ForwardBackward(wide, "cross_entropy"))
    pairs = draw.data([20, 31, 9, 60], "dpo")
    for datum in pairs:
        del datum.inputs["logprobs"]  # the reference is the base model, in a pass of its own
    works.append(ForwardBackward(pairs, "dpo"))
    return works


def watch(client: Client, directory: Path, shuffle: random.Random | None) -> tuple[Any, Any]:
    """Do the works, beside random neighbours if `shuffle` is given; gives results and state."""
    create_random(client, "watched", SPEC, directory / "adapter")
    queues: dict[str, list[RunWork]] = {"watched": the_works()}
    if shuffle is not None:
        for number in range(shuffle.randint(2, 7)):
            queues[f"neighbour{number}"] = neighbour(shuffle)
    names = [name for name, works in queues.items() for _ in works]
    if shuffle is not None:
        shuffle.shuffle(names)
    futures = []
    with client.together():
        for name in names:
            team = name if name == "watched" or len(name) % 2 else "others"
            future = client.submit(name, queues[name].pop(0), team)
            if name == "watched":
                futures.append(future)
    results = [future.result(60) for future in futures]
    return results, client.state("watched", directory / "state")


def neighbour(shuffle: random.Random) -> list[RunWork]:
    """Some other run's works."""
    draw = Draw(shuffle.randrange(10**6))
    works: list[RunWork] = [CreateRun(AdapterSpec(shuffle.randint(1, 128), shuffle.randrange(99)))]
    for _ in range(shuffle.randint(1, 8)):
        loss = shuffle.choice(sorted(LOSSES))
        lengths = [shuffle.randint(1, 70) for _ in range(shuffle.randint(1, 6))]
        forward_only = shuffle.random() < 0.3
        works.append(ForwardBackward(draw.data(lengths, loss), loss, forward_only=forward_only))
        if shuffle.random() < 0.4:
            works.append(OptimStep(learning_rate=1e-2))
    return works


@pytest.fixture(scope="module")
def alone(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """The run's results and final state with nobody else there."""
    directory = tmp_path_factory.mktemp("alone")
    with running(base, directory, **OPTIONS) as client:
        return watch(client, directory, None)


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_change_no_bit(
    seed: int, alone: tuple[Any, Any], base: BaseModel, tmp_path: Path
) -> None:
    """Many ranks, losses, lengths and arrival orders; results, weights, moments and gradient."""
    with running(base, tmp_path, **OPTIONS) as client:
        results, state = watch(client, tmp_path, random.Random(seed))
    assert_same_results(results, alone[0])
    assert any(name.startswith("grad.") for name in alone[1])
    assert_equal(state, alone[1])


def test_smaller_passes_change_no_bit(
    alone: tuple[Any, Any], base: BaseModel, tmp_path: Path
) -> None:
    """How chunks are put together does not matter, only how requests are cut into them."""
    with running(base, tmp_path, **OPTIONS | {"micro_batch_tokens": 96}) as client:
        results, state = watch(client, tmp_path, random.Random(1))
    assert_same_results(results, alone[0])
    assert_equal(state, alone[1])


def test_parking_changes_no_bit(alone: tuple[Any, Any], base: BaseModel, tmp_path: Path) -> None:
    """With one slot for all, runs are parked in files time and again, gradients and all."""
    with running(base, tmp_path, **OPTIONS, slots=1) as client:
        results, state = watch(client, tmp_path, random.Random(2))
        assert client.engine.load_report()["parkings"] >= 3  # type: ignore[operator]
    assert_same_results(results, alone[0])
    assert_equal(state, alone[1])


def test_checkpointing_changes_no_bit(
    alone: tuple[Any, Any], base: BaseModel, tmp_path: Path
) -> None:
    """Layers computed a second time give what they gave the first time."""
    with running(base, tmp_path, **OPTIONS, checkpointed_layers=1) as client:
        results, state = watch(client, tmp_path, random.Random(3))
    assert_same_results(results, alone[0])
    assert_equal(state, alone[1])


def assert_same_results(found: list[Any], expected: list[Any]) -> None:
    """Bit for bit: logprobs and metrics."""
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.metrics == theirs.metrics
        if hasattr(mine, "outputs"):
            for a, b in zip(mine.outputs, theirs.outputs, strict=True):
                assert np.array_equal(a, b)


def test_the_check_itself_sees_a_single_bit(alone: tuple[Any, Any]) -> None:
    """`assert_equal` is not blind."""
    state: dict[str, Tensor] = dict(alone[1])
    name = next(iter(state))
    state[name] = state[name].clone()
    state[name].view(-1).view(dtype=state[name].dtype)[0] += 1e-6
    with pytest.raises(AssertionError):
        assert_equal(state, alone[1])


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Let torch use two threads for the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("seed", [7, 8])
def test_neighbours_change_no_bit_with_two_threads(
    seed: int, base: BaseModel, tmp_path: Path
) -> None:
    """The promise is for a number of threads: alone and beside others with two."""
    results, states = [], []
    for name, shuffle in (("alone", None), ("beside", random.Random(seed))):
        (tmp_path / name).mkdir()
        with running(base, tmp_path / name, **OPTIONS, threads=2) as client:
            result, state = watch(client, tmp_path / name, shuffle)
        results.append(result)
        states.append(state)
    assert_same_results(results[1], results[0])
    assert_equal(states[1], states[0])


def test_being_watched_changes_no_bit(
    base: BaseModel, tmp_path: Path, alone: tuple[Any, Any]
) -> None:
    pieces: list[Any] = []
    with running(base, tmp_path, **OPTIONS) as client:
        client.engine.watch(pieces.append)
        results, state = watch(client, tmp_path, random.Random(3))
    assert_same_results(results, alone[0])
    assert_equal(state, alone[1])
    assert {target for piece in pieces for _, target in piece.weights} > {"watched"}
