"""Tells answers of a Tinsmith server from those of anything else at the address."""

from __future__ import annotations

import re

from tinsmith._http.http1 import Response
from tinsmith.errors import WrongServerError

_ADDRESS = "The address comes from base_url= or TINSMITH_BASE_URL"
_TITLE = re.compile(rb"<title[^>]*>\s*([^<]{1,80}?)\s*<", re.IGNORECASE)
# A server of ours answers these in JSON; of the others a proxy before it may say something
_OURS_ALONE = frozenset({401, 403, 404, 405, 501})


def kind_of(response: Response) -> str:
    """The media type."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def refusal(response: Response, server: str, what: str) -> WrongServerError | None:
    """The error for an answer that no Tinsmith server gives; None for what may be one's.

    Args:
        what: method and path of the request.
    """
    status, kind = response.status, kind_of(response)
    if 300 <= status < 400:
        target = response.headers.get("location", "nowhere")
        return WrongServerError(
            f"{server} sends elsewhere (HTTP {status} to {target}): give the address it sends to, "
            f"without the path of a request. {_ADDRESS}"
        )
    if status == 400 and b"HTTPS port" in response.body:
        return WrongServerError(
            f"{server} speaks TLS: write https:// instead of http://. {_ADDRESS}"
        )
    if (status < 300 or status in _OURS_ALONE) and "json" not in kind and kind != "":
        title = _TITLE.search(response.body[:4096])
        page = f" {title[1].decode(errors='replace')!r}" if title else ""
        return WrongServerError(
            f"what answers at {server} is no Tinsmith server: to {what} it says HTTP {status}, "
            f"{kind}{page}. {_ADDRESS}; it is where Tinsmith's front page opens in a browser"
        )
    return None
