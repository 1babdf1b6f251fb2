"""The fast way through ASGI for programs: Django's URLs and views, without its middleware.

Django would write large bodies to temporary files before anybody looks at their size, and each
middleware costs a thread hop. Here a body above the limit is refused by its declared length, before
it is read, or as soon as it grows too long; and a view ends when its client hangs up, also in the
middle of a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, MutableMapping
from contextlib import aclosing
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponse
from django.urls import resolve

from core import encodings
from core.endpoint import TOO_LARGE_ATTRIBUTE, Refuse
from core.errors import ApiError, BadRequest, NotFound

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# of a body that is refused, this much is read: the ids stand at its beginning
BEGINNING_BYTES = 64 * 1024
BEGINNING_WITHIN_S = 1.0


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class EventStream(HttpResponse):
    """A response whose parts are sent as they come; the generator is closed whatever happens."""

    def __init__(self, parts: AsyncGenerator[bytes], content_type: str) -> None:
        super().__init__(content_type=content_type)
        self.parts = parts


class Lane:
    """The ASGI application for an API; `refuse` renders what goes wrong before there is a view."""

    def __init__(self, refuse: Refuse, max_body_bytes: int | None = None) -> None:
        self._refuse = refuse
        self._limit = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        refused: ApiError
        try:
            request = await self._read(scope, receive)
        except ClientGone:
            return
        except UnicodeDecodeError:
            refused = BadRequest("the request's address is not valid UTF-8")
            await _send(self._refuse(refused), send)
            return
        except ApiError as error:
            await _send(self._refuse(error), send)
            return
        await _until_hung_up(self._serve(request, send), receive)

    async def _serve(self, request: ASGIRequest, send: Send) -> None:
        """Send the response of the view that the URL names."""
        try:
            match = resolve(request.path_info)
        except Http404:
            await _send(self._refuse(NotFound(f"there is no {request.path}")), send)
            return
        request.resolver_match = match
        response = await match.func(request, *match.args, **match.kwargs)
        await _pack(request, response)
        await _send(response, send)

    async def _read(self, scope: Scope, receive: Receive) -> ASGIRequest:
        """The request with its body, or with the beginning of one that is too large."""
        limit = settings.MAX_BODY_BYTES if self._limit is None else self._limit
        declared = _declared_length(scope)
        chunks: list[bytes] = []
        size, more = 0, True
        refusal = _refusal(declared, limit) if declared > limit else None
        while more and refusal is None:
            chunk, more = await _next_chunk(receive)
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                refusal = _refusal(size, limit)
        if declared > limit:
            chunks.append(await _beginning(receive))
        body = b"".join(chunks) if refusal is None else chunks[0][:BEGINNING_BYTES]
        encoding = _header(scope, b"content-encoding").strip().lower()
        if encoding and encoding != "identity":
            body, complete = await _unpack(body, encoding, limit, cut=refusal is not None)
            if not complete and refusal is None:
                refusal = _refusal(len(body), limit)
            scope = _without(scope, b"content-encoding", b"content-length")
        if refusal is None:
            return ASGIRequest(scope, BytesIO(body))
        request = ASGIRequest(_without(scope, b"content-length"), BytesIO(body[:BEGINNING_BYTES]))
        setattr(request, TOO_LARGE_ATTRIBUTE, refusal)
        return request


def _refusal(size: int, limit: int) -> str:
    return (
        f"the request body has {size} bytes or more, this server takes {limit}; "
        "send the data in several requests"
    )


def _declared_length(scope: Scope) -> int:
    """The Content-Length header's number, 0 when there is none."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _header(scope: Scope, wanted: bytes) -> str:
    """A header's value, empty when there is none."""
    values = (value for name, value in scope["headers"] if name == wanted)
    return next(values, b"").decode("latin-1")


def _without(scope: Scope, *names: bytes) -> Scope:
    """The scope of a request whose body is not as these headers say."""
    headers = [pair for pair in scope["headers"] if pair[0] not in names]
    return {**scope, "headers": headers}


async def _unpack(body: bytes, encoding: str, limit: int, *, cut: bool) -> tuple[bytes, bool]:
    """(body unpacked up to the limit, whether that is all); what was `cut` may end anywhere."""
    if cut:
        try:
            return encodings.unpack(body, encoding, BEGINNING_BYTES)
        except BadRequest:
            return b"", False
    if len(body) < encodings.IN_PLACE_BYTES // 16:
        # even this may unpack to a lot, so small pieces first
        opened, complete = encodings.unpack(body, encoding, min(limit, encodings.IN_PLACE_BYTES))
        if complete:
            return opened, True
    return await asyncio.to_thread(encodings.unpack, body, encoding, limit)


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


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    """(bytes, whether more follow)."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


async def _beginning(receive: Receive) -> bytes:
    """The first bytes of a body, if they come at once."""
    try:
        chunk, _ = await asyncio.wait_for(_next_chunk(receive), BEGINNING_WITHIN_S)
    except TimeoutError:
        return b""
    return chunk


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


async def _send(response: HttpResponse, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    if isinstance(response, EventStream):
        async with aclosing(response.parts):
            async for part in response.parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": response.content})
