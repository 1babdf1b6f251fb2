"""Clients that can be used before the server has made what they stand for."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from tinsmith._session import background
from tinsmith._session.futures import APIFuture
from tinsmith._words.mistakes import Named, explained
from tinsmith._words.shown import short

Info = TypeVar("Info")
Self = TypeVar("Self", bound="Ready[Any]")


@explained
class Ready(Named, Generic[Info]):
    """Base of the clients a ``ServiceClient`` makes.

    Such a client is returned at once, while the server still makes its run or sampler. Using it
    waits as needed; ``.result()`` and ``await`` wait now, return the client itself and raise what
    went wrong.
    """

    def __init__(self, created: APIFuture[Info]) -> None:
        self._created = created

    def result(self: Self, timeout: float | None = None) -> Self:
        """Wait until the server has made it.

        Raises:
            TimeoutError: it is not there yet.
            TinsmithError: it could not be made, e.g. BadRequestError for an unknown base model.
        """
        self._created.result(timeout)
        return self

    async def result_async(self: Self, timeout: float | None = None) -> Self:
        """Like `result`, for asynchronous code."""
        await self._created.result_async(timeout)
        return self

    def future(self: Self) -> Future[Self]:
        """A ``concurrent.futures.Future`` of the client."""

        async def wait() -> Self:
            return await self

        return background.run(wait())

    async def coroutine(self: Self) -> Self:
        """The wait as a coroutine, for ``asyncio.create_task``."""
        return await self

    def __await__(self: Self) -> Generator[Any, None, Self]:
        return self.result_async().__await__()

    def _shown(self, made: Info) -> str:
        """What has been made, in short."""
        return short(made)

    def __repr__(self) -> str:
        name, created = type(self).__name__, self._created
        if not created.done():
            return f"<{name}: being made; .result() waits for it>"
        if created.cancelled():
            return f"<{name}: cancelled>"
        error = created.exception()
        if error is not None:
            return f"<{name}: could not be made: {short(str(error))}>"
        return f"<{name} {self._shown(created.result())}>"
