"""Losses of pairs, which are neighbouring datums, against the same as a client writes them."""

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
    FrozenWeights,
    PassResult,
    PublishSampler,
    UserError,
)
from tests.gpu_workers.engine.harness import (
    Client,
    Draw,
    assert_close,
    assert_equal,
    create_random,
    running,
)

LENGTHS = [17, 3, 40, 1, 61, 8, 8, 30, 90, 50]
"""Pairs that lie across the ends of chunks and micro-batches, and two longer than a chunk."""
CONFIG: dict[str, float | str] = {"dpo_beta": 0.3}


def near(client: Client, data: list[Datum]) -> list[Datum]:
    """The datums with reference logprobs close to the run's own, so that no sigmoid is flat."""
    rng = np.random.default_rng(5)
    forward = client.do("run", ForwardBackward(data, "dpo", forward_only=True))
    for datum, p in zip(data, forward.outputs, strict=True):
        datum.inputs["logprobs"] = p + rng.normal(0, 0.3, len(p)).astype(np.float32)
    return data


def in_torch(loss: str, data: list[Datum], p: list[torch.Tensor]) -> tuple[Any, dict[str, Any]]:
    """What a user would hand to forward_backward_custom."""
    beta, name, what = (
        (float(CONFIG["dpo_beta"]), "dpo_loss", "reward")
        if loss == "dpo"
        else (1.0, "bradley_terry_loss", "score")
    )
    rewards = []
    for datum, own in zip(data, p, strict=True):
        reference = torch.from_numpy(datum.inputs.get("logprobs", np.zeros(1, np.float32)))
        rewards.append(beta * ((own - reference) * torch.from_numpy(datum.inputs["weights"])).sum())
    chosen, rejected = torch.stack(rewards[0::2]), torch.stack(rewards[1::2])
    losses = -torch.nn.functional.logsigmoid(chosen - rejected)
    return losses.sum(), {
        "num_pairs:sum": len(losses),
        f"{name}:mean": losses.mean().item(),
        "accuracy:mean": (chosen > rejected).float().mean().item(),
        "margin:mean": (chosen - rejected).mean().item(),
        f"chosen_{what}:mean": chosen.mean().item(),
        f"rejected_{what}:mean": rejected.mean().item(),
    }


def custom(
    client: Client, run: str, loss_fn: str, data: list[Datum]
) -> tuple[float, dict[str, Any]]:
    """The same pass as a client does it: forward, autograd, cross_entropy with its gradient."""
    plain = [Datum(d.tokens, {k: d.inputs[k] for k in ("target_tokens", "weights")}) for d in data]
    forward = client.do(run, ForwardBackward(plain, "cross_entropy", forward_only=True))
    p = [torch.from_numpy(output).requires_grad_() for output in forward.outputs]
    loss, metrics = in_torch(loss_fn, data, p)
    for datum, gradient in zip(plain, torch.autograd.grad(loss, p), strict=True):
        datum.inputs["weights"] = -gradient.numpy()
    client.do(run, ForwardBackward(plain, "cross_entropy"))
    return loss.item(), metrics


def test_dpo_equals_the_loss_written_by_a_client(client: Client, tmp_path: Path) -> None:
    """Loss, gradient and measures, over pairs that chunks would cut apart."""
    files = create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    create_random(client, "other", AdapterSpec(8, 3), tmp_path / "again")
    assert files
    data = near(client, Draw(1).data(LENGTHS, "dpo"))
    found: PassResult = client.do("run", ForwardBackward(data, "dpo", CONFIG))
    loss, metrics = custom(client, "other", "dpo", data)
    assert found.metrics["loss:sum"] == pytest.approx(loss, rel=1e-5)
    measures = {name: found.metrics[name] for name in metrics}
    assert measures == pytest.approx(metrics, rel=1e-5, abs=1e-6)
    assert 0 < metrics["accuracy:mean"] < 1
    theirs = client.gradient("other", tmp_path / "theirs")
    assert max(tensor.abs().max() for tensor in theirs.values()) > 0.01
    assert_close(client.gradient("run", tmp_path / "own"), theirs)


def test_bradley_terry_equals_the_loss_written_by_a_client(client: Client, tmp_path: Path) -> None:
    """Loss, gradient and measures; scores as the SDK makes them and of any other weights."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    create_random(client, "other", AdapterSpec(8, 3), tmp_path / "again")
    draw = Draw(11)
    data = [draw.datum(length, "bradley_terry", width=2) for length in LENGTHS]
    for datum in data[:6]:
        datum.inputs["weights"][:] = 0
        datum.inputs["weights"][-1] = 1, -1
        datum.inputs["target_tokens"][-1] = 0, 1
    data[7] = draw.datum(30, "bradley_terry")  # beside one of [N, 2]
    for datum in data[6:]:
        datum.inputs["weights"] *= np.float32(0.02)  # or every sigmoid is flat
    found: PassResult = client.do("run", ForwardBackward(data, "bradley_terry"))
    loss, metrics = custom(client, "other", "bradley_terry", data)
    assert found.metrics["loss:sum"] == pytest.approx(loss, rel=1e-5)
    measures = {name: found.metrics[name] for name in metrics}
    assert measures == pytest.approx(metrics, rel=1e-5, abs=1e-5)
    theirs = client.gradient("other", tmp_path / "theirs")
    assert max(tensor.abs().max() for tensor in theirs.values()) > 0.01
    assert_close(client.gradient("run", tmp_path / "own"), theirs)


def test_of_equal_models_the_loss_is_log_two(client: Client, tmp_path: Path) -> None:
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(2).data(LENGTHS, "dpo")
    forward = client.do("run", ForwardBackward(data, "dpo", forward_only=True))
    for datum, p in zip(data, forward.outputs, strict=True):
        datum.inputs["logprobs"] = p
    found = client.do("run", ForwardBackward(data, "dpo"))
    assert found.metrics["loss:sum"] == pytest.approx(len(data) / 2 * np.log(2), rel=1e-6)
    assert found.metrics["margin:mean"] == 0


@pytest.mark.parametrize("micro_batch", [96, 1000])
def test_pairs_are_the_same_bits_alone_and_beside_others(
    micro_batch: int, base: BaseModel, tmp_path: Path
) -> None:
    """Beside other runs' pairs and plain datums, in larger and smaller passes."""
    data = Draw(3).data(LENGTHS, "dpo")
    results, gradients = [], []
    for name in ("alone", "beside"):
        (tmp_path / name).mkdir()
        size = 256 if name == "alone" else micro_batch
        options: dict[str, Any] = {"chunk_tokens": 64, "micro_batch_tokens": size}
        with running(base, tmp_path / name, **options) as client:
            create_random(client, "run", AdapterSpec(8, 3), tmp_path / name / "adapter")
            create_random(client, "other", AdapterSpec(5, 4), tmp_path / name / "others")
            with client.together():
                if name == "beside":
                    client.submit(
                        "other", ForwardBackward(Draw(4).data([3, 20, 70]), "cross_entropy")
                    )
                future = client.submit("run", ForwardBackward(data, "dpo"))
                if name == "beside":
                    client.submit("other", ForwardBackward(Draw(5).data([9, 2], "dpo"), "dpo"))
            results.append(future.result(60))
            gradients.append(client.gradient("run", tmp_path / name / "state"))
    assert results[0].metrics == results[1].metrics
    assert_equal(gradients[0], gradients[1])


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("kernel", ["loop", "grouped"])
def test_the_reference_is_the_base_model_or_what_is_named_where_none_is_given(
    kernel: str,
    published: bool,
    base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A trained run, beside others: the same as with the logprobs of a run with these weights."""
    monkeypatch.setattr(base.context, "kernel", kernel)
    given = Draw(7).data(LENGTHS, "dpo")
    bare = [_without_logprobs(datum) for datum in given]
    plain = [Datum(datum.tokens, dict(datum.inputs)) for datum in bare]
    results, gradients = [], []
    with running(base, tmp_path, chunk_tokens=48, micro_batch_tokens=160) as client:
        frozen = None
        if published:
            create_random(client, "new", AdapterSpec(5, 9), tmp_path / "new")
            frozen = FrozenWeights("v1", tmp_path / "v1")
            client.do("new", PublishSampler(frozen.version, frozen.directory))
        else:
            client.do("new", CreateRun(AdapterSpec(8, 3)))
        references = client.do("new", ForwardBackward(plain, "cross_entropy", forward_only=True))
        for datum, reference in zip(given, references.outputs, strict=True):
            datum.inputs["logprobs"] = reference
        for name, data in (("given", given), ("computed", bare)):
            create_random(client, name, AdapterSpec(8, 3), tmp_path / name)
            create_random(client, f"beside {name}", AdapterSpec(20, 4), tmp_path / f"beside {name}")
            client.engine.drop_sampler("v1")  # so that it is read from its files
            with client.together():
                beside = ForwardBackward(Draw(8).data([30, 9]), "cross_entropy")
                client.submit(f"beside {name}", beside)
                own = ForwardBackward(data, "dpo", CONFIG)
                if name == "computed":
                    own.reference = frozen
                future = client.submit(name, own)
                others = [_without_logprobs(datum) for datum in Draw(9).data([8, 4], "dpo")]
                client.submit(f"beside {name}", ForwardBackward(others, "dpo"))
            results.append(future.result(60))
            gradients.append(client.gradient(name, tmp_path / f"state of {name}"))
            gradients.append(client.gradient(f"beside {name}", tmp_path / f"state beside {name}"))
    assert abs(results[0].metrics["margin:mean"]) > 0.01
    # a frozen copy lies otherwise in memory than a run's weights, which MKL's kernels may notice
    if kernel == "loop" and not published:
        assert results[0].metrics == results[1].metrics
        assert_equal(gradients[0], gradients[2])
        assert_equal(gradients[1], gradients[3])
    else:
        assert results[0].metrics == pytest.approx(results[1].metrics, rel=1e-4, abs=1e-5)
        assert_close(gradients[0], gradients[2])
        assert_close(gradients[1], gradients[3])


def test_a_reference_that_cannot_be_read_costs_its_own_pass_alone(
    base: BaseModel, tmp_path: Path
) -> None:
    data = [_without_logprobs(datum) for datum in Draw(9).data(LENGTHS, "dpo")]
    gradients = []
    with running(base, tmp_path, chunk_tokens=48, micro_batch_tokens=400) as client:
        for name in ("calm", "failing"):
            create_random(client, name, AdapterSpec(8, 3), tmp_path / name)
            create_random(client, f"beside {name}", AdapterSpec(8, 4), tmp_path / f"beside {name}")
            with client.together():
                beside = ForwardBackward(Draw(8).data([30, 9]), "cross_entropy")
                other = client.submit(f"beside {name}", beside)
                client.submit(name, ForwardBackward(data, "dpo"))
                if name == "failing":
                    gone = FrozenWeights("gone", tmp_path / "gone")
                    failed = client.submit(name, ForwardBackward(data, "dpo", reference=gone))
            assert other.result(60).metrics["loss:sum"]
            gradients.append(client.gradient(name, tmp_path / f"state of {name}"))
        with pytest.raises(FileNotFoundError):
            failed.result(60)
    assert_equal(gradients[0], gradients[1])


def _without_logprobs(datum: Datum) -> Datum:
    inputs = {name: array for name, array in datum.inputs.items() if name != "logprobs"}
    return Datum(datum.tokens, inputs)


def test_a_pass_that_is_done_again_computes_its_reference_again(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backward that fails beside another request: both are done again, with the same bits."""
    data = [_without_logprobs(datum) for datum in Draw(9).data(LENGTHS, "dpo")]
    results = []
    for name in ("calm", "failing"):
        with running(base, tmp_path / name, chunk_tokens=48, micro_batch_tokens=400) as client:
            create_random(client, "run", AdapterSpec(8, 3), tmp_path / name / "adapter")
            create_random(client, "other", AdapterSpec(8, 4), tmp_path / name / "others")
            failures = iter([True] if name == "failing" else [])
            head = client.engine._trainer.head.run

            def run(*arguments: Any, gradient: bool, head: Any = head, left: Any = failures) -> Any:
                result = head(*arguments, gradient=gradient)
                if gradient and next(left, False):
                    raise RuntimeError("out of luck")
                return result

            monkeypatch.setattr(client.engine._trainer.head, "run", run)
            with client.together():
                other = client.submit("other", ForwardBackward(Draw(4).data([9]), "cross_entropy"))
                future = client.submit("run", ForwardBackward(data, "dpo"))
            other.result(60)
            results.append((future.result(60), client.gradient("run", tmp_path / name / "state")))
            assert next(failures, None) is None
    assert results[0][0].metrics == results[1][0].metrics
    assert_equal(results[0][1], results[1][1])


def without(name: str) -> list[Datum]:
    """A pair whose second datum lacks an input."""
    data = Draw(6).data([4, 5], "dpo")
    del data[1].inputs[name]
    return data


def unweighed() -> list[Datum]:
    """A pair of whose first datum nothing counts."""
    data = Draw(6).data([4, 5], "dpo")
    data[0].inputs["weights"][:] = 0
    return data


PAIR = Draw(6).data([4, 5], "dpo")
BAD: list[tuple[list[Datum], dict[str, float | str], str]] = [
    ([*PAIR, PAIR[0]], {}, r"groups of 2 .*\(chosen, then rejected\), and 3 are not"),
    (without("logprobs"), {}, r"Datum 1: missing loss input 'logprobs', which other datums have"),
    (without("weights"), {}, r"Datum 1: missing loss input 'weights'"),
    (unweighed(), {}, r"Datum 0: weights are all 0: dpo needs a token that counts"),
    (PAIR, {"dpo_beta": 0.0}, r"dpo_beta is 0.0: a number from 0.0001 to 100 is allowed"),
    (PAIR, {"dpo_beta": 1e3}, r"dpo_beta is 1000.0: a number from 0.0001 to 100 is allowed"),
    (PAIR, {"dpo_beta": "big"}, r"dpo_beta is 'big'"),
    (PAIR, {"beta": 0.1}, r"'beta' for dpo: allowed are dpo_beta"),
]


def test_bad_pairs_of_answers_are_named(client: Client) -> None:
    data = Draw(6).data([4, 5], "bradley_terry")
    client.engine.validate(ForwardBackward(data, "bradley_terry"))
    with pytest.raises(UserError, match=r"bradley_terry takes groups of 2 .* and 1 are not"):
        client.engine.validate(ForwardBackward(data[:1], "bradley_terry"))
    with pytest.raises(UserError, match=r"'dpo_beta' for bradley_terry: allowed are none"):
        client.engine.validate(ForwardBackward(data, "bradley_terry", {"dpo_beta": 0.1}))
    data[1].inputs["logprobs"] = np.zeros(5, np.float32)
    with pytest.raises(UserError, match=r"Datum 1: unknown loss input 'logprobs' for bradley_terr"):
        client.engine.validate(ForwardBackward(data, "bradley_terry"))
    data[1].inputs = {"target_tokens": data[1].inputs["target_tokens"], "weights": np.zeros(5)}
    with pytest.raises(UserError, match=r"Datum 1: weights are all 0: bradley_terry needs"):
        client.engine.validate(ForwardBackward(data, "bradley_terry"))


@pytest.mark.parametrize(("data", "config", "words"), BAD)
def test_bad_pairs_are_named(
    data: list[Datum], config: dict[str, float | str], words: str, client: Client
) -> None:
    with pytest.raises(UserError, match=words):
        client.engine.validate(ForwardBackward(data, "dpo", config))
    client.engine.validate(ForwardBackward(PAIR, "dpo", {"dpo_beta": 0.05}))
