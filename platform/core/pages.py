"""What stands before Django's own way through ASGI: pages need no key, so they take little.

Django writes a body of any size away before anybody looks at it, and gives every request a thread.
Here bodies of pages are small and come soon, and so many pages are made at once, others in turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

from core.bodies import ClientGone, Message, Receive, Scope, TooSlow, header, next_chunk
from core.endpoint import Unavailable
from core.errors import ApiError, TooLarge

Send = Callable[[Message], Awaitable[None]]

BODY_BYTES = 256 * 1024
BODY_WITHIN_S = 10.0
# bodies that come in several pieces
BODIES_AT_ONCE = 16
AT_ONCE = 16
MOST_WAITING = 32
ANSWER_WITHIN_S = 120.0
_BUSY = "the server is busy with other pages; try again"


class Turns:
    """So many at once, so many waiting, the others refused; for each event loop by itself."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._at_once, self._most_waiting = at_once, most_waiting
        self._turns: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()
        self.waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises Unavailable if too many wait already."""
        loop = asyncio.get_running_loop()
        turns = self._turns.setdefault(loop, asyncio.Semaphore(self._at_once))
        if turns.locked() and self.waiting >= self._most_waiting:
            raise Unavailable(_BUSY)
        self.waiting += 1
        try:
            await turns.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            turns.release()


class Pages:
    """The ASGI application of pages, around Django's own."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._bodies = Turns(BODIES_AT_ONCE, 0)
        self._pages = Turns(AT_ONCE, MOST_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        try:
            body = await self._read(scope, receive)
            await self._make(scope, _having(body, receive), send)
        except ClientGone:
            return
        except ApiError as error:
            await _refuse(error, send)

    async def _make(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have Django answer; its turn ends when the answer begins, for some read slowly."""
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(self._pages.turn())

            async def send_and_let_in(message: Message) -> None:
                await turn.aclose()
                await send(message)

            # an answer cut off in the middle is what closes the connection
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    await self._app(scope, receive, send_and_let_in)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The body. Raises TooLarge, TooSlow, Unavailable, ClientGone."""
        length = header(scope, b"content-length")
        if length.isdigit() and int(length) > BODY_BYTES:
            raise _too_large()
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                body, more = await next_chunk(receive)
                if more:
                    async with self._bodies.turn():
                        while more and len(body) <= BODY_BYTES:
                            chunk, more = await next_chunk(receive)
                            body += chunk
        except TimeoutError:
            raise TooSlow(f"the body did not come within {BODY_WITHIN_S:.0f} s") from None
        if len(body) > BODY_BYTES:
            raise _too_large()
        return body


def _too_large() -> ApiError:
    return TooLarge(f"the request body is larger than the {BODY_BYTES} bytes that pages take")


def _having(body: bytes, receive: Receive) -> Receive:
    """What Django receives: the body, then whatever else comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return left.pop() if left else await receive()

    return receive_again


async def _refuse(error: ApiError, send: Send) -> None:
    text = error.detail.encode()
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(text)),
        "X-Content-Type-Options": "nosniff",
        **error.headers,
    }
    pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": text})
