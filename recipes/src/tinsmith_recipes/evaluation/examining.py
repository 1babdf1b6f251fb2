"""Asking a model the questions of a set: how likely it finds the right answers, and what it says.

A chat of a set ends with the right answer, a message of the assistant's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tinsmith import ModelInput, SamplingClient
from tinsmith.renderers import Example, Renderer
from tinsmith_recipes.evaluation.measures import exact_match, token_f1
from tinsmith_recipes.training.asking import AT_ONCE, answers, said
from tinsmith_recipes.training.figures import Figure, mean, ratio, share

Chat = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Scores:
    """What a model did on a set, chat by chat.

    Attributes:
        losses: nats of each right answer, its end included.
        counts: tokens of each.
        answers: what the model said instead; empty where it was not asked.
        references: the right answers' texts.
    """

    losses: list[float]
    counts: list[int]
    answers: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)

    @property
    def hits(self) -> list[bool]:
        """Whether each answer is the right one."""
        return [exact_match(one, right) for one, right in self._pairs]

    @property
    def likeness(self) -> list[float]:
        """How like the right one each answer is; see ``token_f1``."""
        return [token_f1(one, right) for one, right in self._pairs]

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        return list(zip(self.answers, self.references, strict=False))

    def figures(self) -> dict[str, Figure]:
        """``nll`` (nats a token) and, where the model was asked, ``exact_match`` and ``f1``."""
        found = {"nll": _within(0.0, math.inf, ratio(self.losses, self.counts))}
        if self.answers:
            found["exact_match"] = share(self.hits)
            found["f1"] = _within(0.0, 1.0, mean(self.likeness))
        return found

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it; ``Scores(**…)`` is it again."""
        return asdict(self)


async def examine(
    sampler: SamplingClient,
    renderer: Renderer,
    chats: Sequence[Chat],
    *,
    max_tokens: int = 64,
    ask: bool = True,
    seed: int = 0,
) -> Scores:
    """What a model does on chats that end with the right answer.

    Args:
        sampler: the model.
        renderer: how chats are written for it.
        chats: each ends with a message of the assistant's.
        max_tokens: longest answer.
        ask: whether the model also answers, its likeliest answer each time.
        seed: of the answers, which at temperature 0 it does not change.

    Raises:
        ValueError: a chat that does not end so, or that the renderer cannot express; says which.
    """
    examples = [_example(renderer, number, chat) for number, chat in enumerate(chats)]
    measured = await losses(sampler, examples)
    heard: list[str] = []
    if ask:
        questions = [chat[:-1] for chat in chats]
        given = await answers(sampler, renderer, questions, max_tokens=max_tokens, seed=seed)
        heard = [said(one) for one in given]
    return Scores(
        [loss for loss, _ in measured],
        [count for _, count in measured],
        heard,
        [reference(chat) for chat in chats],
    )


async def losses(sampler: SamplingClient, examples: Sequence[Example]) -> list[tuple[float, int]]:
    """Of each example, the nats of its tokens that have weight, and how many those are."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def loss(example: Example) -> tuple[float, int]:
        async with slots:
            logprobs = await sampler.compute_logprobs(ModelInput.from_ints(example.tokens))
        # the first token has no probability: nothing stands before it
        pairs = list(zip(logprobs, example.weights, strict=True))[1:]
        told = [-(logprob or 0.0) for logprob, weight in pairs if weight > 0]
        return sum(told), len(told)

    return list(await asyncio.gather(*map(loss, examples)))


def reference(chat: Chat) -> str:
    """The text of a chat's last message."""
    content = chat[-1].get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    return str(content).strip()


def _within(least: float, most: float, figure: Figure) -> Figure:
    """A figure whose interval holds no impossible value."""
    return replace(figure, low=max(least, figure.low), high=min(most, figure.high))


def _example(renderer: Renderer, number: int, chat: Chat) -> Example:
    if not chat or chat[-1].get("role") != "assistant":
        raise ValueError(f"chat {number} does not end with a message of the assistant's")
    try:
        return renderer.example(chat)
    except (TypeError, ValueError) as error:
        raise ValueError(f"chat {number}: {error}") from None
