"""A recipe for the live tests, with its environments; as a program it is killed and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Literal

import chz

from tinsmith import ModelInput
from tinsmith_recipes.training import Figure, Run, exact, setting
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import (
    Environment,
    Episode,
    Outcome,
    Policy,
    RLSettings,
    Stepped,
    train_rl,
)


@dataclass(frozen=True)
class Name(Environment):
    """Names a thing; earns by how it begins."""

    tags: tuple[str, ...] = ("names",)

    async def play(self, policy: Policy) -> Outcome:
        answer = said(await policy([{"role": "user", "content": "Name a thing."}]))
        return Outcome(1 - (ord(answer[:1] or "z") % 32) / 32, {"letters": float(len(answer))})


@dataclass(frozen=True)
class Alike(Environment):
    """Earns the same whatever is said."""

    async def play(self, policy: Policy) -> Outcome:
        await policy([{"role": "user", "content": "Name a thing."}])
        return Outcome(1.0)


@dataclass(frozen=True)
class Fails(Environment):
    """Raises in so many of a hundred episodes."""

    percent: int

    async def play(self, policy: Policy) -> Outcome:
        await policy([{"role": "user", "content": "Name a thing."}])
        if policy.random.randrange(100) < self.percent:
            raise OSError("the tool is broken")
        return Outcome(policy.random.random())


@dataclass(frozen=True)
class Talk(Environment):
    """Two turns, of which the second goes on where the first ended."""

    async def play(self, policy: Policy) -> Outcome:
        chat: list[Any] = [{"role": "user", "content": "Name a thing."}]
        first = await policy(chat)
        chat += [first.message, {"role": "user", "content": "Say it twice."}]
        return Outcome(float(len(said(await policy(chat)))))

    async def compare(self, episodes: Sequence[Episode]) -> list[float]:
        return [float(one.index) for one in episodes]


@dataclass(frozen=True)
class Duel(Environment):
    """Two players; whose word is longer wins."""

    seats = 2

    async def play(self, first: Policy, second: Policy) -> tuple[Outcome, Outcome]:
        words = [
            said(await player([{"role": "user", "content": f"Name a thing, player {number}."}]))
            for number, player in enumerate((first, second))
        ]
        won = float(len(words[0]) - len(words[1]))
        return Outcome(won), Outcome(-won)


@dataclass(frozen=True)
class Endless(Environment):
    """Talks until the context is full."""

    overflow_reward = -3.0

    async def play(self, policy: Policy) -> Outcome:
        chat: list[Any] = [{"role": "user", "content": "many words " * 150}]
        while True:
            answer = await policy(chat, max_tokens=1)
            chat += [{"role": "assistant", "content": said(answer) or "a"}, chat[0]]


class Countdown:
    """Tokens in, tokens out: it is over after two steps."""

    stop: ClassVar[list[int]] = []

    def __init__(self, random: Random) -> None:
        self.seen = [random.randrange(100, 120) for _ in range(4)]
        self.steps = 0

    def initial_observation(self) -> ModelInput:
        return ModelInput.from_ints(self.seen)

    async def step(self, action: list[int]) -> tuple[ModelInput, float, bool]:
        self.seen = [*self.seen, *action, 110]
        self.steps += 1
        return ModelInput.from_ints(self.seen), float(action[0] % 7), self.steps == 2


@chz.chz
class LiveRL(RLSettings):
    """Small."""

    name: ClassVar[str] = "live_rl"
    summary: ClassVar[str] = "For tests."

    steps: int = setting(6, "Few.", least=1)
    groups_per_batch: int = setting(4, "Few.", least=1)
    group_size: int = setting(4, "Few.", least=2)
    max_tokens: int = setting(6, "Short.", least=1)
    save_every: int = setting(2, "Often.", least=0)
    transcripts_every: int = setting(1, "Always.", least=0)
    plays: Literal["names", "alike", "mixed", "broken", "all"] = setting("names", "What.")

    def environments(self, step: int) -> list[Environment]:
        chosen: dict[str, list[Environment]] = {
            "names": [Name()] * 4,
            "alike": [Alike()] * 4,
            "mixed": [Name(), Alike(), Fails(100), Fails(40)],
            "broken": [Fails(100)] * 4,
            "all": [Talk(), Duel(), Endless(), Stepped(Countdown)],
        }
        return chosen[self.plays][: self.groups_per_batch]

    async def train(self, run: Run) -> dict[str, Figure]:
        await train_rl(run, self.environments, self)
        return {"steps": exact(run.steps_done)}


if __name__ == "__main__":
    main(LiveRL)
