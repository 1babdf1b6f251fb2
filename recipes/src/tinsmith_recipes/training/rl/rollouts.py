"""Playing environments: episodes, groups of them, many at once; one that fails costs itself."""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinsmith import SamplingClient
from tinsmith_recipes.training.rl.environment import Environment, Outcome
from tinsmith_recipes.training.rl.policy import ContextFull, Policy, Sampled
from tinsmith_recipes.training.run import Run

log = logging.getLogger("tinsmith_recipes")

FEWEST = 2  # episodes without which there is nothing to compare with


@dataclass(frozen=True)
class Episode:
    """One episode as one player saw it.

    Attributes:
        environment: what was played.
        turns: what the policy sampled, in order.
        outcome: what the environment said.
        group, index, seat: which group it is of, which of its group, whose.
        compared: what ``Environment.compare`` added to the reward.
        overflowed: whether it ended because the context was full.
    """

    environment: Environment
    turns: tuple[Sampled, ...]
    outcome: Outcome
    group: int = 0
    index: int = 0
    seat: int = 0
    compared: float = 0.0
    overflowed: bool = False

    @property
    def reward(self) -> float:
        """What it earned in all."""
        return self.outcome.reward + self.compared


@dataclass(frozen=True)
class Group:
    """What came of playing one environment several times.

    Attributes:
        number: its place in the run's order of groups.
        episodes: of all seats.
        failed: plays that raised and are left out.
        sampler_step: the step whose weights played it.
    """

    number: int
    environment: Environment
    episodes: tuple[Episode, ...]
    failed: int
    sampler_step: int

    @property
    def by_seat(self) -> list[list[Episode]]:
        """The episodes that are compared with each other: those of the same seat."""
        seats: list[list[Episode]] = [[] for _ in range(self.environment.seats)]
        for episode in self.episodes:
            seats[episode.seat].append(episode)
        return seats

    @property
    def is_too_small(self) -> bool:
        """Whether too few episodes are left to compare any."""
        return len(self.by_seat[0]) < FEWEST

    @property
    def is_constant(self) -> bool:
        """Whether all episodes of each seat earned the same."""
        return all(len({one.reward for one in seat}) <= 1 for seat in self.by_seat)


SamplerOf = Callable[[], tuple[int, SamplingClient]]
"""The newest weights, with the step that they are of."""


class Player:
    """Plays for a run.

    Args:
        run: whose renderer and seeds it takes.
        max_tokens, temperature: of every turn.
        at_once: episodes that are played at the same time.
    """

    def __init__(
        self, run: Run, *, max_tokens: int, temperature: float = 1.0, at_once: int = 256
    ) -> None:
        self.run = run
        self._max_tokens, self._temperature = max_tokens, temperature
        self._slots = asyncio.Semaphore(at_once)
        self.first_error: Exception | None = None

    async def group(
        self, environment: Environment, size: int, number: int, newest: SamplerOf
    ) -> Group:
        """Play an environment ``size`` times with the weights that are newest as it begins."""
        begun: list[tuple[int, SamplingClient]] = []

        async def one(index: int) -> list[Episode] | None:
            async with self._slots:
                begun[:] = begun or [newest()]
                seed = self.run.seed("episode", number, index)
                return await self.episode(environment, begun[0][1], seed, number, index)

        played = await asyncio.gather(*(one(index) for index in range(size)))
        episodes = [episode for found in played if found for episode in found]
        compared = await self._compared(environment, episodes)
        failed = size - sum(found is not None for found in played)
        if compared is None:
            compared, failed = [], size
        return Group(number, environment, tuple(compared), failed, begun[0][0])

    async def episode(
        self, environment: Environment, sampler: SamplingClient, seed: int, group: int, index: int
    ) -> list[Episode] | None:
        """One episode, as each seat saw it; None if it failed."""
        policies = [
            Policy(
                sampler,
                self.run.renderer,
                max_tokens=self._max_tokens,
                temperature=self._temperature,
                seed=self.run.seed("seat", seed, seat),
                context=self.run.context,
            )
            for seat in range(environment.seats)
        ]
        overflowed = False
        try:
            outcomes = _each(environment, await environment.play(*policies))
        except ContextFull:
            overflowed = True
            outcomes = [Outcome(environment.overflow_reward)] * environment.seats
        except Exception as error:
            self._say(environment, error)
            return None
        return [
            Episode(
                environment, tuple(policy.turns), outcome, group, index, seat, overflowed=overflowed
            )
            for seat, (policy, outcome) in enumerate(zip(policies, outcomes, strict=True))
        ]

    async def _compared(
        self, environment: Environment, episodes: Sequence[Episode]
    ) -> list[Episode] | None:
        """The episodes with what comparing them adds; None if that failed."""
        if not episodes:
            return []
        try:
            added = await environment.compare(episodes)
            pairs = zip(episodes, added, strict=True)
            return [replace(one, compared=_check_finite(more)) for one, more in pairs]
        except Exception as error:
            self._say(environment, error)
            return None

    def _say(self, environment: Environment, error: Exception) -> None:
        name = type(environment).__name__
        self.first_error = self.first_error or error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        log.debug("an episode of %s failed", name, exc_info=error)
        self.run.advise(
            f"an episode of {name} failed and is left out: {type(error).__name__}: {error} "
            f"({Path(frame.filename).name}:{frame.lineno}); others like it are counted, not told",
            about=f"failed {name} {type(error).__name__}",
        )


async def play_all(
    run: Run,
    sampler: SamplingClient,
    environments: Sequence[Environment],
    *,
    times: int = 1,
    temperature: float = 1.0,
    max_tokens: int | None = None,
    at_once: int = 256,
) -> list[Episode]:
    """Play environments to see how good a model is; the same draws whenever it is called.

    Args:
        run: whose renderer and seeds it takes.
        sampler: the model.
        environments: what to play, every one ``times`` times.
        temperature: 0 takes the likeliest token every time.
        max_tokens: longest answer of a turn; the recipe's ``max_tokens`` unless it is given.
        at_once: episodes at the same time.

    Returns:
        Every episode of every seat in the order of the environments; those that failed are said
        and left out.

    Raises:
        Exception: what the first one raised, if all of them failed.
    """
    longest: int = run.recipe.max_tokens if max_tokens is None else max_tokens  # type: ignore[attr-defined]
    player = Player(run, max_tokens=longest, temperature=temperature, at_once=at_once)
    slots = asyncio.Semaphore(at_once)

    async def one(number: int) -> list[Episode] | None:
        async with slots:
            place, index = divmod(number, times)
            seed = run.seed("evaluation", place, index)
            return await player.episode(environments[place], sampler, seed, place, index)

    played = await asyncio.gather(*(one(number) for number in range(len(environments) * times)))
    found = [episode for episodes in played if episodes for episode in episodes]
    if not found and player.first_error is not None:
        raise player.first_error
    return found


def told(episode: Episode, text_of: Callable[[list[int]], str]) -> Mapping[str, Any]:
    """An episode for a transcript; ``text_of`` decodes tokens that were sampled as no message."""
    messages: list[Mapping[str, Any]] = []
    for turn in episode.turns:
        chat = turn.messages or (
            {"role": "prompt", "content": text_of(turn.prompt)},
            {"role": "assistant", "content": text_of(turn.tokens)},
        )
        is_longer = list(chat[: len(messages)]) == messages
        messages = list(chat) if is_longer else [*messages, *chat]
    notes = [f"group {episode.group}", *episode.environment.tags]
    notes += [f"{name} {value:.3g}" for name, value in episode.outcome.parts.items()]
    notes += ["the context was full"] * episode.overflowed
    return {"messages": messages, "reward": episode.reward, "note": " · ".join(notes)}


def _each(environment: Environment, played: Any) -> list[Outcome]:
    """One outcome for each seat of what ``play`` gave."""
    outcomes = [played] if isinstance(played, Outcome) else list(played)
    if len(outcomes) != environment.seats or not all(isinstance(o, Outcome) for o in outcomes):
        raise TypeError(
            f"{type(environment).__name__}.play must give an Outcome for each of its "
            f"{environment.seats} seats, not {played!r}"
        )
    for outcome in outcomes:
        _check_finite(outcome.reward)
    return outcomes


def _check_finite(reward: float) -> float:
    if not math.isfinite(reward):
        raise ValueError(f"a reward must be a finite number, not {reward}")
    return float(reward)
