"""The environment: it thinks of a thing, and a rule or a model says of every question yes or no."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith import SamplingClient, SamplingParams
from tinsmith.renderers import Renderer
from tinsmith_recipes.multiplayer_rl.twenty_questions.data import (
    NO,
    RIGHT,
    YES,
    World,
    answer,
    begin,
    left_after,
    verdict,
    word_in,
)
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

UNREAD = "I do not know"
_YES_OR_NO = re.compile(r"\b(?:(yes)|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Answerer:
    """A model that is told the thing and answers questions about it, likeliest answer first.

    Attributes:
        sampler, renderer: the model.
        max_tokens: longest answer; the first yes or no of it counts.
    """

    sampler: SamplingClient
    renderer: Renderer
    max_tokens: int = 8

    async def __call__(self, question: str, thing: str) -> str:
        """``yes``, ``no``, or that it does not know."""
        text = f"Think of this: {thing}. Is the answer to this question yes or no? {question}"
        params = SamplingParams(
            max_tokens=self.max_tokens, temperature=0.0, stop=self.renderer.stop
        )
        prompt = self.renderer.prompt([{"role": "user", "content": text}])
        drawn = await self.sampler.sample(prompt, 1, params)
        found = _YES_OR_NO.search(said(self.renderer.parse(drawn.sequences[0].tokens)))
        return UNREAD if found is None else YES if found[1] else NO


@dataclass(frozen=True)
class Asked(Environment):
    """One game. The reward is the share of the turns that were not needed; 0 for one not finished.

    Attributes:
        secret: the thing that is thought of.
        world: all things, and what is true of each.
        limit: turns after which the game is over. A message without a question costs one, too.
        remembers: whether the policy is shown the whole game. Else it is shown the last message
            alone, which then ends with the things that are left.
        answerer: a model that answers whatever is asked; None answers by ``world``.
    """

    secret: str
    world: World
    limit: int
    remembers: bool = False
    answerer: Answerer | None = None
    tags = ("twenty_questions",)

    async def play(self, policy: Policy) -> Outcome:
        """Answer questions until the thing is named."""
        left = list(self.world)
        chat: list[Mapping[str, Any]] = [begin(self.world, remembers=self.remembers)]
        for turn in range(1, self.limit + 1):
            reply = await policy(chat if self.remembers else chat[-1:])
            question = said(reply)
            word = word_in(question, self.world)
            answered = await self._answered(question, word)
            if answered == RIGHT:
                return self._outcome(turn, won=True)
            if not self.remembers:
                left = left_after(left, word, answered, self.world)
            chat += [reply.message, answer(answered, None if self.remembers else left)]
        return self._outcome(self.limit, won=False)

    async def _answered(self, question: str, word: str | None) -> str:
        """By the rule, whatever names a thing too; else by the model if there is one."""
        if self.answerer is None or word in self.world:
            return verdict(word, self.secret, self.world)
        return await self.answerer(question, self.secret)

    def _outcome(self, questions: int, *, won: bool) -> Outcome:
        reward = won * (1 - (questions - 1) / self.limit)
        return Outcome(reward, {"questions": questions, "won": float(won)})
