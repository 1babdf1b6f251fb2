"""The ASGI application: one process, two lanes, and the lifespan of what they share.

`/api/v1/` takes the wire protocol's own lane (tinker_api/lane.py): Django's URLs and views, none of
its middleware and request signals, whose thread hops would cost more than the work itself. Views
there are async and talk to PostgreSQL through `core.database`, not through the ORM. Everything else
(admin, pages, static files) is ordinary Django.
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

from core import lifespan
from tinker_api.lane import WireLane

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

WIRE_PREFIX = "/api/v1/"


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
_wire = WireLane()
# The first request should not pay for importing every view.
get_resolver().url_patterns  # noqa: B018


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Route a connection to its lane."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        await (_wire if path.startswith(WIRE_PREFIX) else _pages)(scope, receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 4404})
