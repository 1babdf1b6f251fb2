"""``Judge``: a model that reads a question, an answer and a rubric, and says how good it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith import SamplingClient, SamplingParams
from tinsmith.renderers import Renderer
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

# 7, and also 7/10 and 7 out of 10, of which the best is told by a setting
_SCORE = re.compile(r"\b(?:(yes)|(no)|(\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*\d+)?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Judge:
    """A model with a rubric.

    Attributes:
        sampler, renderer: the model; it says what it finds likeliest.
        rubric: what it judges by, a question for yes or no, or for a number.
        best: the number that is best.
        max_tokens: longest judgement; the last yes, no or number of it counts.
    """

    sampler: SamplingClient
    renderer: Renderer
    rubric: str
    best: float = 10.0
    max_tokens: int = 8

    async def score(self, question: Sequence[Mapping[str, Any]], answer: str) -> float | None:
        """From 0 to 1; None if the judge said neither yes nor no, nor a number."""
        params = SamplingParams(
            max_tokens=self.max_tokens, temperature=0.0, stop=self.renderer.stop
        )
        chat = asked(question, answer, self.rubric)
        drawn = await self.sampler.sample(self.renderer.prompt(chat), 1, params)
        return score_of(said(self.renderer.parse(drawn.sequences[0].tokens)), self.best)


def asked(question: Sequence[Mapping[str, Any]], answer: str, rubric: str) -> list[dict[str, str]]:
    """What a judge reads."""
    chat = "\n".join(
        str(one["content"]) if one["role"] == "user" else f"({one['role']}) {one['content']}"
        for one in question
    )
    text = f"Question: {chat}\nAnswer: {answer}\n{rubric}"
    return [{"role": "user", "content": text}]


def score_of(text: str, best: float = 10.0) -> float | None:
    """The last yes, no or number of a judgement, from 0 to 1.

    >>> score_of("It is short, no. Score: 7/10"), score_of("Yes."), score_of("Hm.")
    (0.7, 1.0, None)
    """
    found = _SCORE.findall(text)
    if not found:
        return None
    yes, no, number = found[-1]
    return float(bool(yes)) if yes or no else min(float(number) / best, 1.0)


@dataclass(frozen=True)
class Judged(Environment):
    """One question, one answer, and what the judge makes of it.

    Attributes:
        question: the chat up to the answer.
        judge: who scores it; what it cannot be read to say earns 0 and counts as ``unread``.
    """

    question: tuple[Mapping[str, Any], ...]
    judge: Judge
    tags: tuple[str, ...] = ()

    async def play(self, policy: Policy) -> Outcome:
        """Ask once."""
        text = said(await policy(self.question))
        score = await self.judge.score(self.question, text)
        return Outcome(score or 0.0, {"score": score or 0.0, "unread": float(score is None)})
