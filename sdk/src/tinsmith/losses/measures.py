"""What a pass tells of its data beside the loss: distance from the sampler, rewards of pairs.

Plain numpy over a whole batch, so that no number depends on how the batch was cut or computed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinsmith.losses.declarations import Loss

SAMPLED_TOKENS = "sampled_tokens:sum"
"""Tokens that the measures of a policy are about."""

_LARGEST_GAP = 700.0
"""exp of more than about this is infinite."""

Arrays = Mapping[str, np.ndarray[Any, Any]]


def measure(
    loss: Loss,
    settings: Mapping[str, float],
    data: Sequence[Arrays],
    logprobs: Sequence[np.ndarray[Any, Any]],
) -> dict[str, float]:
    """Metrics by `name:reduction`, of the datums' inputs and of the logprobs p that a pass gave.

    `settings` are complete. Losses that compare nothing give none.
    """
    if loss.of_policy:
        return _of_policy(loss, settings, _Columns(data, logprobs))
    if loss.name == "dpo":
        return _of_pairs(settings["dpo_beta"], _Columns(data, logprobs))
    if loss.name == "bradley_terry":
        return _of_scores(data, logprobs)
    return {}


class _Columns:
    """Inputs of all datums one after another, float64 [tokens]."""

    def __init__(self, data: Sequence[Arrays], logprobs: Sequence[np.ndarray[Any, Any]]) -> None:
        self._data = data
        self._lengths = [len(array) for array in logprobs]
        self.p = np.concatenate(logprobs).astype(np.float64)

    def get(self, name: str, default: float) -> np.ndarray[Any, Any]:
        """The input, `default` in datums that lack it."""
        parts = [
            datum[name] if name in datum else np.full(length, default)
            for datum, length in zip(self._data, self._lengths, strict=True)
        ]
        return np.concatenate(parts).astype(np.float64)

    def sums(self, column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """One number a datum."""
        starts = np.cumsum([0, *self._lengths[:-1]])
        return np.add.reduceat(column, starts)

    def spread(self, numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A datum's number for each of its tokens."""
        return np.repeat(numbers, self._lengths)


def _of_policy(loss: Loss, settings: Mapping[str, float], columns: _Columns) -> dict[str, float]:
    """KL, ratios and entropy over the tokens that were sampled.

    Those are where `sequence_ratio_mask` is not 0; in datums without one, where `logprobs` or
    `advantages` is not 0: by convention both are 0 in the prompt.
    """
    q = columns.get("logprobs", 0.0)
    visible = (q != 0) | (columns.get("advantages", 0.0) != 0)
    mask = columns.get("sequence_ratio_mask", np.nan)
    sampled = np.where(np.isnan(mask), visible, mask != 0)
    count = int(sampled.sum())
    gap = columns.p - q
    own = gap[sampled] if count else np.zeros(1)
    middle, high = np.quantile(own, [0.5, 0.99], method="inverted_cdf")
    metrics = {
        SAMPLED_TOKENS: float(count),
        "kl_sample_train_v1:mean": float((-own).mean()) + 0.0,
        "kl_sample_train_v2:mean": float((own * own).mean() / 2),
        "entropy:mean": float((-q[sampled]).mean()) + 0.0 if count else 0.0,
        "ratio_p50:mean": float(_ratio(middle)),
        "ratio_p99:mean": float(_ratio(high)),
    }
    outside = _outside(loss, settings, columns, gap)
    if outside is not None:
        metrics["clipped_share:mean"] = float(outside[sampled].mean()) if count else 0.0
    return metrics


def _outside(
    loss: Loss, settings: Mapping[str, float], columns: _Columns, gap: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any] | None:
    """Where the ratio that the loss uses is beyond its bounds; None if it has none."""
    if "max_ratio" in settings:
        return np.asarray(_ratio(gap) > settings["max_ratio"])
    if "clip_low_threshold" not in settings:
        return None
    if loss.whole_sequences:
        mask = columns.get("sequence_ratio_mask", 1.0)
        gap = columns.spread(columns.sums(gap * mask) / np.maximum(columns.sums(mask), 1.0))
    low, high = (
        columns.get(name, settings[name]) for name in ("clip_low_threshold", "clip_high_threshold")
    )
    ratio = _ratio(gap)
    return np.asarray((ratio < low) | (ratio > high))


def _ratio(gap: Any) -> Any:
    return np.exp(np.minimum(gap, _LARGEST_GAP))


def _of_pairs(beta: float, columns: _Columns) -> dict[str, float]:
    """Rewards beta * sum(w (p - q)) of chosen and rejected, and how they compare."""
    gap = columns.p - columns.get("logprobs", 0.0)
    rewards = beta * columns.sums(columns.get("weights", 0.0) * gap)
    return _compared("dpo_loss", "reward", rewards)


def _of_scores(
    data: Sequence[Arrays], logprobs: Sequence[np.ndarray[Any, Any]]
) -> dict[str, float]:
    """Scores sum(w p) of chosen and rejected, targets [N] or [N, K], and how they compare."""
    scores = [
        (datum["weights"].astype(np.float64) * p).sum()
        for datum, p in zip(data, logprobs, strict=True)
    ]
    return _compared("bradley_terry_loss", "score", np.array(scores))


def _compared(loss: str, what: str, numbers: np.ndarray[Any, Any]) -> dict[str, float]:
    """Of one number a datum, chosen and rejected in turn."""
    chosen, rejected = numbers[0::2], numbers[1::2]
    margins = chosen - rejected
    return {
        "num_pairs:sum": float(len(margins)),
        f"{loss}:mean": float(np.logaddexp(0.0, -margins).mean()),
        "accuracy:mean": float((margins > 0).mean()),
        "margin:mean": float(margins.mean()),
        f"chosen_{what}:mean": float(chosen.mean()),
        f"rejected_{what}:mean": float(rejected.mean()),
    }
