"""Training through the engine against PEFT with autograd, one run at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    LoadState,
    OptimStep,
    SaveState,
)
from tests.gpu_workers.engine.harness import (
    Client,
    Draw,
    PeftOracle,
    assert_close,
    assert_equal,
    create_random,
    running,
)
from tinsmith.losses import LOSSES

LENGTHS = [17, 3, 40, 1, 61, 8, 8]
"""Longer than a chunk, shorter than eight rows, equal neighbours; more than one micro-batch."""


def compare(found: Any, expected: Any) -> None:
    """Two PassResults: logprobs and loss."""
    for mine, theirs in zip(found.outputs, expected.outputs, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)
    assert found.metrics["loss:sum"] == pytest.approx(expected.metrics["loss:sum"], rel=1e-4)


SPECS = [
    AdapterSpec(8, 1),
    AdapterSpec(1, 2),
    AdapterSpec(3, 3, train_unembed=False),
    AdapterSpec(20, 4),
    AdapterSpec(64, 5, train_attn=False),
    AdapterSpec(16, 6, train_mlp=False),
    AdapterSpec(128, 7, train_attn=False, train_mlp=False),
    AdapterSpec(33, 8),
]


@pytest.mark.parametrize(("kernel", "checkpointed"), [("loop", 0), ("grouped", 0), ("grouped", 1)])
def test_batched_gradients_equal_peft_one_run_at_a_time(
    kernel: str,
    checkpointed: int,
    base: BaseModel,
    model_directory: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight runs of all ranks and module choices in shared passes, by both kernels."""
    monkeypatch.setattr(base.context, "kernel", kernel)
    draw = Draw(0)
    works = [ForwardBackward(draw.data(LENGTHS), "cross_entropy") for _ in SPECS]
    options = {"chunk_tokens": 48, "micro_batch_tokens": 400, "checkpointed_layers": checkpointed}
    with running(base, tmp_path, **options) as client:
        files = [
            create_random(client, f"run{i}", spec, tmp_path / f"adapter{i}")
            for i, spec in enumerate(SPECS)
        ]
        with client.together():
            futures = [client.submit(f"run{i}", work) for i, work in enumerate(works)]
        for i, work in enumerate(works):
            oracle = PeftOracle(model_directory, files[i])
            compare(futures[i].result(60), oracle.forward_backward(work))
            assert_close(client.gradient(f"run{i}", tmp_path / f"state{i}"), oracle.gradient())


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_each_loss_equals_its_formula_in_torch(
    loss: str, client: Client, model_directory: Path, tmp_path: Path
) -> None:
    """Mixed lengths, zero and negative weights, chunks and micro-batches; packed equals padded."""
    files = create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    work = ForwardBackward(Draw(1).data(LENGTHS, loss), loss)
    oracle = PeftOracle(model_directory, files)
    compare(client.do("run", work), oracle.forward_backward(work))
    assert_close(client.gradient("run", tmp_path / "state"), oracle.gradient())


CONFIGS = [
    ("ppo", {"clip_low_threshold": 0.5, "clip_high_threshold": 3.0}),
    ("cispo", {"clip_low_threshold": 0.2, "clip_high_threshold": 2.0}),
    ("dro", {"beta": 0.7}),
    ("gspo", {"clip_low_threshold": 0.1, "clip_high_threshold": 1.5}),
    ("stable_reinforce", {"kl_coeff": 0.3, "max_ratio": 1.5}),
]


@pytest.mark.parametrize(("loss", "config"), CONFIGS)
def test_loss_configuration_is_honoured(
    loss: str, config: dict[str, float | str], client: Client, model_directory: Path, tmp_path: Path
) -> None:
    files = create_random(client, "run", AdapterSpec(4, 3), tmp_path / "adapter")
    data = Draw(2).data([30, 12], loss)
    oracle = PeftOracle(model_directory, files)
    work = ForwardBackward(data, loss, config)
    found = client.do("run", work)
    compare(found, oracle.forward_backward(work))
    assert_close(client.gradient("run", tmp_path / "state"), oracle.gradient())
    default = client.do("run", ForwardBackward(data, loss, forward_only=True))
    assert default.metrics["loss:sum"] != pytest.approx(found.metrics["loss:sum"], rel=1e-3)


def test_wide_targets_mix_with_plain_ones(
    client: Client, model_directory: Path, tmp_path: Path
) -> None:
    """[N, K] targets with different K and [N] targets in one request; outputs have their shapes."""
    files = create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    draw = Draw(3)
    data = [
        draw.datum(9, width=4),
        draw.datum(11),
        draw.datum(20, width=2),
        draw.datum(60, width=1),
    ]
    work = ForwardBackward(data, "cross_entropy")
    oracle = PeftOracle(model_directory, files)
    found = client.do("run", work)
    assert [output.shape for output in found.outputs] == [(9, 4), (11,), (20, 2), (60, 1)]
    compare(found, oracle.forward_backward(work))
    assert_close(client.gradient("run", tmp_path / "state"), oracle.gradient())


def test_chunked_equals_whole(base: BaseModel, tmp_path: Path) -> None:
    """However a request is cut, results agree; and its two halves add up to it."""
    data = Draw(4).data(LENGTHS)
    gradients, losses = [], []
    for name, chunk in (("whole", 2048), ("cut", 20)):
        (tmp_path / name).mkdir()
        with running(base, tmp_path / name, chunk_tokens=chunk, micro_batch_tokens=2048) as client:
            create_random(client, "run", AdapterSpec(8, 3), tmp_path / name / "adapter")
            halves = [data] if name == "whole" else [data[:3], data[3:]]
            results = [client.do("run", ForwardBackward(half, "cross_entropy")) for half in halves]
            losses.append(sum(result.metrics["loss:sum"] for result in results))
            gradients.append(client.gradient("run", tmp_path / name / "state"))
    assert_close(gradients[1], gradients[0])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_forward_only_gives_the_same_numbers_and_no_gradient(
    client: Client, tmp_path: Path
) -> None:
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(5).data(LENGTHS, "gspo")
    forward = client.do("run", ForwardBackward(data, "gspo", forward_only=True))
    assert client.gradient("run", tmp_path / "before") == {}
    backward = client.do("run", ForwardBackward(data, "gspo"))
    assert forward.metrics == backward.metrics
    for mine, theirs in zip(forward.outputs, backward.outputs, strict=True):
        assert np.array_equal(mine, theirs)
    assert client.gradient("run", tmp_path / "after")


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_steps_equal_torch_adamw_on_peft(
    clip: float, client: Client, model_directory: Path, tmp_path: Path
) -> None:
    """Four steps with changing settings, weight decay and clipping; two runs step together."""
    spec = AdapterSpec(5, 3)
    files = create_random(client, "run", spec, tmp_path / "adapter")
    client.do("other", CreateRun(AdapterSpec(16, 9)))
    oracle = PeftOracle(model_directory, files)
    optimizer = torch.optim.AdamW(oracle.parameters().values())
    draw = Draw(6)
    for number in range(4):
        step = OptimStep(
            learning_rate=1e-2 / (number + 1), beta1=0.9, beta2=0.95 - number / 50, eps=1e-8,
            weight_decay=0.1 * number, grad_clip_norm=clip,
        )  # fmt: skip
        work = ForwardBackward(draw.data([20, 7]), "cross_entropy")
        with client.together():
            client.submit("run", work)
            client.submit("other", ForwardBackward(draw.data([9]), "cross_entropy"))
            client.submit("other", OptimStep())
            future = client.submit("run", step)
        optimizer.zero_grad()
        oracle.forward_backward(work)
        norm = torch.nn.utils.clip_grad_norm_(oracle.parameters().values(), clip or 1e9)
        metrics = future.result(60).metrics
        assert metrics["unclipped_grad_norm:mean"] == pytest.approx(norm.item(), rel=1e-4)
        for group in optimizer.param_groups:
            group.update(
                lr=step.learning_rate, betas=(step.beta1, step.beta2), eps=step.eps,
                weight_decay=step.weight_decay,
            )  # fmt: skip
        optimizer.step()
    weights = client.state("run", tmp_path / "state")
    found = {name: weights[name] for name in oracle.parameters()}
    # Adam divides by the gradient's size, which makes much of little where that is tiny.
    assert_close(found, {k: v.detach() for k, v in oracle.parameters().items()}, 3e-4)


def train(client: Client, run: str, steps: range) -> list[float]:
    """Some steps on data that depends on the step; gives the losses."""
    futures = []
    for number in steps:
        work = ForwardBackward(Draw(number).data([30, 9]), "cross_entropy")
        futures.append(client.submit(run, work))
        client.submit(run, OptimStep(learning_rate=1e-2, weight_decay=0.01))
    return [future.result(60).metrics["loss:sum"] for future in futures]


def test_saved_with_optimizer_a_run_continues_exactly(client: Client, tmp_path: Path) -> None:
    spec = AdapterSpec(12, 3)
    client.do("one", CreateRun(spec))
    train(client, "one", range(3))
    client.do("one", SaveState(tmp_path / "saved"))
    losses = train(client, "one", range(3, 6))
    client.do("two", CreateRun(AdapterSpec(12, 4)))
    client.do("two", ForwardBackward(Draw(9).data([5]), "cross_entropy"))  # to be dropped
    client.do("two", LoadState(tmp_path / "saved", optimizer=True))
    assert train(client, "two", range(3, 6)) == losses
    assert_equal(client.state("two", tmp_path / "s2"), client.state("one", tmp_path / "s1"))


def test_loaded_without_optimizer_adam_starts_over(client: Client, tmp_path: Path) -> None:
    spec = AdapterSpec(12, 3)
    client.do("one", CreateRun(spec))
    train(client, "one", range(2))
    client.do("one", SaveState(tmp_path / "saved"))
    client.do("one", LoadState(tmp_path / "saved", optimizer=False))
    state = client.state("one", tmp_path / "state")
    assert int(state["step"]) == 0
    assert not any(v.any() for k, v in state.items() if k.startswith("exp_avg"))


def test_saved_with_gradient_a_run_is_restored_in_the_middle_of_a_step(
    client: Client, tmp_path: Path
) -> None:
    client.do("one", CreateRun(AdapterSpec(12, 3)))
    train(client, "one", range(2))
    client.do("one", ForwardBackward(Draw(7).data([30]), "cross_entropy"))
    client.do("one", SaveState(tmp_path / "saved", gradient=True))
    client.do("two", CreateRun(AdapterSpec(12, 4)))
    client.do("two", LoadState(tmp_path / "saved", optimizer=True, restore=True))
    for run in ("one", "two"):
        client.do(run, ForwardBackward(Draw(8).data([11]), "cross_entropy"))
        client.do(run, OptimStep(learning_rate=1e-2))
    assert_equal(client.state("two", tmp_path / "s2"), client.state("one", tmp_path / "s1"))


def test_what_is_trained_and_the_seed_are_honoured(client: Client, tmp_path: Path) -> None:
    """A uniform in ±1/sqrt(d_in), B zero; only the wanted modules; the seed alone decides A."""
    for run, seed in (("one", 5), ("two", 5), ("three", 6)):
        client.do(run, CreateRun(AdapterSpec(7, seed, train_mlp=False)))
    one, two, three = (client.state(run, tmp_path / run) for run in ("one", "two", "three"))
    assert_equal(one, two)
    weights = {name: t for name, t in one.items() if name.startswith("base_model")}
    assert not any("mlp" in name for name in weights)
    assert any("self_attn" in name for name in weights)
    assert any("lm_head" in name for name in weights)
    for name, tensor in weights.items():
        if "lora_B" in name:
            assert not tensor.any()
        else:
            bound = tensor.shape[1] ** -0.5
            assert 0.8 * bound < tensor.abs().max() <= bound
            assert not torch.equal(tensor, three[name])


def test_rank_padding_stays_zero(base: BaseModel, tmp_path: Path) -> None:
    """A rank-5 run lives in a row of bucket 8: nothing ever gets into the three rows left over."""
    with running(base, tmp_path) as client:
        client.do("run", CreateRun(AdapterSpec(5, 3)))
        train(client, "run", range(3))
        row = client.engine._runs["run"].row
        assert row is not None
        own = torch.zeros(row.layout.size, dtype=torch.bool)
        for view in row.layout.views(own):
            for matrix in view or ():
                matrix.fill_(True)
        assert own.float().mean() == pytest.approx(5 / 8)
        assert row.state[:, own].any(dim=1)[[0, 2, 3]].all()
        assert not row.state[:, ~own].any()


def test_a_datum_longer_than_a_micro_batch_is_trained(
    client: Client, model_directory: Path, tmp_path: Path
) -> None:
    files = create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data: list[Datum] = Draw(10).data([700])
    work = ForwardBackward(data, "cross_entropy")
    oracle = PeftOracle(model_directory, files)
    compare(client.do("run", work), oracle.forward_backward(work))
    assert_close(client.gradient("run", tmp_path / "state"), oracle.gradient(), 2e-5)
