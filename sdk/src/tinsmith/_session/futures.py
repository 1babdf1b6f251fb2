"""``APIFuture``: how one waits for a result, with or without an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from tinsmith._session import background
from tinsmith._words.mistakes import explained, no_such_name
from tinsmith._words.shown import short

T = TypeVar("T")


@explained
class APIFuture(Generic[T]):
    """The result of a request that is already on its way.

    ``future.result()`` waits in plain code, ``await future`` in asynchronous code; both may be
    called any number of times. Giving up waiting (a timeout, a cancelled task) leaves the request
    running; of samples see `SampleFuture`.

    >>> import tinsmith
    >>> fwd = training.forward_backward(data, "cross_entropy")
    >>> step = training.optim_step(tinsmith.AdamParams(learning_rate=1e-4))
    >>> fwd.result().loss, step.result().metrics
    (..., {'unclipped_grad_norm:mean': ...})
    """

    def __init__(self, future: concurrent.futures.Future[T]) -> None:
        self._future = future

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result, at most ``timeout`` seconds.

        Raises:
            TimeoutError: it is not there yet; ask again later.
            TinsmithError: the request failed.
        """
        future = self.future()
        if not future.done() and background.is_here():
            raise RuntimeError(
                "result() was called on the SDK's own thread, where it would wait for itself; "
                "use await, or call it from your own code"
            )
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise
            # not the builtin before Python 3.11
            raise TimeoutError(f"no result within {timeout} s; the request goes on") from None

    async def result_async(self, timeout: float | None = None) -> T:
        """Like `result`, for asynchronous code."""
        waiting = asyncio.shield(asyncio.wrap_future(self.future()))
        try:
            return await asyncio.wait_for(waiting, timeout)
        except asyncio.TimeoutError:
            if self.future().done():
                raise
            raise TimeoutError(f"no result within {timeout} s; the request goes on") from None

    def future(self) -> concurrent.futures.Future[T]:
        """The ``concurrent.futures.Future`` inside, for ``wait`` and ``as_completed``."""
        return self._future

    def done(self) -> bool:
        """Whether the result, or the failure, is there."""
        return self.future().done()

    def cancel(self) -> bool:
        """Stop waiting for good. A request the server already has is still done there.

        Samples are the exception: the server is told to stop drawing.
        """
        return self.future().cancel()

    def cancelled(self) -> bool:
        """Whether `cancel` came in time."""
        return self.future().cancelled()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, and return the failure instead of raising it; None when all went well."""
        return self.future().exception(timeout)

    def add_done_callback(self, call: Callable[[concurrent.futures.Future[T]], Any]) -> None:
        """Call ``call(future)`` when it is done, on the SDK's thread: it must not wait."""
        self.future().add_done_callback(call)

    async def coroutine(self) -> T:
        """The future as a coroutine, for ``asyncio.create_task``."""
        return await self

    def __await__(self) -> Generator[Any, None, T]:
        return self.result_async().__await__()

    def __repr__(self) -> str:
        name, future = type(self).__name__, self.future()
        if not future.done():
            return f"<{name}: not done yet; .result() waits for it>"
        if future.cancelled():
            return f"<{name}: cancelled>"
        error = future.exception()
        if error is not None:
            return f"<{name}: failed: {short(f'{type(error).__name__}: {error}')}>"
        return f"<{name}: done: {short(future.result())}>"

    if not TYPE_CHECKING:  # type checkers know what a future has

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_") or hasattr(type(self), name):
                no_such_name(self, name)
            raise AttributeError(
                f"this is a future, and {name!r} is asked of its result; wait for that first: "
                f"future.result().{name}, or (await future).{name}"
            )

        def __getitem__(self, index: object) -> NoReturn:
            raise TypeError(
                "this is a future, and an entry is asked of its result; wait for that first: "
                "future.result()[…], or (await future)[…]"
            )


@explained
class SampleFuture(APIFuture[T]):
    """Of a sample: whoever gives up waiting in asynchronous code, by a timeout or as a cancelled
    task, gives up the sample, and the server stops drawing it.

    ``result(timeout)`` of plain code leaves it running, so that one may ask again.
    """

    async def result_async(self, timeout: float | None = None) -> T:
        """Like `result`, for asynchronous code; gives up the sample when the time is over."""
        try:
            return await super().result_async(timeout)
        except asyncio.CancelledError:
            self.cancel()
            raise
        except TimeoutError:
            if not self.cancel():
                raise
            raise TimeoutError(f"no sample within {timeout} s; it was given up") from None


AwaitableConcurrentFuture = APIFuture
