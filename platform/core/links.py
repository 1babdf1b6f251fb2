"""Addresses that work without a key until they expire: what they give is signed into them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core import signing

from core.errors import Gone, NotFound

LASTS = timedelta(hours=1)
_SALT = "tinsmith.downloads"


def expiry(latest: datetime | None = None) -> datetime:
    """When a link made now expires: in an hour, or with what it leads to."""
    end = datetime.now(UTC).replace(microsecond=0) + LASTS
    return end if latest is None else min(end, latest)


def sign(expires: datetime, **claims: Any) -> str:
    """The signed part of an address; only this server's secret makes one."""
    return signing.dumps({**claims, "until": int(expires.timestamp())}, salt=_SALT)


def read(token: str) -> dict[str, Any]:
    """The claims of a signed part.

    Raises:
        NotFound: nobody has signed this. Gone: it has expired.
    """
    try:
        claims: dict[str, Any] = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        raise NotFound("there is no such download; ask for a new link") from None
    if claims["until"] <= time.time():
        raise Gone("the link has expired; ask for a new one")
    return claims
