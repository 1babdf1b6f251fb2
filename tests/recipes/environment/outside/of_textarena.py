"""The adapter of textarena on textarena; run in a Python that has it."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest
from players import Player

from tinsmith_recipes.environment.adapters import textarena

SIZES = {"learn": 4, "held_out": 3, "seed": 0}


def halving(chat: Any) -> str:
    low, high = map(int, re.search(r"between (\d+) and (\d+)", chat[0]["content"]).groups())
    for said, told in zip(chat[1::2], chat[2::2], strict=True):
        number = int(said["content"].strip("[]"))
        low, high = (low, number - 1) if "is lower" in told["content"] else (number + 1, high)
    return f"[{(low + high) // 2}]"


def first_free(chat: Any) -> str:
    return re.findall(r"'(\[\d\])'", chat[-1]["content"].rpartition("Available Moves")[2])[0]


async def test_a_game_for_one_is_played_as_a_chat_and_won() -> None:
    (game, *_) = textarena.load("GuessTheNumber-v0", "max_number=100", **SIZES).held_out
    player = Player(halving)
    outcome = await game.play(player)
    assert outcome.reward == 1
    assert outcome.parts == {"turns": len(player.asked), "invalid": 0}
    assert 1 < len(player.asked) <= 7
    assert player.asked[-1][: len(player.asked[-2])] == player.asked[-2]  # it grows, no more
    assert [one["role"] for one in player.asked[-1][-2:]] == ["assistant", "user"]


async def test_who_breaks_the_rules_is_told_so_and_loses() -> None:
    (game, *_) = textarena.load("GuessTheNumber-v0", "", **SIZES).held_out
    player = Player(lambda chat: "twelve")
    outcome = await game.play(player)
    assert (outcome.reward, outcome.parts["invalid"]) == (0, 1)
    assert "invalid move" in player.asked[-1][-1]["content"]


async def test_a_group_plays_the_same_game_and_held_out_ones_are_others() -> None:
    problems = textarena.load("GuessTheNumber-v0", "max_number=1000000,max_turns=30", **SIZES)
    every = [*problems.learn, *problems.held_out]
    players = [Player(halving) for _ in [*every, *every]]
    played = await asyncio.gather(
        *(game.play(one) for game, one in zip([*every, *every], players, strict=True))
    )
    assert [one.reward for one in played] == [1] * len(players)
    sought = [player.asked[-1][-2]["content"] for player in players if len(player.asked) > 1]
    assert sought[: len(every)] == sought[len(every) :]
    assert len(set(sought)) == len(every)


async def test_a_game_of_two_has_an_outcome_for_each() -> None:
    (game, *_) = textarena.load("TicTacToe-v0", "", **SIZES).learn
    assert game.seats == 2
    first, second = Player(first_free), Player(first_free)
    outcomes = await game.play(first, second)
    assert [one.reward for one in outcomes] == [1, -1]  # 0, 2, 4, 6: a diagonal
    assert [one.parts["turns"] for one in outcomes] == [4, 3]
    assert "You are Player 0" in first.asked[0][0]["content"]
    assert "You are Player 1" in second.asked[0][0]["content"]
    assert "[Player 0] [0]" in second.asked[0][0]["content"]


async def test_what_a_wrapper_shows_is_asked_anew_every_turn() -> None:
    (game, *_) = textarena.load("TicTacToe-v0-train", "", **SIZES).learn
    player = Player(first_free)
    await game.play(player, Player(first_free))
    assert [len(chat) for chat in player.asked] == [1] * 4


async def test_the_dice_of_a_game_are_its_own() -> None:
    (game, *_) = textarena.load("KuhnPoker-v0", "", **SIZES).learn
    random.seed(5)
    expected = random.random()
    random.seed(5)

    def played() -> Any:
        return game.play(Player(lambda chat: "[check]"), Player(lambda chat: "[check]"))

    alone = await played()
    among = await asyncio.gather(*(played() for _ in range(3)))
    assert [list(one) for one in among] == [list(alone)] * 3
    assert random.random() == expected


@pytest.mark.parametrize(
    ("task", "words", "reason"),
    [
        ("TicTacToe", "", "no game of textarena 'TicTacToe'; did you mean .*TicTacToe-v0"),
        ("GuessTheNumber-v0", "most=3", "no option of GuessTheNumber-v0 'most'; there are max_n"),
        ("ThreePlayerTicTacToe-v0", "", "cannot be played by one or two"),
    ],
)
def test_what_there_is_not_is_refused(task: str, words: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        textarena.load(task, words, **SIZES)
