"""What a pass of reinforcement learning tells beside its loss, against plain loops over tokens."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from gpu_workers.engine.losses import FORMULAS
from gpu_workers.engine.types import AdapterSpec, Datum, ForwardBackward, PassResult
from tests.gpu_workers.engine.harness import Client, Draw, create_random
from tinsmith.losses import LOSSES

POLICY = sorted(name for name, loss in LOSSES.items() if loss.of_policy)
LENGTHS = [17, 3, 40, 1, 61, 8, 8]
"""Several chunks and micro-batches."""


def reference(work: ForwardBackward, outputs: list[np.ndarray]) -> dict[str, float]:
    """The measures by their definitions, token by token."""
    gaps, entropies, clipped = [], [], []
    settings = LOSSES[work.loss_fn].defaults | work.loss_config
    for datum, p in zip(work.data, outputs, strict=True):
        q, advantages = datum.inputs["logprobs"], datum.inputs["advantages"]
        mask = datum.inputs.get("sequence_ratio_mask")
        all_gaps = [float(a) - float(b) for a, b in zip(p, q, strict=True)]
        ones = [1.0] * len(p) if mask is None else mask.tolist()
        mean = sum(g * m for g, m in zip(all_gaps, ones, strict=True)) / max(sum(ones), 1)
        for at, gap in enumerate(all_gaps):
            if mask[at] == 0 if mask is not None else q[at] == 0 and advantages[at] == 0:
                continue
            gaps.append(gap)
            entropies.append(-float(q[at]))
            ratio = math.exp(mean if work.loss_fn == "gspo" else gap)
            low, high = (
                float(datum.inputs[name][at]) if name in datum.inputs else settings.get(name)
                for name in ("clip_low_threshold", "clip_high_threshold")
            )
            if low is not None and high is not None:
                clipped.append(not low <= ratio <= high)
            elif "max_ratio" in settings:
                clipped.append(ratio > float(settings["max_ratio"]))
    count = len(gaps)
    gaps.sort()
    metrics = {
        "sampled_tokens:sum": count,
        "kl_sample_train_v1:mean": -sum(gaps) / count,
        "kl_sample_train_v2:mean": sum(gap * gap for gap in gaps) / count / 2,
        "entropy:mean": sum(entropies) / count,
        "ratio_p50:mean": math.exp(gaps[math.ceil(0.5 * count) - 1]),
        "ratio_p99:mean": math.exp(gaps[math.ceil(0.99 * count) - 1]),
    }
    return metrics | ({"clipped_share:mean": sum(clipped) / count} if clipped else {})


def measures(result: PassResult) -> dict[str, float]:
    """A result's metrics but for those that every loss has."""
    return {k: v for k, v in result.metrics.items() if k not in ("loss:sum", "tokens:sum")}


def near(data: list[Datum], outputs: list[np.ndarray]) -> list[Datum]:
    """The datums as if sampled by a model close to the run: ratios about 1, a prompt of zeros."""
    rng = np.random.default_rng(5)
    for datum, p in zip(data, outputs, strict=True):
        q = p + rng.normal(0, 0.6, len(p)).astype(np.float32)
        q[: len(q) // 3] = 0
        datum.inputs["logprobs"] = q
        datum.inputs["advantages"][: len(q) // 3] = 0
    return data


@pytest.mark.parametrize("loss", POLICY)
def test_measures_equal_their_definitions(loss: str, client: Client, tmp_path: Path) -> None:
    """Of every loss on sampled tokens; with a mask where it takes one, and with own bounds."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(1).data(LENGTHS, loss)
    if "clip_low_threshold" in LOSSES[loss].optional:
        data[2].inputs["clip_low_threshold"] = np.full(40, 0.95, np.float32)
        data[4].inputs["clip_high_threshold"] = np.full(61, 1.1, np.float32)
    data[0].inputs.pop("sequence_ratio_mask", None)
    forward = client.do("run", ForwardBackward(data, loss, forward_only=True))
    work = ForwardBackward(near(data, forward.outputs), loss)
    found = client.do("run", work)
    expected = reference(work, found.outputs)
    assert measures(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert 0 < found.metrics["sampled_tokens:sum"] < sum(LENGTHS)
    assert ("clipped_share:mean" in expected) == (loss not in ("importance_sampling", "dro"))
    assert 0 < expected.get("clipped_share:mean", 0.5) <= 1


def test_a_run_is_no_distance_from_itself(client: Client, tmp_path: Path) -> None:
    """With the run's own logprobs: exactly no KL, all ratios 1, nothing clipped."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(2).data(LENGTHS, "ppo")
    forward = client.do("run", ForwardBackward(data, "ppo", forward_only=True))
    for datum, p in zip(data, forward.outputs, strict=True):
        datum.inputs["logprobs"] = p
    found = client.do("run", ForwardBackward(data, "ppo"))
    entropy = -float(np.concatenate(forward.outputs).astype(np.float64).mean())
    assert measures(found) == {
        "sampled_tokens:sum": sum(LENGTHS),
        "kl_sample_train_v1:mean": 0.0,
        "kl_sample_train_v2:mean": 0.0,
        "entropy:mean": entropy,
        "ratio_p50:mean": 1.0,
        "ratio_p99:mean": 1.0,
        "clipped_share:mean": 0.0,
    }


def test_measures_are_finite_whatever_is_sent(client: Client, tmp_path: Path) -> None:
    """Nothing was sampled; and logprobs so small that the ratio has no number."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(3).data([9], "cispo")
    for name in ("logprobs", "advantages"):
        data[0].inputs[name] = np.zeros(9, np.float32)
    nothing = measures(client.do("run", ForwardBackward(data, "cispo")))
    assert nothing["sampled_tokens:sum"] == 0
    assert nothing["kl_sample_train_v2:mean"] == 0
    assert nothing["ratio_p99:mean"] == 1
    data[0].inputs["logprobs"] = np.full(9, -1e5, np.float32)
    far = measures(client.do("run", ForwardBackward(data, "cispo")))
    assert all(math.isfinite(value) for value in far.values())
    assert far["ratio_p50:mean"] > 1e300
    assert far["clipped_share:mean"] == 1


def test_other_losses_measure_no_policy(client: Client, tmp_path: Path) -> None:
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    found = client.do("run", ForwardBackward(Draw(4).data([9]), "cross_entropy"))
    assert measures(found) == {}


def test_every_declared_loss_has_a_formula() -> None:
    assert FORMULAS.keys() == LOSSES.keys()
