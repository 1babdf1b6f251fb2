"""The rules of the game, what a careless guesser does, and what a game is worth."""

from __future__ import annotations

from random import Random

import pytest

from tests.recipes.multiplayer_rl.players import Program, Scripted
from tinsmith_recipes.multiplayer_rl.guess_number.data import (
    HIGHER,
    LOWER,
    NO_NUMBER,
    RIGHT,
    Known,
    careless_game,
    guess_in,
    verdict,
)
from tinsmith_recipes.multiplayer_rl.guess_number.env import Thinks

N, LIMIT = 16, 10


def left(low: int, high: int) -> str:
    return " ".join(map(str, range(low, high + 1)))


def middle(heard: str) -> str:
    """Of what is left."""
    left = heard.partition(": ")[2].split()
    return left[(len(left) - 1) // 2]


async def test_who_halves_what_is_left_needs_five_turns_at_most() -> None:
    outcomes = [await Thinks(n, N, LIMIT).play(Program(middle)) for n in range(1, N + 1)]  # type: ignore[arg-type]
    turns = [outcome.parts["turns"] for outcome in outcomes]
    assert max(turns) == 5
    assert sum(turns) / N == 3.375
    assert all(outcome.parts["won"] for outcome in outcomes)
    assert not any(outcome.parts["outside"] for outcome in outcomes)


async def test_answers_say_higher_or_lower_and_what_is_left() -> None:
    policy = Scripted(4, 12, 9)
    outcome = await Thinks(9, N, LIMIT).play(policy)  # type: ignore[arg-type]
    assert policy.heard == [
        f"guess: {left(1, 16)}",
        f"higher: {left(5, 16)}",
        "lower: 5 6 7 8 9 10 11",
    ]
    assert outcome.reward == pytest.approx(0.8)
    assert (outcome.parts["turns"], outcome.parts["won"]) == (3, 1)


async def test_a_model_with_a_memory_is_told_the_word_alone() -> None:
    policy = Scripted(4, 12, 9)
    await Thinks(9, N, LIMIT, remembers=True).play(policy)  # type: ignore[arg-type]
    assert policy.heard == ["Guess a number from 1 to 16.", HIGHER, LOWER]
    assert [len(chat) for chat in policy.asked] == [1, 3, 5]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", NO_NUMBER),
        ("twelve", NO_NUMBER),
        ("1" * 5000, NO_NUMBER),
        ("0", HIGHER),
        ("17", LOWER),
        ("3 is too low, 17", LOWER),
    ],
)
async def test_a_move_that_is_none_costs_a_turn_and_tells_nothing(text: str, word: str) -> None:
    policy = Scripted(text, 9)
    outcome = await Thinks(9, N, LIMIT).play(policy)  # type: ignore[arg-type]
    assert policy.heard[1] == f"{word}: {left(1, 16)}"
    assert outcome.parts["turns"] == 2


async def test_a_guess_outside_of_what_is_known_is_counted_and_widens_nothing() -> None:
    policy = Scripted(8, 3, 9)
    outcome = await Thinks(9, N, LIMIT).play(policy)  # type: ignore[arg-type]
    assert policy.heard[1:] == [f"higher: {left(9, 16)}"] * 2
    assert outcome.parts["outside"] == pytest.approx(1 / 3)


async def test_a_game_not_finished_counts_its_limit_and_earns_nothing() -> None:
    policy = Scripted(*[1] * LIMIT, 9)
    outcome = await Thinks(9, N, LIMIT).play(policy)  # type: ignore[arg-type]
    assert len(policy.asked) == LIMIT
    assert (outcome.reward, outcome.parts["turns"], outcome.parts["won"]) == (0, LIMIT, 0)


async def test_a_right_guess_in_the_last_turn_earns_something() -> None:
    policy = Scripted(*[1] * (LIMIT - 1), 9)
    assert (await Thinks(9, N, LIMIT).play(policy)).reward == pytest.approx(0.1)  # type: ignore[arg-type]


def turns_of(care: float) -> float:
    random = Random(0)
    games = [
        careless_game(random.randint(1, N), N, LIMIT, care, random, remembers=False)
        for _ in range(300)
    ]
    return sum(len(game) // 2 for game in games) / len(games)


def test_a_careful_guesser_needs_fewer_turns_than_a_careless_one() -> None:
    assert turns_of(1.0) < 5 < turns_of(0.5) < turns_of(0.0) <= LIMIT


async def test_a_careless_game_is_a_game_by_the_rules() -> None:
    for seed in range(50):
        game = careless_game(9, N, LIMIT, 0.5, Random(seed), remembers=False)
        said = [message["content"] for message in game if message["role"] == "assistant"]
        assert game[-1]["role"] == "assistant"
        policy = Scripted(*said, *[9] * LIMIT)
        outcome = await Thinks(9, N, LIMIT).play(policy)  # type: ignore[arg-type]
        assert outcome.parts["turns"] == len(said)
        assert policy.asked == [game[at : at + 1] for at in range(0, len(game), 2)]


def test_what_is_known_only_narrows() -> None:
    known = Known(5, 9)
    assert known.after(2, secret=7) == known.after(12, secret=7) == known


def test_the_last_number_of_a_message_is_the_guess() -> None:
    assert guess_in("It is not 3, so 11.") == 11
    assert verdict(guess_in("11"), 11) == RIGHT
