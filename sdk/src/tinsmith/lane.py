"""Keeps the requests of one training run in order.

The server works on a run's requests by their sequence numbers and waits for a missing one. So a
number is given only when a request is about to be sent, one request is sent after the one before it
was
taken, and a request that may or may not have arrived ends the lane: nobody can know what comes
    next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tinsmith import errors

T = TypeVar("T")

# With these the server has seen the request and counts it, though it refused
_COUNTED_REFUSALS = (
    errors.BadRequestError,
    errors.RequestTooLargeError,
    errors.UnprocessableEntityError,
)


class Lane:
    """The turns of one run. Everything here runs on the background loop."""

    def __init__(self, run: Callable[[], Awaitable[object]]) -> None:
        """``run`` waits until the run exists; it is asked before every turn."""
        self._run = run
        self._next = 1
        self._last: asyncio.Future[None] | None = None
        self._broken: str | None = None

    async def turn(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work``, which calls `send`, once the turns asked for before are over.

        A cancelled wait does not cancel the work: a number that was given must arrive.

        Raises:
            RunBrokenError: an earlier request was lost on the way.
        """
        loop = asyncio.get_running_loop()
        previous, mine = self._last, loop.create_future()
        self._last = mine
        return await asyncio.shield(loop.create_task(self._take(work, previous, mine)))

    async def _take(
        self,
        work: Callable[[], Awaitable[T]],
        previous: asyncio.Future[None] | None,
        mine: asyncio.Future[None],
    ) -> T:
        try:
            if previous is not None:
                await previous
            await self._run()
            if self._broken is not None:
                raise errors.RunBrokenError(self._broken)
            return await work()
        finally:
            mine.set_result(None)

    async def send(self, count: int, post: Callable[[int], Awaitable[T]]) -> T:
        """Within a turn: give ``count`` numbers in a row and call ``post`` with the first."""
        first = self._next
        self._next += count
        try:
            return await post(first)
        except _COUNTED_REFUSALS:
            raise
        except (errors.APIError, errors.SessionClosedError) as error:
            self._broken = (
                f"request {first} of this training run was lost on the way ({error}); nothing can "
                "follow it. Make a new training client from the last checkpoint: "
                "create_training_client_from_state_with_optimizer(path)"
            )
            raise
