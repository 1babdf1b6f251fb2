"""The environments: a game against a player that is a program, and one against itself."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith_recipes.multiplayer_rl.tic_tac_toe.data import (
    START,
    Player,
    after,
    free,
    is_lost,
    is_over,
    shown,
    square_in,
)
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

WON, DRAWN, LOST = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class Against(Environment):
    """One game against a program. A move that is none loses the game.

    Attributes:
        opponent: the program; all episodes of a group play against the same.
        begins: whether the policy has the first move.
        as_lines: how it is shown the board.
    """

    opponent: Player
    begins: bool
    as_lines: bool
    tags = ("tic_tac_toe",)

    async def play(self, policy: Policy) -> Outcome:
        """Take turns until it is over."""
        board = START if self.begins else after(START, self.opponent(START))
        while True:
            place = await moved(policy, board, as_lines=self.as_lines)
            if place is None:
                return ended(LOST, illegal=True)
            board = after(board, place)
            if is_over(board):
                return ended(WON if is_lost(board) else DRAWN)
            board = after(board, self.opponent(board))
            if is_over(board):
                return ended(LOST if is_lost(board) else DRAWN)


@dataclass(frozen=True)
class AgainstItself(Environment):
    """One game of the policy for both sides, each of which is compared with its own kind."""

    as_lines: bool
    seats = 2
    tags = ("tic_tac_toe",)

    async def play(self, first: Policy, second: Policy) -> tuple[Outcome, Outcome]:
        """Take turns until it is over; the outcomes are those of the two sides, in order."""
        board, turn = START, 0
        while not is_over(board):
            place = await moved((first, second)[turn % 2], board, as_lines=self.as_lines)
            if place is None:
                return _in_order(turn, ended(LOST, illegal=True), ended(WON))
            board = after(board, place)
            turn += 1
        mine = LOST if is_lost(board) else DRAWN
        return _in_order(turn, ended(mine), ended(WON - mine))


async def moved(policy: Policy, board: str, *, as_lines: bool) -> int | None:
    """Where a policy plays; None if it names no square that is free."""
    place = square_in(said(await policy([shown(board, as_lines=as_lines)])))
    return place if place in free(board) else None


def ended(reward: float, *, illegal: bool = False) -> Outcome:
    """How a game ended for one player."""
    parts = {
        "won": float(reward == WON),
        "not_lost": float(reward != LOST),
        "illegal": float(illegal),
    }
    return Outcome(reward, parts)


def _in_order(turn: int, mine: Outcome, other: Outcome) -> tuple[Outcome, Outcome]:
    """The outcomes of first and second, given those of whose turn it is and of the other."""
    return (mine, other) if turn % 2 == 0 else (other, mine)
