"""The adapter of verifiers on verifiers, with tasksets as its users write them."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from players import Player

from tinsmith_recipes.environment.adapters import verifiers
from tinsmith_recipes.training.rl import ContextFull

SIZES = {"learn": 10, "held_out": 5, "seed": 0}


def seven(chat: Any) -> str:
    return str(7 * int(re.search(r"times (\d+)", chat[-1]["content"])[1]))


def halving(chat: Any) -> str:
    low, high = 1, 20
    for said, told in zip(chat[1::2], chat[2::2], strict=True):
        number = int(said["content"])
        low, high = (low, number - 1) if told["content"] == "lower" else (number + 1, high)
    return str((low + high) // 2)


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> list[Player]:
    """The players of agents that do not learn, which have no server here."""
    made: list[Player] = []

    def another(policy: Any) -> Player:
        made.append(Player(lambda chat: "It begins."))
        return made[-1]

    monkeypatch.setattr(verifiers, "another", another)
    return made


async def test_a_task_is_played_and_rewarded_by_its_own_rewards() -> None:
    problems = verifiers.load("times-seven", "", **SIZES)
    right, wrong = Player(seven), Player(lambda chat: "x")
    async with problems.serving():
        outcome = await problems.learn[0].play(right)
        assert outcome.reward == 2  # the reward's weight
        ((system, asked),) = right.asked
        assert system == {"role": "system", "content": "Say the number."}
        assert outcome.parts == {"turns": 1, "length": len(seven([asked]))}
        assert (await problems.learn[0].play(wrong)).reward == 0


async def test_many_are_played_at_once_each_by_its_own_player() -> None:
    problems = verifiers.load("times-seven", "", **SIZES)
    players = [Player(seven) for _ in problems.learn]
    async with problems.serving():
        pairs = zip(problems.learn, players, strict=True)
        played = await asyncio.gather(*(task.play(one) for task, one in pairs))
    assert [one.reward for one in played] == [2] * 10
    assert len({player.asked[0][-1]["content"] for player in players}) == 10


async def test_an_environment_of_several_turns_and_agents(others: list[Player]) -> None:
    problems = verifiers.load("higher_lower", "", **SIZES)
    task = next(one for one in problems.learn if one.task.data.number not in (5, 10, 15))
    player = Player(halving)
    async with problems.serving():
        outcome = await task.play(player)
        assert outcome.reward == 1
        assert outcome.parts["turns"] == len(player.asked) > 2
        assert player.asked[-1][: len(player.asked[-2])] == player.asked[-2]
        assert [len(other.asked) for other in others] == [1]
        late = await task.play(Player(lambda chat: "0"))
        assert (late.reward, late.parts["turns"]) == (0, 6)  # max_turns


async def test_that_the_context_is_full_reaches_who_plays() -> None:
    def full(chat: Any) -> str:
        raise ContextFull("100 tokens fill the context of 100")

    problems = verifiers.load("times-seven", "", **SIZES)
    async with problems.serving():
        with pytest.raises(ContextFull, match="fill the context of 100"):
            await problems.learn[0].play(Player(full))
        assert (await problems.learn[0].play(Player(seven))).reward == 2


async def test_a_task_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = verifiers.load("times-seven", "", **SIZES)

    async def broken(*_: Any) -> float:
        raise KeyError("answer")

    monkeypatch.setattr(type(problems.learn[0].task), "setup", broken)
    async with problems.serving():
        with pytest.raises(RuntimeError, match=r"verifiers could not play .*answer"):
            await problems.learn[0].play(Player(seven))


async def test_outside_of_serving_nothing_is_played() -> None:
    problems = verifiers.load("times-seven", "", **SIZES)
    with pytest.raises(RuntimeError, match="within `serving`"):
        await problems.learn[0].play(Player(seven))


def test_no_held_out_task_is_learnt_from() -> None:
    problems = verifiers.load("times-seven", "largest=40", **SIZES)
    numbers = [
        [one.task.data.answer for one in some] for some in (problems.learn, problems.held_out)
    ]
    assert (len(numbers[0]), len(numbers[1])) == (10, 5)
    assert not set(numbers[0]) & set(numbers[1])
    other = verifiers.load("times-seven", "largest=40", **SIZES | {"seed": 1})
    assert [one.task.data.answer for one in other.held_out] != numbers[1]


@pytest.mark.parametrize(
    ("task", "words", "reason"),
    [
        ("no_such_taskset", "", "no_such_taskset is no taskset of verifiers"),
        ("players", "", "players is no taskset of verifiers"),
        ("times_seven", "larger=3", "no option of times_seven 'larger'; did you mean largest"),
        ("times_seven", "largest=many", "times_seven with options 'largest=many': .*integer"),
        ("times_seven", "largest=5", "has 5 tasks: too few to hold 5 of them out"),
    ],
)
def test_what_there_is_not_is_refused(task: str, words: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){reason}"):
        verifiers.load(task, words, **SIZES)
