"""What a model prefers: likelihoods and scores of answers, and how often ours wins."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from tinsmith import ModelInput, SamplingClient
from tinsmith_recipes.training.asking import AT_ONCE
from tinsmith_recipes.training.figures import Figure, share
from tinsmith_recipes.training.preference.pairs import Pair, Tokens, texts

Both = tuple[float, float]
"""A number of the chosen answer, and of the rejected one."""


async def answer_logprobs(
    sampler: SamplingClient, pairs: Sequence[Pair]
) -> list[np.ndarray[Any, Any]]:
    """The logprobs of the answers' tokens under a model, [answer], two a pair."""

    async def ask(prompt: Tokens, answer: Tokens) -> np.ndarray[Any, Any]:
        found = await sampler.compute_logprobs(
            ModelInput.from_ints([*prompt, *answer]), prompt_logprobs_last_n=len(answer)
        )
        return np.array(found[-len(answer) :], dtype=np.float64)

    return await _all_at_once(ask, texts(pairs))


async def likelihoods(sampler: SamplingClient, pairs: Sequence[Pair]) -> list[Both]:
    """How likely a model finds the answers of each pair: log p of the whole answer."""
    return _by_pair([float(one.sum()) for one in await answer_logprobs(sampler, pairs)])


async def scores(sampler: SamplingClient, pairs: Sequence[Pair]) -> list[Both]:
    """How good a reward model finds the answers of each pair."""

    async def ask(prompt: Tokens, answer: Tokens) -> float:
        return await sampler.score(ModelInput.from_ints(prompt), answer)

    return _by_pair(await _all_at_once(ask, texts(pairs)))


def preferred(numbers: Sequence[Sequence[float]]) -> Figure:
    """The share of pairs whose chosen answer has the higher number; ties are not preferred."""
    return share([chosen > rejected for chosen, rejected in numbers])


def win_rate(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """How often ours is the better of two, a tie counting half, with Wilson's interval.

    >>> str(win_rate([2, 1, 1, 0], [1, 1, 0, 1]))
    '62.5 % (22.8 to 90.4, n=4)'
    """
    return share([(a > b) + (a == b) / 2 for a, b in zip(ours, theirs, strict=True)])


async def _all_at_once(ask: Callable[..., Awaitable[Any]], texts: Sequence[Any]) -> list[Any]:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(prompt: Tokens, answer: Tokens) -> Any:
        async with slots:
            return await ask(prompt, answer)

    return list(await asyncio.gather(*(one(*text) for text in texts)))


def _by_pair(numbers: Sequence[float]) -> list[Both]:
    return list(zip(numbers[0::2], numbers[1::2], strict=True))
