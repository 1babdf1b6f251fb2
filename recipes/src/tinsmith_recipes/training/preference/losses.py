"""The losses of pairs: of reward models on the server, of DPO there or here.

Here, the server gives logprobs, and the gradient of our loss goes back as weights of a
cross-entropy.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tinsmith import SamplingClient, TrainingClient
from tinsmith_recipes.training.loop import Metrics
from tinsmith_recipes.training.preference.judging import answer_logprobs
from tinsmith_recipes.training.preference.pairs import Pair, answer_data, scored_data, texts

PairLoss = Callable[[TrainingClient, Sequence[Pair]], Awaitable[Coroutine[Any, Any, Metrics]]]
"""Hands in the gradient of some pairs; what it gives is awaited for their metrics."""


async def bradley_terry(
    training: TrainingClient, pairs: Sequence[Pair]
) -> Coroutine[Any, Any, Metrics]:
    """The loss of a reward model: -log sigmoid(score of chosen - score of rejected)."""
    passed = training.forward_backward(scored_data(pairs), "bradley_terry")

    async def metrics() -> Metrics:
        return _plain((await passed).metrics)

    return metrics()


@dataclass(frozen=True)
class DPO:
    """Direct preference optimization: -log sigmoid(reward of chosen - reward of rejected).

    An answer's reward is ``beta * (log p - log q)``, q under the reference model.

    Attributes:
        beta: how dear it is to move away from the reference.
        reference: the model to compare with: None for the base model, or the address of sampler
            weights, both on the server; or logprobs that are asked for from here.
        where: the side that computes loss and gradient: the server in one pass, or the client,
            which needs a forward pass before.
    """

    beta: float
    reference: Reference | str | None
    where: Literal["server", "client"] = "server"

    async def __call__(
        self, training: TrainingClient, pairs: Sequence[Pair]
    ) -> Coroutine[Any, Any, Metrics]:
        """Hand in the gradient of some pairs."""
        given = None
        if isinstance(self.reference, Reference):
            given = await self.reference.logprobs(pairs)
        if self.where == "server":
            config: dict[str, Any] = {"dpo_beta": self.beta}
            if isinstance(self.reference, str):
                config["dpo_reference"] = self.reference
            passed = training.forward_backward(answer_data(pairs, given), "dpo", config)
            found: Metrics = {}
        else:
            if given is None:
                raise ValueError("where='client' needs the logprobs of a Reference")
            outputs = (await training.forward(answer_data(pairs), "cross_entropy")).loss_fn_outputs
            ours = [output["logprobs"].to_numpy() for output in outputs]
            weights, found = dpo_gradient(pairs, ours, given, self.beta)
            data = answer_data(pairs, weights=weights)
            passed = training.forward_backward(data, "cross_entropy")

        async def metrics() -> Metrics:
            return {**_plain((await passed).metrics), **found}

        return metrics()


class Reference:
    """Logprobs of a model that stays as it is, each asked for once."""

    def __init__(self, sampler: SamplingClient) -> None:
        self._sampler = sampler
        self._known: dict[Pair, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = {}

    async def logprobs(self, pairs: Sequence[Pair]) -> list[np.ndarray[Any, Any]]:
        """The logprobs of the answers' tokens, [answer], two a pair."""
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        found = await answer_logprobs(self._sampler, missing)
        self._known.update(zip(missing, zip(found[0::2], found[1::2], strict=True), strict=True))
        return [one for pair in pairs for one in self._known[pair]]


def dpo_gradient(
    pairs: Sequence[Pair],
    ours: Sequence[np.ndarray[Any, Any]],
    reference: Sequence[np.ndarray[Any, Any]],
    beta: float,
) -> tuple[list[float], Metrics]:
    """The loss in numpy: cross-entropy weights whose gradient is its own, and its metrics.

    A cross-entropy with weights w has the gradient -w in the logprobs, so w is minus ours:
    beta * sigmoid(-margin) in the chosen answer, and its opposite in the rejected one.

    Args:
        pairs: of tokens.
        ours: logprobs of all targets under the run, [prompt + answer - 1], two a pair.
        reference: logprobs of the answers alone, [answer], two a pair.
        beta: see ``DPO``.

    Returns:
        A weight an answer, and the metrics that the server would give.
    """
    answers = [answer for _, answer in texts(pairs)]
    rewards = np.array(
        [
            beta * (run[-len(answer) :].astype(np.float64) - other).sum()
            for run, other, answer in zip(ours, reference, answers, strict=True)
        ]
    )
    chosen, rejected = rewards[0::2], rewards[1::2]
    margins = chosen - rejected
    pull = beta * np.exp(-np.logaddexp(0.0, margins))
    return np.stack([pull, -pull], axis=1).ravel().tolist(), {
        "num_pairs": float(len(pairs)),
        "dpo_loss": float(np.logaddexp(0.0, -margins).mean()),
        "accuracy": float((margins > 0).mean()),
        "margin": float(margins.mean()),
        "chosen_reward": float(chosen.mean()),
        "rejected_reward": float(rejected.mean()),
    }


def _plain(metrics: Mapping[str, float]) -> Metrics:
    """What the server measured of pairs, without how it was reduced."""
    return {
        name.partition(":")[0]: value
        for name, value in metrics.items()
        if not name.startswith(("loss:", "tokens:"))
    }
