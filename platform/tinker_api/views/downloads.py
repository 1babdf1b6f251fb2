"""Files behind signed addresses: no key is asked for, the signature says what may be had."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from django.conf import settings
from django.http import HttpResponse

from checkpoints import downloads
from core import links
from core.errors import NotFound
from core.lane import EventStream
from runs import trace
from tinker_api.endpoint import Call

_PREFIX = "/api/v1/"
OCTETS = "application/octet-stream"


def url_of(call: Call, signed: str, name: str) -> str:
    """The whole address of a signed download, by the name under which the client reached us.

    Only who asks gets to see it, so a made-up Host header misleads nobody else.
    """
    request = call.request
    host = request.headers.get("Host") or "localhost"
    base = settings.PUBLIC_URL or f"{request.scheme}://{host}"
    mounted = request.path[: request.path.index(_PREFIX)] if not settings.PUBLIC_URL else ""
    return f"{base}{mounted}{_PREFIX}downloads/{signed}/{name}"


async def download(call: Call, signed: str, name: str) -> HttpResponse:
    """The bytes that a signed address leads to, in pieces."""
    claims = links.read(signed)
    if claims["name"] != name:
        raise NotFound("there is no such download; ask for a new link")
    if claims["kind"] == "trace":
        parts = trace.write_trace(session_id=claims["session"], team_id=claims["team"])
        return _attachment(parts, name, None)
    found = await downloads.open_download(claims)
    return _attachment(found.chunks, name, found.size)


def _attachment(parts: AsyncGenerator[bytes], name: str, size: int | None) -> HttpResponse:
    response = EventStream(parts, OCTETS)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if size is not None:
        response.headers["Content-Length"] = str(size)
    return response
