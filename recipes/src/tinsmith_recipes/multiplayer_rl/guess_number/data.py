"""The rules of the game, and games of a careless guesser."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import Any

HIGHER, LOWER, RIGHT, NO_NUMBER = "higher", "lower", "right", "no number"
_NUMBER = re.compile(r"(?<![0-9])[0-9]{1,9}(?![0-9])")


@dataclass(frozen=True)
class Known:
    """What is known of the number that is thought of: it is from ``low`` to ``high``."""

    low: int
    high: int

    def after(self, guess: int, secret: int) -> Known:
        """What is known once a wrong guess is answered.

        >>> Known(1, 16).after(8, secret=11).after(12, secret=11)
        Known(low=9, high=11)
        """
        if guess < secret:
            return replace(self, low=max(self.low, guess + 1))
        return replace(self, high=min(self.high, guess - 1))

    def __str__(self) -> str:
        return " ".join(str(number) for number in range(self.low, self.high + 1))


def begin(numbers: int, *, remembers: bool) -> dict[str, str]:
    """How a game begins: with the range, or with all that is left where nothing else is shown."""
    asked = f"Guess a number from 1 to {numbers}."
    return {"role": "user", "content": asked} if remembers else answer("guess", Known(1, numbers))


def guess_in(text: str) -> int | None:
    """The last number of a message; None if there is none.

    >>> guess_in("12"), guess_in("Not 3. My guess: 7"), guess_in("seven")
    (12, 7, None)
    """
    found = _NUMBER.findall(text)
    return int(found[-1]) if found else None


def verdict(guess: int | None, secret: int) -> str:
    """What is said to a guess."""
    if guess is None:
        return NO_NUMBER
    return RIGHT if guess == secret else HIGHER if guess < secret else LOWER


def answer(word: str, known: Known | None) -> dict[str, str]:
    """The message that says it, and what is known by now for a player who sees nothing else."""
    return {"role": "user", "content": word if known is None else f"{word}: {known}"}


def careless_game(
    secret: int, numbers: int, limit: int, care: float, random: Random, *, remembers: bool
) -> list[dict[str, Any]]:
    """A game whose guesses are within what is known with probability ``care``, else anywhere."""
    known = Known(1, numbers)
    chat: list[dict[str, Any]] = [begin(numbers, remembers=remembers)]
    for _ in range(limit):
        among = known if random.random() < care else Known(1, numbers)
        guess = random.randint(among.low, among.high)
        chat.append({"role": "assistant", "content": str(guess)})
        if guess == secret:
            break
        known = known.after(guess, secret)
        chat.append(answer(verdict(guess, secret), None if remembers else known))
    return chat if chat[-1]["role"] == "assistant" else chat[:-1]
