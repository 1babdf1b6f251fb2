"""Distance from another model: a KL penalty on the advantages, and how far a step went."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from tinsmith import ModelInput, SamplingClient
from tinsmith_recipes.training.loop import Metrics
from tinsmith_recipes.training.rl.data import Stretch
from tinsmith_recipes.training.rl.policy import Array

Adjust = Callable[[Sequence[Stretch]], Awaitable[Metrics]]
"""Changes the advantages of a batch in place before it is trained on; gives metrics."""

AT_ONCE = 256


async def logprobs_under(sampler: SamplingClient, batch: Sequence[Stretch]) -> list[Array]:
    """Of every sequence, [N]: its tokens' logprobs under a model; 0 for the first, float64."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(stretch: Stretch) -> Array:
        async with slots:
            found = await sampler.compute_logprobs(ModelInput.from_ints(stretch.tokens))
        return np.array([0.0 if value is None else value for value in found])

    return list(await asyncio.gather(*(one(stretch) for stretch in batch)))


def kl_penalty(reference: SamplingClient, coefficient: float, discount: float = 0.0) -> Adjust:
    """Makes every sampled token pay for its distance from a reference, beside the others'.

    ``A_t += coefficient * (mean(q - ref) - (q_t - ref_t))``; with a discount a token's term is the
    discounted sum of its own and all that follow.
    """

    async def adjust(batch: Sequence[Stretch]) -> Metrics:
        under = await logprobs_under(reference, batch)
        return penalize(batch, under, coefficient, discount)

    return adjust


def penalize(
    batch: Sequence[Stretch], under: Sequence[Array], coefficient: float, discount: float = 0.0
) -> Metrics:
    """``kl_penalty``, with the reference's logprobs at hand."""
    gaps = [
        np.where(one.sampled, one.logprobs - reference, 0.0)
        for one, reference in zip(batch, under, strict=True)
    ]
    middle = _mean(gaps, batch)
    for one, gap in zip(batch, gaps, strict=True):
        term = np.where(one.sampled, middle - gap, 0.0)
        one.advantages = one.advantages + coefficient * np.where(
            one.sampled, _discounted(term, discount), 0.0
        )
    return {"kl_policy_base": middle}


def distance(batch: Sequence[Stretch], under: Sequence[Array], name: str) -> Metrics:
    """KL to first and second order from the model that sampled to another one."""
    gaps = [
        np.where(one.sampled, one.logprobs - other, 0.0)
        for one, other in zip(batch, under, strict=True)
    ]
    squares = [gap * gap for gap in gaps]
    return {f"{name}_v1": _mean(gaps, batch), f"{name}_v2": _mean(squares, batch) / 2}


def _discounted(term: Array, discount: float) -> Array:
    if discount == 0:
        return term
    found, later = np.zeros_like(term), 0.0
    for place in range(len(term) - 1, -1, -1):
        later = term[place] + discount * later
        found[place] = later
    return found


def _mean(values: Sequence[Array], batch: Sequence[Stretch]) -> float:
    """Over the sampled tokens."""
    count = sum(int(one.sampled.sum()) for one in batch)
    return sum(float(value.sum()) for value in values) / max(count, 1)
