"""How many sockets are open, and the check that goes round all of them with one query."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from weakref import WeakKeyDictionary

import psycopg

from live import access
from live.access import Seat

log = logging.getLogger(__name__)

CHECKS_EVERY_S = 15.0
# in one process, those that are about to be refused included
MOST_SOCKETS = 2048
MOST_OF_USER = 64


class Guard:
    """The sockets of an event loop."""

    def __init__(self) -> None:
        self.sockets = 0
        self._of_user: Counter[int] = Counter()
        self._seated: dict[Seat, set[Callable[[str], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def seat(self, seat: Seat, turn_out: Callable[[str], None]) -> bool:
        """Take a seat until `leave`; False when the person has too many already.

        `turn_out` is called with what is gone, as `access.lost` has it.
        """
        if self._of_user[seat.user_id] >= MOST_OF_USER:
            return False
        self._of_user[seat.user_id] += 1
        self._seated.setdefault(seat, set()).add(turn_out)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._go_round(), name="guard of sockets")
        return True

    def leave(self, seat: Seat, turn_out: Callable[[str], None]) -> None:
        """Give a seat back."""
        self._of_user[seat.user_id] -= 1
        if not self._of_user[seat.user_id]:
            del self._of_user[seat.user_id]
        self._seated[seat].remove(turn_out)
        if not self._seated[seat]:
            del self._seated[seat]
        if not self._seated:
            self.stop()

    def stop(self) -> None:
        """Check no more."""
        if self._task is not None:
            self._task.cancel()
        self._task = None

    async def check(self) -> None:
        """Turn out whose seat is not good any more."""
        for seat, what in (await access.lost(list(self._seated))).items():
            for turn_out in tuple(self._seated.get(seat, ())):
                turn_out(what)

    async def _go_round(self) -> None:
        while True:
            await asyncio.sleep(CHECKS_EVERY_S)
            try:
                await self.check()
            except (psycopg.Error, OSError) as error:
                log.warning("sockets could not be checked, this is tried again: %s", error)


_guards: WeakKeyDictionary[asyncio.AbstractEventLoop, Guard] = WeakKeyDictionary()


def current() -> Guard:
    """The running event loop's guard."""
    return _guards.setdefault(asyncio.get_running_loop(), Guard())


async def shutdown() -> None:
    """Stop the running event loop's guard."""
    guard = _guards.pop(asyncio.get_running_loop(), None)
    if guard is not None:
        guard.stop()
