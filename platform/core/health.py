"""`/healthz`: for launchers and proxies, which reach the process under whatever name they like.

It stands before Django, so that neither its host names nor a crowd at its pages are in the way.
"""

from __future__ import annotations

from django.http import HttpResponse

from core import disk
from core.bodies import Receive, Scope
from core.endpoint import reply
from core.lane import Send, send_response

PATH = "/healthz"


def answer() -> HttpResponse:
    """200 and ok, or 503 and what is wrong."""
    trouble = disk.trouble()
    if trouble is not None:
        return reply({"status": "failing", "detail": trouble}, 503)
    return reply({"status": "ok"})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application at `PATH`."""
    response = answer()
    if scope["method"] not in ("GET", "HEAD"):
        response = reply({"detail": f"{scope['method']} is not allowed here; allowed: GET"}, 405)
        response.headers["Allow"] = "GET, HEAD"
    response.headers["Cache-Control"] = "no-store"
    await send_response(response, send)
