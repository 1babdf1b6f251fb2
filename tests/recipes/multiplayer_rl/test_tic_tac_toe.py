"""The rules of the game, players that are programs, a careless one, and what a game earns."""

from __future__ import annotations

from random import Random

import pytest

from tests.recipes.multiplayer_rl.players import Program, Scripted
from tinsmith_recipes.multiplayer_rl.tic_tac_toe.data import (
    LINES,
    START,
    Player,
    after,
    at_random,
    best,
    careless_lessons,
    free,
    is_lost,
    is_over,
    perfect,
    shown,
    square_in,
    worth,
)
from tinsmith_recipes.multiplayer_rl.tic_tac_toe.env import Against, AgainstItself
from tinsmith_recipes.training.rl import Outcome


def board_in(text: str) -> str:
    """The board that a message shows as a square."""
    return "".join("." if mark.isdigit() else mark for mark in "".join(text.split("\n")[1:]))


def plays(player: Player) -> Program:
    return Program(lambda heard: player(board_in(heard)) + 1)


async def against(
    policy: Program, opponent: Player, *, begins: bool = True, as_lines: bool = False
) -> Outcome:
    return await Against(opponent, begins, as_lines).play(policy)  # type: ignore[arg-type]


def boards() -> set[str]:
    """All that can be reached from the first one."""
    found, edge = {START}, [START]
    while edge:
        board = edge.pop()
        following = [] if is_over(board) else [after(board, place) for place in free(board)]
        edge += [one for one in following if one not in found]
        found.update(following)
    return found


def test_the_game_is_the_one_that_everybody_knows() -> None:
    every = boards()
    assert len(every) == 5478
    assert sum(is_lost(board) for board in every) == 626 + 316  # X wins, O wins
    assert sum(is_over(board) and not is_lost(board) for board in every) == 16
    assert worth(START) == 0
    assert set(best(START)) == set(range(9))


def test_one_who_can_win_wins_and_else_stops_the_other() -> None:
    assert best("XX.OO....") == [2]
    assert best("X..OO.X..") == [5]


@pytest.mark.parametrize("line", LINES)
def test_three_in_a_row_are_lost_to_who_is_to_move(line: tuple[int, int, int]) -> None:
    board = "".join("O" if place in line else "." for place in range(9))
    assert is_lost(board)
    assert is_over(board)
    assert not is_lost(board.replace("O", "X"))


def test_a_program_plays_the_same_at_the_same_board_and_others_play_otherwise() -> None:
    openings = {at_random(seed)(START) for seed in range(100)}
    assert openings == set(range(9))
    assert at_random(3)(START) == at_random(3)(START)
    assert {perfect(seed)("OX.......") for seed in range(50)} == set(best("OX......."))


@pytest.mark.parametrize("begins", [True, False])
async def test_perfect_play_never_loses_and_two_of_it_draw(begins: bool) -> None:
    for seed in range(30):
        outcome = await against(plays(perfect(seed)), at_random(seed + 100), begins=begins)
        assert outcome.parts["not_lost"]
        assert outcome.reward in (0.5, 1)
        drawn = await against(plays(perfect(seed)), perfect(seed + 100), begins=begins)
        assert (drawn.reward, drawn.parts["won"]) == (0.5, 0)


async def test_a_game_is_played_and_shown_turn_by_turn() -> None:
    policy = Scripted(1, "Then 2!", 3)
    outcome = await against(policy, lambda board: max(free(board)))
    assert policy.heard == [
        "You are X. Which square?\n123\n456\n789",
        "You are X. Which square?\nX23\n456\n78O",
        "You are X. Which square?\nXX3\n456\n7OO",
    ]
    assert outcome == Outcome(1, {"won": 1, "not_lost": 1, "illegal": 0})


async def test_who_does_not_begin_sees_the_others_first_move_and_can_lose() -> None:
    policy = Scripted(9, 8)
    outcome = await against(policy, lambda board: min(free(board)), begins=False)
    assert policy.heard[0].endswith("O23\n456\n789")
    assert outcome == Outcome(0, {"won": 0, "not_lost": 0, "illegal": 0})


@pytest.mark.parametrize("text", ["1", "the middle", "0", "12", "", "-"])
async def test_a_move_that_is_none_loses_the_game(text: str) -> None:
    outcome = await against(Scripted(1, text), lambda board: max(free(board)))
    assert outcome == Outcome(0, {"won": 0, "not_lost": 0, "illegal": 1})


async def test_against_itself_each_side_gets_what_the_other_does_not() -> None:
    first, second = Scripted(1, 2, 3), Scripted(9, 8)
    won, lost = await AgainstItself(as_lines=False).play(first, second)  # type: ignore[arg-type]
    assert (won.reward, lost.reward) == (1, 0)
    assert second.heard == [
        "You are X. Which square?\nO23\n456\n789",
        "You are X. Which square?\nOO3\n456\n78X",
    ]
    first, second = Scripted(1, 2), Scripted(9, 1)
    won, lost = await AgainstItself(as_lines=False).play(first, second)  # type: ignore[arg-type]
    assert (won.reward, lost.parts["illegal"]) == (1, 1)
    first, second = plays(perfect(0)), plays(perfect(1))
    drawn = await AgainstItself(as_lines=False).play(first, second)  # type: ignore[arg-type]
    assert [one.reward for one in drawn] == [0.5, 0.5]


async def test_the_eight_lines_show_the_same_board() -> None:
    policy = Scripted(1, 2, 3)
    await against(policy, lambda board: max(free(board)), as_lines=True)
    assert policy.heard[1] == "X23 456 78O X47 258 36O X5O 357"
    assert len(policy.heard[1].split()) == len(LINES)


def lost(care: float, *, begins: bool) -> float:
    """The share of games that a careless player loses to random play."""
    random, losses = Random(0), 0
    for seed in range(300):
        game = careless_lessons(care, at_random(seed), random, begins=begins, as_lines=False)
        board, place = board_in(game[-1][0]["content"]), square_in(game[-1][1]["content"])
        assert place in free(board)
        board = after(board, place)
        if not is_over(board):
            losses += is_lost(after(board, at_random(seed)(board)))
    return losses / 300


@pytest.mark.parametrize("begins", [True, False])
def test_a_careful_player_loses_less_than_a_careless_one(begins: bool) -> None:
    assert lost(1.0, begins=begins) == 0 < lost(0.5, begins=begins) < lost(0.0, begins=begins)


def test_the_last_square_that_is_named_counts() -> None:
    assert square_in("Not 3, so 7.") == 6
    assert [square_in(text) for text in ("10", "a", "", "0")] == [None] * 4
    assert shown(START, as_lines=False)["role"] == "user"
