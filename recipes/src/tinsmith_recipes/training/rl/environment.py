"""``Environment``: what is to be learnt from, written as a coroutine that calls the policy.

    @dataclass(frozen=True)
    class Sum(Environment):
        a: int
        b: int

        async def play(self, policy: Policy) -> Outcome:
            answer = await policy([{"role": "user", "content": f"{self.a} + {self.b}?"}])
            return Outcome(reward=float(said(answer) == str(self.a + self.b)))

Several turns are several calls; tools, other players and judges are plain code in between.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from tinsmith import ModelInput

if TYPE_CHECKING:
    from tinsmith_recipes.training.rl.policy import Policy
    from tinsmith_recipes.training.rl.rollouts import Episode


@dataclass(frozen=True)
class Outcome:
    """How an episode ended for one player.

    Attributes:
        reward: what it earned.
        parts: components of the reward, counts, whatever is to be averaged and shown:
            ``env/all/<part>``.
    """

    reward: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Environment:
    """One problem, which is played several times: a group. Subclasses say how, in ``play``.

    An object of it is played many times at once, so it never changes: what belongs to one episode
    are the variables of ``play``. An episode that raises costs itself only.
    """

    seats: ClassVar[int] = 1
    """How many players; ``play`` takes a policy for each and gives an outcome for each."""
    tags: tuple[str, ...] = ()
    """The metrics of all episodes are shown under ``env/<tag>/…``, too."""
    overflow_reward: float = 0.0
    """What an episode earns whose text no longer fits into the model's context."""

    play: Callable[..., Awaitable[Any]]
    """``async def play(self, policy: Policy) -> Outcome``; with two seats
    ``async def play(self, first: Policy, second: Policy) -> tuple[Outcome, Outcome]``."""

    async def compare(self, episodes: Sequence[Episode]) -> Sequence[float]:
        """What is added to each reward once the whole group is played, e.g. by a judge."""
        return [0.0] * len(episodes)


class Env(Protocol):
    """An environment of tokens that is stepped from outside; either method may be ``async``.

    ``stop``, if there is one, is what ends an action, as in ``SamplingParams``.
    """

    def initial_observation(self) -> Any:
        """The first prompt, a ``ModelInput``."""

    def step(self, action: list[int]) -> Any:
        """(the next prompt, the reward of this step, whether it is done) after sampled tokens."""


@dataclass(frozen=True)
class Stepped(Environment):
    """Plays what is stepped from outside: ``Stepped(lambda random: MyEnv(random))``.

    ``make`` is called for every episode. Its reward is the sum of its steps'.
    """

    make: Callable[[Random], Env]
    tags: tuple[str, ...] = ()

    async def play(self, policy: Policy) -> Outcome:
        """Sample and step until it is done."""
        env = self.make(policy.random)
        stop = getattr(env, "stop", None)
        observation: ModelInput = await _waited(env.initial_observation())
        total, done = 0.0, False
        while not done:
            sampled = await policy.sample(observation, stop=stop)
            observation, reward, done = await _waited(env.step(sampled.tokens))
            total += reward
        return Outcome(total)


async def _waited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
