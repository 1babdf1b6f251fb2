"""What the public cookbook was overheard to train on, taken up again by a client of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinsmith import AdamParams, Datum, TrainingClient

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Overheard:
    """One step of an on-policy loop.

    Args:
        data: by datum `tokens`, `target_tokens`, `logprobs`, `advantages` and `mask`, which is 1
            where a token was sampled.
    """

    data: list[dict[str, list[float]]]

    def sampled(self, name: str) -> Array:
        """[S] an input of the loss at all sampled tokens of the step."""
        return self._at_sampled([np.array(one[name], np.float32) for one in self.data])

    def likelihoods(self, training: TrainingClient) -> Array:
        """[S] the log-probabilities that a run's weights give the sampled tokens, by its passes."""
        passed = training.forward(self._datums(weights="mask"), "cross_entropy").result()
        return self._at_sampled([one["logprobs"].to_numpy() for one in passed.loss_fn_outputs])

    def train(self, training: TrainingClient, learning_rate: float) -> None:
        """Take the step, as the cookbook's loops take it."""
        data = self._datums(logprobs="logprobs", advantages="advantages")
        training.forward_backward(data, "importance_sampling")
        training.optim_step(
            AdamParams(learning_rate=learning_rate, beta1=0.9, beta2=0.95, eps=1e-8)
        )

    def _datums(self, **inputs: str) -> list[Datum]:
        return [
            Datum.from_tokens(
                [int(token) for token in one["tokens"]],
                [int(token) for token in one["target_tokens"]],
                **{name: one[given] for name, given in inputs.items()},
            )
            for one in self.data
        ]

    def _at_sampled(self, rows: list[Array]) -> Array:
        places = [np.array(one["mask"]) > 0 for one in self.data]
        return np.concatenate([row[here] for row, here in zip(rows, places, strict=True)])
