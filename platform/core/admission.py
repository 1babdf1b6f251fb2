"""Large request bodies take turns, so that the memory they take is bounded and others are served.

Each team has a share, hence one team's flood, or its slow connection, holds up nobody else's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

# smaller bodies are not counted
LARGE_BYTES = 1024 * 1024
TOTAL_BYTES = 128 * 1024 * 1024
TEAM_BYTES = 32 * 1024 * 1024


@dataclass(slots=True, eq=False)
class _Turn:
    team: int
    size: int
    granted: asyncio.Event
    holds: bool = False


class Budget:
    """So many bytes of bodies at once, of all and of each team; who comes first is served first.

    A body larger than a team's share takes the whole share.
    """

    def __init__(self, total: int = TOTAL_BYTES, per_team: int = TEAM_BYTES) -> None:
        self._left = total
        self._per_team = per_team
        self._of_team: Counter[int] = Counter()
        self._waiting: list[_Turn] = []

    @asynccontextmanager
    async def hold(self, team: int, size: int) -> AsyncIterator[None]:
        """Wait for `size` bytes and have them while inside."""
        turn = _Turn(team, min(size, self._per_team), asyncio.Event())
        self._waiting.append(turn)
        self._grant()
        try:
            await turn.granted.wait()
            yield
        finally:
            self._end(turn)

    def _grant(self) -> None:
        """Let in who fits. Whoever waits for the total lets nobody pass, or it might never fit."""
        crowded: set[int] = set()
        for turn in list(self._waiting):
            if turn.size > self._left:
                return
            if turn.team in crowded or self._of_team[turn.team] + turn.size > self._per_team:
                crowded.add(turn.team)
                continue
            self._waiting.remove(turn)
            self._left -= turn.size
            self._of_team[turn.team] += turn.size
            turn.holds = True
            turn.granted.set()

    def _end(self, turn: _Turn) -> None:
        if turn.holds:
            self._left += turn.size
            self._of_team[turn.team] -= turn.size
            if not self._of_team[turn.team]:
                del self._of_team[turn.team]
        else:
            self._waiting.remove(turn)
        self._grant()


# of this process
bodies = Budget()
