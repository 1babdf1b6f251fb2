"""The environment: it thinks of a number and says of every guess whether it is higher or lower."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith_recipes.multiplayer_rl.guess_number.data import (
    RIGHT,
    Known,
    answer,
    begin,
    guess_in,
    verdict,
)
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy


@dataclass(frozen=True)
class Thinks(Environment):
    """One game. The reward is the share of the turns that were not needed; 0 for one not finished.

    Attributes:
        secret: the number, from 1 to ``numbers``.
        numbers: how many there are.
        limit: turns after which the game is over. A message without a number costs one, too.
        remembers: whether the policy is shown the whole game. Else it is shown the last message
            alone, which then ends with what is known by now.
    """

    secret: int
    numbers: int
    limit: int
    remembers: bool = False
    tags = ("guess_number",)

    async def play(self, policy: Policy) -> Outcome:
        """Answer guesses until one is right."""
        known = Known(1, self.numbers)
        chat: list[Mapping[str, Any]] = [begin(self.numbers, remembers=self.remembers)]
        outside = 0
        for turn in range(1, self.limit + 1):
            reply = await policy(chat if self.remembers else chat[-1:])
            guess = guess_in(said(reply))
            word = verdict(guess, self.secret)
            if word == RIGHT:
                return self._outcome(turn, outside, won=True)
            outside += guess is None or not known.low <= guess <= known.high
            known = known if guess is None else known.after(guess, self.secret)
            chat += [reply.message, answer(word, None if self.remembers else known)]
        return self._outcome(self.limit, outside, won=False)

    def _outcome(self, turns: int, outside: int, *, won: bool) -> Outcome:
        reward = won * (1 - (turns - 1) / self.limit)
        return Outcome(reward, {"turns": turns, "won": float(won), "outside": outside / turns})
