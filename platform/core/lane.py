"""The fast way through ASGI for programs: Django's URLs and views, without its middleware.

Django would write large bodies to temporary files before anybody looks at their size, and each
middleware costs a thread hop. Here bodies are read within bounds (core/bodies.py), and a view ends
when its client hangs up, also in the middle of a stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing, closing
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponse
from django.urls import resolve

from core import admission, bodies, encodings
from core.admission import Room
from core.bodies import ClientGone, Message, Receive, Scope
from core.endpoint import TOO_LARGE_ATTRIBUTE, Refuse, as_api_error
from core.errors import ApiError, BadRequest, NotFound, let_go

log = logging.getLogger(__name__)

Send = Callable[[Message], Awaitable[None]]
# from a request's headers to the team that asks; raises Unauthorized
WhoAsks = Callable[[Scope], Awaitable[int]]


class EventStream(HttpResponse):
    """A response whose parts are sent as they come; the generator is closed whatever happens."""

    def __init__(self, parts: AsyncGenerator[bytes], content_type: str) -> None:
        super().__init__(content_type=content_type)
        self.parts = parts


class Lane:
    """The ASGI application for an API.

    Args:
        refuse: renders what goes wrong before there is a view. who_asks: finds out whose share of
            the room for large bodies a request takes.
    """

    def __init__(
        self, refuse: Refuse, who_asks: WhoAsks, max_body_bytes: int | None = None
    ) -> None:
        self._refuse = refuse
        self._who_asks = who_asks
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        with closing(Room(admission.bodies, lambda: self._who_asks(scope))) as room:
            try:
                request = await self._read(scope, receive, room)
            except ClientGone:
                return
            except UnicodeDecodeError:
                refused: ApiError = BadRequest("the request's address is not valid UTF-8")
                await send_response(self._refuse(refused), send)
                return
            except Exception as error:
                refused = as_api_error(error, f"{scope['method']} {scope['path']}")
                await send_response(self._refuse(refused), send)
                return
            try:
                await _until_hung_up(self._serve(request, send, room), receive)
            except Exception as error:
                # the server closes the connection: an answer may be half sent
                log.error("%s %s broke off", scope["method"], scope["path"], exc_info=error)
                let_go(error)
                raise

    async def _serve(self, request: ASGIRequest, send: Send, room: Room) -> None:
        """Send the response of the view that the URL names."""
        try:
            match = resolve(request.path_info)
        except Http404:
            await send_response(self._refuse(NotFound(f"there is no {request.path}")), send)
            return
        request.resolver_match = match
        response = await match.func(request, *match.args, **match.kwargs)
        # nothing waits for it any more, and the answer may take long to send
        _drop_body(request)
        room.close()
        if request.method == "HEAD":
            await send_response(_head_of(response), send)
            return
        await _pack(request, response)
        await send_response(response, send)

    async def _read(self, scope: Scope, receive: Receive, room: Room) -> ASGIRequest:
        """The request with its body, or with the beginning of one that is too large."""
        limit = settings.MAX_BODY_BYTES if self._limit is None else self._limit
        body = await bodies.read(scope, receive, limit, room)
        if body.refusal is not None or bodies.header(scope, b"content-encoding"):
            # the length that is declared is not that of these bytes
            scope = _without(scope, b"content-encoding", b"content-length")
        request = ASGIRequest(scope, BytesIO(body.content))
        if body.refusal is not None:
            setattr(request, TOO_LARGE_ATTRIBUTE, body.refusal)
        return request


def _drop_body(request: ASGIRequest) -> None:
    request._body = b""
    request._stream = BytesIO()


def _without(scope: Scope, *names: bytes) -> Scope:
    """The scope of a request whose body is not as these headers say."""
    headers = [pair for pair in scope["headers"] if pair[0] not in names]
    return {**scope, "headers": headers}


def _head_of(response: HttpResponse) -> HttpResponse:
    """A response without what HEAD does not ask for."""
    return HttpResponse(status=response.status_code, headers=dict(response.items()))


async def _pack(request: ASGIRequest, response: HttpResponse) -> None:
    """Pack a large answer if its client reads packed ones."""
    body = response.content
    if len(body) < encodings.PACK_FROM_BYTES or isinstance(response, EventStream):
        return
    encoding = encodings.choose(request.headers.get("Accept-Encoding", ""))
    if encoding is None or response.headers.get("Content-Encoding"):
        return
    in_place = len(body) < encodings.IN_PLACE_BYTES
    packed = (
        encodings.pack(body, encoding)
        if in_place
        else await asyncio.to_thread(encodings.pack, body, encoding)
    )
    if packed is not None:
        response.content = packed
        response.headers["Content-Encoding"] = encoding
        response.headers["Content-Length"] = str(len(packed))
        response.headers["Vary"] = "Accept-Encoding"


async def _until_hung_up(serving: Coroutine[Any, Any, None], receive: Receive) -> None:
    """Run `serving` to its end, or until the client hangs up: then it is cancelled."""
    task = asyncio.create_task(serving)
    listener = asyncio.create_task(_hang_up(receive))
    try:
        await asyncio.wait({task, listener}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        for unfinished in (task, listener):
            unfinished.cancel()
        await asyncio.gather(task, listener, return_exceptions=True)


async def _hang_up(receive: Receive) -> None:
    """Return when the client is gone; what it still sends of a refused body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_response(response: HttpResponse, send: Send) -> None:
    """Send a response whole, or in its parts."""
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    if isinstance(response, EventStream):
        async with aclosing(response.parts):
            async for part in response.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": response.content})
