"""Keeps the requests of one training run in order.

The server works on a run's requests by their sequence numbers and waits for a missing one. So a
number is taken only when a request is about to be sent, one request is sent after the one before it
was taken, and what becomes of the number of a refused one is made sure of: the server's header
says it, else the number is withdrawn. A request that may or may not have arrived ends the lane:
nobody can know what comes next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tinsmith import errors

T = TypeVar("T")
Post = Callable[[int], Awaitable[T]]
# (first, last, why) → those of the numbers whose requests have come and may have been begun
Withdraw = Callable[[int, int, str], Awaitable[Sequence[int]]]

_PLACE = "x-tinsmith-sequence"
_HELD, _FREE = "held", "free"
# With these an older server has seen the request and counts it, though it refused
_COUNTED_REFUSALS = (
    errors.BadRequestError,
    errors.RequestTooLargeError,
    errors.UnprocessableEntityError,
)


class Lane:
    """The turns of one run. Everything here runs on the background loop."""

    def __init__(self, run: Callable[[], Awaitable[object]], withdraw: Withdraw) -> None:
        """``run`` waits until the run exists; it is asked before every turn.

        ``withdraw`` has the server give numbers up that will not come.
        """
        self._run = run
        self._withdraw = withdraw
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
            self._check_whole()
            return await work()
        finally:
            mine.set_result(None)

    def _check_whole(self) -> None:
        if self._broken is not None:
            raise errors.RunBrokenError(self._broken)

    async def send(self, posts: Sequence[Post[T]], *, parallel: bool = True) -> list[T]:
        """Within a turn: call each of ``posts`` with the next number; what they gave, in order.

        They are one batch. The first goes last, when all others were taken: the server starts when
        it has it. So when one of them is refused nothing has begun, and none is done.

        Raises:
            What the first of them to fail raised.
        """
        first = self._next
        self._next += len(posts)
        outcomes = await _post_all(posts, first, parallel=parallel)
        failures = [found for found in outcomes if isinstance(found, Exception)]
        if failures:
            await self._settle(first, outcomes, failures)
            raise failures[0]
        return outcomes  # type: ignore[return-value]

    async def _settle(
        self, first: int, outcomes: Sequence[object], failures: list[Exception]
    ) -> None:
        """Make sure of the numbers of a batch that was not taken."""
        lost = [error for error in failures if _is_lost(error)]
        if lost:
            self._break(first, lost[0])
        elif all(found is None or _place(found) == _FREE for found in outcomes):
            self._next = first
        elif len(outcomes) > 1 or _place(outcomes[0]) != _HELD:
            # with a first one that is held the server has refused the others, too; but not if its
            # number had been given up before it came: then they may have been begun
            await self._give_up(first, first + len(outcomes) - 1, failures)

    async def _give_up(self, first: int, last: int, failures: list[Exception]) -> None:
        """Have the server fill the numbers; without that, nobody knows how it counts."""
        try:
            standing = await self._withdraw(first, last, str(failures[0]))
        except errors.NotFoundError:
            # a server that does not know how counts what it refuses
            if not all(isinstance(error, _COUNTED_REFUSALS) for error in failures):
                self._break(first, failures[0])
        except errors.TinsmithError:
            self._break(first, failures[0])
        else:
            if standing:
                self._break(standing[0], failures[0])

    def _break(self, number: int, error: Exception) -> None:
        self._broken = (
            f"request {number} of this training run was lost on the way ({error}); nothing can "
            "follow it. Make a new training client from the last checkpoint: "
            "create_training_client_from_state_with_optimizer(path)"
        )


async def _post_all(
    posts: Sequence[Post[T]], first: int, *, parallel: bool
) -> list[T | Exception | None]:
    """What each post gave or raised; None for those that were not sent any more."""
    outcomes: list[T | Exception | None] = [None] * len(posts)

    async def post(index: int) -> bool:
        try:
            outcomes[index] = await posts[index](first + index)
        except Exception as error:
            outcomes[index] = error
            return False
        return True

    rest = range(1, len(posts))
    if parallel:
        taken = all(await asyncio.gather(*map(post, rest)))
    else:
        taken = True
        for index in rest:
            taken = taken and await post(index)
    if taken:
        await post(0)
    return outcomes


def _is_lost(error: Exception) -> bool:
    """Whether nobody can say if the request has arrived."""
    if isinstance(error, errors.APIStatusError):
        return error.status_code >= 500
    return isinstance(error, (errors.APIError, errors.SessionClosedError))


def _place(found: object) -> str | None:
    """What a refusal says of its number, if that is all there is to know."""
    if not isinstance(found, errors.APIStatusError):
        return None
    # what holds this time may not have held the time before, when the request may have been taken
    return None if found.may_have_arrived else found.headers.get(_PLACE)
