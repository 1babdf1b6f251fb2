"""Large request bodies take turns, so that the memory they take is bounded and others are served.

Each team has a share, hence one team's flood, or its slow connection, holds up nobody else's. Of
bodies larger than the share, and of those that do not say how large they are, a team has one at a
time; they count for the whole share. Small bodies that do not come in one piece have a budget of
their own, so that none waits behind a large one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from core.errors import TooManyRequests

# smaller bodies are counted apart, and only until they are there
LARGE_BYTES = 1024 * 1024
TOTAL_BYTES = 128 * 1024 * 1024
TEAM_BYTES = 32 * 1024 * 1024
SMALL_TOTAL_BYTES = 64 * 1024 * 1024
SMALL_TEAM_BYTES = 16 * 1024 * 1024
# of a team: each holds a connection and its first piece
MOST_WAITING = 512


@dataclass(slots=True, eq=False)
class Turn:
    """What one body takes, or waits for."""

    team: int
    size: int
    granted: asyncio.Event


class Budget:
    """So many bytes of bodies at once, of all and of each team; who comes first is served first."""

    def __init__(self, total: int = TOTAL_BYTES, per_team: int = TEAM_BYTES) -> None:
        self._left = total
        self._per_team = per_team
        self._of_team: Counter[int] = Counter()
        self._waiting: list[Turn] = []
        self._alone: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def take(self, team: int, size: int) -> Turn:
        """Wait for `size` bytes, which are the actor's to `give_back`.

        Raises:
            TooManyRequests: too many of the team's bodies wait already.
        """
        if sum(turn.team == team for turn in self._waiting) >= MOST_WAITING:
            raise TooManyRequests("too many request bodies of this team wait; try again")
        turn = Turn(team, min(size, self._per_team), asyncio.Event())
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn.granted.wait()
        except BaseException:
            self.give_back(turn)
            raise
        return turn

    def overdraw(self, team: int, size: int) -> Turn:
        """Take `size` bytes even if there are not so many left: whoever comes later waits."""
        turn = Turn(team, min(size, self._per_team), asyncio.Event())
        self._enter(turn)
        return turn

    def resize(self, turn: Turn, size: int) -> None:
        """Have more or less than was taken, at once."""
        change = min(size, self._per_team) - turn.size
        turn.size += change
        self._left -= change
        self._of_team[turn.team] += change
        self._let_in()

    def give_back(self, turn: Turn) -> None:
        """End a turn, also one that still waits."""
        if turn.granted.is_set():
            self.resize(turn, 0)
            if not self._of_team[turn.team]:
                del self._of_team[turn.team]
        else:
            self._waiting.remove(turn)
            self._let_in()

    def alone(self, team: int) -> asyncio.Lock:
        """What a team's bodies hold one after another that nobody knows the size of."""
        return self._alone.setdefault(team, asyncio.Lock())

    def _let_in(self) -> None:
        """Let in who fits. Whoever waits for the total lets nobody pass, or it might never fit."""
        crowded: set[int] = set()
        for turn in list(self._waiting):
            if turn.team in crowded or self._of_team[turn.team] + turn.size > self._per_team:
                crowded.add(turn.team)
            elif turn.size > self._left:
                return
            else:
                self._waiting.remove(turn)
                self._enter(turn)

    def _enter(self, turn: Turn) -> None:
        self._left -= turn.size
        self._of_team[turn.team] += turn.size
        turn.granted.set()


class Room:
    """What one request's body takes of the budgets, from its second piece on until `close`.

    Args:
        who_asks: finds out whose share it takes; asked only if there is something to take.
    """

    def __init__(
        self, budget: Budget, who_asks: Callable[[], Awaitable[int]], small: Budget | None = None
    ) -> None:
        self._budget = budget
        self._small_budget = small or small_bodies
        self._who_asks = who_asks
        self._turn: Turn | None = None
        self._small_turn: Turn | None = None
        self._alone: asyncio.Lock | None = None

    async def take(self, size: int) -> None:
        """Wait for room for a body of `size` bytes; raises what `who_asks` does."""
        self._close_small()
        self._turn = await self._budget.take(await self._who_asks(), size)

    async def take_small(self, size: int) -> None:
        """Wait for room for a small body that is on its way; raises what `who_asks` does."""
        self._small_turn = await self._small_budget.take(await self._who_asks(), size)

    async def take_unknown(self, most: int) -> None:
        """Room for a body that may unpack to `most` bytes: of a team's such bodies one at a time.

        Who has room already and waits here would keep others of the team from theirs for ever; so
        this is taken whether or not there is as much.
        """
        team = await self._who_asks()
        alone = self._budget.alone(team)
        await alone.acquire()
        self._alone = alone
        if self._turn is None:
            self._turn = self._budget.overdraw(team, most)
        else:
            self._budget.resize(self._turn, most)

    def settle(self, size: int) -> None:
        """The body is there and takes `size` bytes."""
        self._close_small()
        if size <= LARGE_BYTES:
            self.close()
        elif self._turn is not None:
            self._budget.resize(self._turn, size)

    def close(self) -> None:
        """Nobody needs the body any more."""
        self._close_small()
        turn, self._turn = self._turn, None
        if turn is not None:
            self._budget.give_back(turn)
        alone, self._alone = self._alone, None
        if alone is not None:
            alone.release()

    def _close_small(self) -> None:
        turn, self._small_turn = self._small_turn, None
        if turn is not None:
            self._small_budget.give_back(turn)


# of this process
bodies = Budget()
small_bodies = Budget(SMALL_TOTAL_BYTES, SMALL_TEAM_BYTES)
