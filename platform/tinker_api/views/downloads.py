"""Files behind signed addresses: no key is asked for, the signature says what may be had."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse

from checkpoints import downloads
from core import links, ranges
from core.errors import NotFound
from core.lane import EventStream
from core.openapi import Given, Raw, says
from runs import trace
from tinker_api.endpoint import Call, reply
from tinker_api.shapes import BINARY

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


@says(
    gives=Raw("application/octet-stream", "The file.", BINARY),
    given=(
        Given("Range", str, "`bytes=START-END`, one range of a checkpoint's file.", "header"),
        Given("If-Range", str, "The `ETag` of which one has the beginning.", "header"),
    ),
    also={
        206: (Raw("application/octet-stream", "A part of it.", BINARY), "The range."),
        410: ((), "The link has expired."),
        416: ((), "There are no such bytes."),
    },
)
async def download(call: Call, signed: str, name: str) -> HttpResponse:
    """The bytes that a signed address leads to, in pieces.

    `Range` (one of them) gives a part of a checkpoint's file, `If-Range` only of the same version.
    """
    claims = links.read(signed)
    if claims["name"] != name:
        raise NotFound("there is no such download; ask for a new link")
    asks = call.request.method != "HEAD"
    if claims["kind"] == "trace":
        parts = trace.write_trace(session_id=claims["session"], team_id=claims["team"])
        return _attachment(EventStream(parts, OCTETS) if asks else HttpResponse(), name)
    found = await downloads.open_download(claims)
    headers, version = call.request.headers, f'"{found.version}"'
    chosen = None
    try:
        if asks:
            chosen = ranges.choose(
                headers.get("Range", ""),
                headers.get("If-Range", ""),
                size=found.size,
                version=version,
            )
    except ranges.Unsatisfiable:
        refusal = reply({"detail": f"there are no such bytes: the file has {found.size}"}, 416)
        refusal.headers["Content-Range"] = f"bytes */{found.size}"
        return refusal
    start, end = chosen or (0, found.size)
    response = EventStream(found.read(start, end), OCTETS) if asks else HttpResponse()
    if chosen is not None:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    response.headers["Content-Length"] = str(end - start)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["ETag"] = version
    return _attachment(response, name)


def _attachment(response: HttpResponse, name: str) -> HttpResponse:
    response.headers["Content-Type"] = OCTETS
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
