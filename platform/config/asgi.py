"""The ASGI application: one process, two lanes, and the lifespan of what they share.

`/api/v1/` (the wire protocol) takes the fast lane: Django's URL resolver and views, none of its
middleware and request signals, whose thread hops would cost more than the work itself. Views there
are async and talk to PostgreSQL through `core.database`, not through the ORM. Everything else
(admin, pages, static files) is ordinary Django.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest, get_script_prefix
from django.http import Http404, HttpResponseBase, JsonResponse
from django.urls import get_resolver, set_script_prefix

from core import lifespan

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

FAST_PREFIX = "/api/v1/"


class _ClientLeft(Exception):
    """The client closed the connection before its request was read."""


class _BodyTooLarge(Exception):
    """The request's body is over settings.MAX_BODY_BYTES."""


class FastLane(ASGIHandler):
    """Resolve, call the async view, send what it returns; a client that leaves cancels the view."""

    def load_middleware(self, is_async: bool = False) -> None:
        """Load none."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one HTTP request."""
        set_script_prefix(get_script_prefix(scope))
        try:
            body = await _read_body(scope, receive)
        except _ClientLeft:
            return
        except _BodyTooLarge:
            limit = settings.MAX_BODY_BYTES // (1024 * 1024)
            detail = f"Request body too large: at most {limit} MB are accepted"
            await self.send_response(JsonResponse({"detail": detail}, status=413), send)
            return
        view = asyncio.ensure_future(self._respond(scope, body))
        gone = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({view, gone}, return_when=asyncio.FIRST_COMPLETED)
            if view.done():
                await self.send_response(view.result(), send)
        finally:
            gone.cancel()
            if not view.done():
                view.cancel()
                await asyncio.gather(view, return_exceptions=True)

    async def _respond(self, scope: Any, body: bytes) -> HttpResponseBase:
        try:
            request = ASGIRequest(scope, BytesIO())
            request._body = body
            match = get_resolver().resolve(request.path_info)
            request.resolver_match = match
            return await match.func(request, *match.args, **match.kwargs)
        except Http404:
            return JsonResponse({"detail": f"No such address: {scope['path']}"}, status=404)
        except UnicodeDecodeError:
            return JsonResponse({"detail": "The request is not valid UTF-8"}, status=400)
        except Exception:
            log.exception("%s %s failed", scope.get("method"), scope.get("path"))
            return JsonResponse({"detail": "Internal server error"}, status=500)


async def _read_body(scope: Any, receive: Receive) -> bytes:
    """The whole body. One that is too large is read to its end and dropped, so that the client,
    still sending, gets to see the refusal."""
    limit = settings.MAX_BODY_BYTES
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_large = length.isdigit() and int(length) > limit
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientLeft
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            too_large = True
            chunks.clear()
        if chunk and not too_large:
            chunks.append(chunk)
        if not message.get("more_body") or size > 4 * limit:
            break
    if too_large:
        raise _BodyTooLarge
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Receive, send: Send) -> None:
    """Open what requests share, wait for the end, close it."""
    while True:
        message = await receive()
        step = message["type"].removeprefix("lifespan.")
        try:
            await (lifespan.startup() if step == "startup" else lifespan.shutdown())
        except Exception as error:
            log.exception("%s failed", step)
            await send({"type": f"lifespan.{step}.failed", "message": str(error)})
            return
        await send({"type": f"lifespan.{step}.complete"})
        if step == "shutdown":
            return


_pages = ASGIHandler()
_fast = FastLane()
# The first request should not pay for importing every view.
get_resolver().url_patterns  # noqa: B018


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Route a connection to its lane."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await (_fast if path.startswith(FAST_PREFIX) else _pages)(scope, receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4404})


