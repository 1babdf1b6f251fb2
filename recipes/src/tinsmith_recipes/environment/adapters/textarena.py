"""textarena: games for one, and for two, of which the model then plays both."""

from __future__ import annotations

import importlib
import inspect
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinsmith import SamplingClient
from tinsmith_recipes.environment.adapters import (
    Problems,
    another,
    check_known,
    imported,
    options,
)
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.order import seed_of
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

EXTRA = "textarena"
RAW = "-raw"
GAME = -1  # who speaks where no player does
YOUR_TURN = "It is your turn."
MOST_TURNS = 200


@dataclass(frozen=True)
class Game(Environment):
    """A game for one, begun in one way. The reward is the game's own.

    Attributes:
        name: what ``textarena.make`` calls it; a name that ends in ``-raw`` is played as a chat,
            another is asked anew with what its wrapper shows at every turn.
        options: for ``textarena.make``.
        seed: decides how it begins.
    """

    name: str
    options: Mapping[str, Any]
    seed: int
    tags = (EXTRA,)

    async def play(self, *players: Policy) -> Outcome | tuple[Outcome, ...]:
        """Play until it is over."""
        luck = _Luck()
        with luck.own():
            env = imported("textarena", EXTRA).make(self.name, **self.options)
            env.reset(num_players=len(players), seed=self.seed)
        chats: list[list[Mapping[str, Any]]] = [[] for _ in players]
        done, turns = False, [0] * len(players)
        while not done and sum(turns) < MOST_TURNS:
            seat, observed = env.get_observation()
            chats[seat] = _told(chats[seat], observed, seat)
            reply = await players[seat](chats[seat])
            chats[seat].append(reply.message)
            turns[seat] += 1
            with luck.own():
                done, _ = env.step(said(reply))
        rewards, told = env.close()
        outcomes = tuple(
            Outcome(
                float((rewards or {}).get(seat, 0)),
                {
                    "turns": turns[seat],
                    "invalid": float(bool(told.get(seat, {}).get("invalid_move"))),
                },
            )
            for seat in range(len(players))
        )
        return outcomes if len(players) > 1 else outcomes[0]


class GameOfTwo(Game):
    """A game of two players; the model is both, each with a reward of its own."""

    seats = 2


@dataclass(frozen=True)
class Against(Environment):
    """A game of two with another model, in either seat by chance: unlike self-play it can be won.

    Attributes:
        game: of two.
        opponent: the other model.
    """

    game: Environment
    opponent: SamplingClient
    tags = (EXTRA,)

    async def play(self, policy: Policy) -> Outcome:
        """Play once; the outcome is the policy's."""
        other = another(policy, self.opponent)
        seat = policy.random.randrange(2)
        players = (policy, other) if seat == 0 else (other, policy)
        outcomes: tuple[Outcome, Outcome] = await self.game.play(*players)
        return outcomes[seat]


class _Luck:
    """The dice of one game: textarena draws from Python's, which all games would share."""

    def __init__(self) -> None:
        self._state: Any = None

    @contextmanager
    def own(self) -> Iterator[None]:
        """Within it, draws go on from where they ended within it before."""
        others = random.getstate()
        if self._state is not None:
            random.setstate(self._state)
        try:
            yield
        finally:
            self._state = random.getstate()
            random.setstate(others)


def load(task: str, words: str, *, learn: int, held_out: int, seed: int) -> Problems:
    """Games that begin differently as far as the game has different beginnings.

    Args:
        task: the game's name in textarena's registry.
        words: ``key=value,…`` for the game.
        learn, held_out: how many beginnings of each kind.
        seed: of how they begin.

    Raises:
        ValueError: no such game or option; a game for three players or more.
    """
    package = imported("textarena", EXTRA)
    registry = imported("textarena.envs.registration", EXTRA).ENV_REGISTRY
    check_known("game of textarena", task, registry)
    given = options(words)
    made = registry[task].entry_point
    if isinstance(made, str):
        module, _, name = made.partition(":")
        made = getattr(importlib.import_module(module), name)
    for option in given:
        check_known(f"option of {task}", option, inspect.signature(made).parameters)
    # without a wrapper it tells what is new, so that an episode is one growing chat
    name = task + RAW if task + RAW in registry else task
    kind = _kind(package, name, given)
    seeds = [seed_of(EXTRA, seed, number) for number in range(learn + held_out)]
    games = [kind(name, given, one) for one in seeds]
    return Problems(games[held_out:], games[:held_out])


def _kind(package: Any, name: str, given: Mapping[str, Any]) -> type[Game]:
    """For how many the game is: the fewest that it takes."""
    refused = ""
    with _Luck().own():
        for kind in (Game, GameOfTwo):
            try:
                package.make(name, **given).reset(num_players=kind.seats, seed=0)
            except (AssertionError, TypeError, ValueError, KeyError, IndexError) as error:
                refused = str(error)
            else:
                return kind
    raise ValueError(f"{name} cannot be played by one or two with options {given}: {refused}")


def _told(chat: list[Mapping[str, Any]], observed: Any, seat: int) -> list[Mapping[str, Any]]:
    """The chat with what a player is shown now."""
    if isinstance(observed, str):  # a wrapper's: all that is to be known, every time
        return [{"role": "user", "content": observed}]
    lines = [
        text if speaker == GAME else f"[Player {speaker}] {text}"
        for speaker, text, *_ in observed
        if speaker != seat
    ]
    return [*chat, {"role": "user", "content": "\n".join(lines) or YOUR_TURN}]
