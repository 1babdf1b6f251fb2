"""The ASGI application: one process, two lanes, and the lifespan of what they share.

`/api/v1/` (the wire protocol) and `/v1/` (the OpenAI-compatible API) take the fast lane
(core/lane.py): Django's URLs and views, none of its middleware and request signals, whose thread
hops would cost more than the work itself. Views there are async and talk to PostgreSQL through
`core.database`, not through the ORM. WebSockets have a way of their own
(live/consumer.py). Everything else (admin, pages, static files) is ordinary Django behind
`core.pages`.
"""

import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from django.core.handlers.asgi import ASGIHandler
from django.urls import get_resolver

from core import cors, health, lifespan, proxies
from core.pages import Pages
from live import consumer as live
from openai_api.lane import OpenaiLane
from runs import listening
from tinker_api.lane import WireLane

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def _start() -> None:
    await lifespan.startup()
    await listening.startup()


async def _stop() -> None:
    await live.shutdown()
    await listening.shutdown()
    await lifespan.shutdown()


async def _lifespan(receive: Receive, send: Send) -> None:
    """Open what requests share, wait for the end, close it."""
    while True:
        message = await receive()
        step = message["type"].removeprefix("lifespan.")
        try:
            await (_start() if step == "startup" else _stop())
        except Exception as error:
            log.exception("%s failed", step)
            await send({"type": f"lifespan.{step}.failed", "message": str(error)})
            return
        await send({"type": f"lifespan.{step}.complete"})
        if step == "shutdown":
            return


_pages = Pages(ASGIHandler())
_fast_lanes = {"/api/v1/": cors.allow(WireLane()), "/v1/": cors.allow(OpenaiLane())}
# The first request should not pay for importing every view.
get_resolver().url_patterns  # noqa: B018


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Route a connection to its lane."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        scope = proxies.seen_through(scope)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path == health.PATH:
            await health.application(scope, receive, send)
            return
        lanes = (lane for prefix, lane in _fast_lanes.items() if path.startswith(prefix))
        await next(lanes, _pages)(scope, receive, send)
    elif scope["type"] == "websocket":
        await live.application(proxies.seen_through(scope), receive, send)
