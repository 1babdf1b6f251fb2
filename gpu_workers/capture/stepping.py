"""How the passes behind an optimizer step add up to its row."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from captures.services import Step
from gpu_workers.capture.measuring import Pass
from gpu_workers.engine.types import OptimResult, OptimStep
from tinsmith.losses.measures import SAMPLED_TOKENS

# quantiles are of so many tokens of a step at most; of more there are none
MOST_GAPS = 2_000_000
# advantages of a group that differ by no more are the same
SAME = 1e-6
_PAIRS = "num_pairs:sum"
_OF_TOKENS = {
    "kl_v1": "kl_sample_train_v1:mean",
    "kl_v2": "kl_sample_train_v2:mean",
    "entropy": "entropy:mean",
    "clipped_share": "clipped_share:mean",
}
_OF_PAIRS = {
    "pair_loss": ("dpo_loss:mean", "bradley_terry_loss:mean"),
    "accuracy": ("accuracy:mean",),
    "margin": ("margin:mean",),
    "chosen": ("chosen_reward:mean", "chosen_score:mean"),
    "rejected": ("rejected_reward:mean", "rejected_score:mean"),
}


@dataclass(slots=True)
class Gathered:
    """The passes since the step before. `whole`: nothing of them was forgotten."""

    seqs: list[int] = field(default_factory=list)
    whole: bool = True
    losses: dict[str, None] = field(default_factory=dict)
    loss_sum: float = 0.0
    datums: int = 0
    tokens: int = 0
    trained: int = 0
    constant: int = 0
    policy_datums: int = 0
    gaps: list[np.ndarray] = field(default_factory=list)
    gap_count: int = 0
    lengths: list[int] = field(default_factory=list)
    groups: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    # column → (sum of value times weight, sum of weights)
    means: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, seq: int, found: Pass) -> None:
        """One more pass."""
        self.seqs.append(seq)
        self.losses[found.work.loss_fn] = None
        self.loss_sum += found.result.metrics["loss:sum"]
        self.datums += len(found.datums)
        self.tokens += sum(datum.tokens for datum in found.datums)
        self.trained += sum(datum.trained_tokens for datum in found.datums)
        if found.of_policy:
            self._add_policy(found)
        metrics = found.result.metrics
        for column, names in _OF_PAIRS.items():
            for name in names:
                if name in metrics:
                    self._weigh(column, metrics[name], metrics[_PAIRS])

    def _add_policy(self, found: Pass) -> None:
        metrics = found.result.metrics
        for column, name in _OF_TOKENS.items():
            if name in metrics:
                self._weigh(column, metrics[name], metrics[SAMPLED_TOKENS])
        self.policy_datums += len(found.datums)
        self.constant += found.constant
        self.gap_count += len(found.gaps)
        if self.gap_count <= MOST_GAPS:
            self.gaps.append(found.gaps)
        for datum in found.datums:
            self.lengths.append(datum.trained_tokens)
            self.groups[datum.prompt_hash].append(datum.advantage or 0.0)

    def _weigh(self, column: str, value: float, weight: float) -> None:
        total, weights = self.means.get(column, (0.0, 0.0))
        self.means[column] = total + value * weight, weights + weight

    def step(
        self, run_id: str, number: int, seq: int, work: OptimStep, result: object, seconds: float
    ) -> Step:
        """The row of the step that ends these passes."""
        metrics = result.metrics if isinstance(result, OptimResult) else {}
        several = [found for found in self.groups.values() if len(found) > 1]
        ratios = self._ratios()
        return Step(
            run_id,
            number,
            min(self.seqs, default=seq),
            seq,
            ",".join(self.losses),
            len(self.seqs),
            self.datums,
            self.tokens,
            self.trained,
            loss_sum=_finite(self.loss_sum) if self.seqs else None,
            learning_rate=work.learning_rate,
            grad_norm=_finite(metrics.get("unclipped_grad_norm:mean")),
            seconds=_finite(seconds),
            sampled_tokens=self.gap_count if self.policy_datums else None,
            ratio_p50=ratios[0],
            ratio_p99=ratios[1],
            constant_share=self.constant / self.policy_datums if self.policy_datums else None,
            length_mean=float(np.mean(self.lengths)) if self.lengths else None,
            length_max=float(max(self.lengths)) if self.lengths else None,
            groups=len(self.groups) if self.policy_datums else None,
            mixed_share=sum(_differ(found) for found in several) / len(several)
            if several
            else None,
            pairs=int(self.means["accuracy"][1]) if "accuracy" in self.means else None,
            **{column: _mean(*sums) for column, sums in self.means.items()},
        )

    def _ratios(self) -> tuple[float | None, float | None]:
        """The 50th and the 99th percentile of exp(p - q)."""
        if not self.gaps or not 0 < self.gap_count <= MOST_GAPS:
            return None, None
        gaps = np.concatenate(self.gaps).astype(np.float64)
        middle, high = np.quantile(gaps, [0.5, 0.99], method="inverted_cdf")
        return _finite(float(np.exp(min(middle, 700.0)))), _finite(float(np.exp(min(high, 700.0))))


def _differ(advantages: list[float]) -> bool:
    return max(advantages) - min(advantages) > SAME


def _mean(total: float, weight: float) -> float | None:
    return _finite(total / weight) if weight else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
