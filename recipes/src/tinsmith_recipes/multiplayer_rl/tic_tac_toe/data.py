"""The rules of tic-tac-toe, players that are programs, and games of a careless one."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from tinsmith_recipes.training.order import seed_of

FREE, ME, OTHER = ".", "X", "O"
START = FREE * 9
LINES = (
    *((0, 1, 2), (3, 4, 5), (6, 7, 8)),
    *((0, 3, 6), (1, 4, 7), (2, 5, 8)),
    *((0, 4, 8), (2, 4, 6)),
)
ASKED = "You are X. Which square?"
_SQUARE = re.compile(r"(?<![0-9])[1-9](?![0-9])")
_TURNED = str.maketrans({ME: OTHER, OTHER: ME})

Player = Callable[[str], int]
"""Looks at a board on which X is to move, and says where."""


def free(board: str) -> list[int]:
    """The places, from 0, where nobody has played.

    >>> free("XO.X.O.XO")
    [2, 4, 6]
    """
    return [place for place, mark in enumerate(board) if mark == FREE]


def after(board: str, place: int) -> str:
    """The board once X has played there, as the other player sees it: X is who moves.

    >>> after("XO.......", 4)
    'OX..O....'
    """
    return (board[:place] + ME + board[place + 1 :]).translate(_TURNED)


def is_lost(board: str) -> bool:
    """Whether the other player has three in a row."""
    return any(all(board[place] == OTHER for place in line) for line in LINES)


def is_over(board: str) -> bool:
    """Whether nobody can or need move any more."""
    return is_lost(board) or FREE not in board


@cache  # a game has 5,478 boards
def worth(board: str) -> int:
    """What X, who is to move, gets if both play well: 1 a win, 0 a draw, -1 a loss.

    >>> worth(START), worth("XX.OO....")
    (0, 1)
    """
    if is_over(board):
        return -is_lost(board)
    return max(-worth(after(board, place)) for place in free(board))


def best(board: str) -> list[int]:
    """Where X gets the most if both go on to play well.

    >>> best("XX.OO....")
    [2]
    """
    return [place for place in free(board) if -worth(after(board, place)) == worth(board)]


def at_random(seed: int) -> Player:
    """A player who plays anywhere: at one board always in the same place."""
    return lambda board: Random(seed_of(seed, board)).choice(free(board))


def perfect(seed: int) -> Player:
    """A player who never loses: at one board always by the same of its best moves."""
    return lambda board: Random(seed_of(seed, board)).choice(best(board))


def shown(board: str, *, as_lines: bool) -> dict[str, str]:
    """The board as the player reads it whose move it is; squares that are free have their numbers.

    Args:
        board: X is to move.
        as_lines: shows its eight lines one after another instead of the square.

    >>> print(shown("X.O......", as_lines=False)["content"])
    You are X. Which square?
    X2O
    456
    789
    >>> shown("X.O......", as_lines=True)["content"]
    'X2O 456 789 X47 258 O69 X59 O57'
    """
    cells = [str(place + 1) if mark == FREE else mark for place, mark in enumerate(board)]
    lines = ["".join(cells[place] for place in line) for line in LINES]
    text = " ".join(lines) if as_lines else "\n".join([ASKED, *lines[:3]])
    return {"role": "user", "content": text}


def square_in(text: str) -> int | None:
    """The place that a message ends on, from 0; None if it names no square.

    >>> square_in("5"), square_in("Not 3 but 7."), square_in("12"), square_in("the middle")
    (4, 6, None, None)
    """
    found = _SQUARE.findall(text)
    return int(found[-1]) - 1 if found else None


def careless_lessons(
    care: float, opponent: Player, random: Random, *, begins: bool, as_lines: bool
) -> list[list[dict[str, Any]]]:
    """The boards of one game, each with the move of a player whose moves are the best with
    probability ``care``, else any."""
    board, lessons = START, []
    if not begins:
        board = after(board, opponent(board))
    while not is_over(board):
        place = random.choice(best(board) if random.random() < care else free(board))
        lessons.append(
            [shown(board, as_lines=as_lines), {"role": "assistant", "content": str(place + 1)}]
        )
        board = after(board, place)
        if not is_over(board):
            board = after(board, opponent(board))
    return lessons
