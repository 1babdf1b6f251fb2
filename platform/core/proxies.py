"""Who is at the other end when proxies stand between: as many as TINSMITH_PROXIES says.

Each proxy appends to X-Forwarded-For the address that it was called from. What stands further to
the left than our own proxies wrote was written by the caller, who may write anything.
"""

from __future__ import annotations

import ipaddress
import re

from django.conf import settings

from core.bodies import Scope

_BRACKETED = re.compile(r"\[(.*)\](?::\d+)?")
_WITH_PORT = re.compile(r"([\d.]+):\d+", re.ASCII)


def seen_through(scope: Scope) -> Scope:
    """A request's scope with the address and the scheme that the outermost of our proxies saw."""
    count = settings.PROXIES
    if not count:
        return scope
    seen = {**scope}
    addresses = _listed(scope, b"x-forwarded-for")
    if addresses:
        seen["client"] = (_plain(addresses[-count:][0]), 0)
    schemes = _listed(scope, b"x-forwarded-proto")
    if schemes and (scheme := schemes[-count:][0].lower()) in ("http", "https"):
        seen["scheme"] = scheme
    return seen


def _listed(scope: Scope, wanted: bytes) -> list[str]:
    """The entries of a header that may stand there several times."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [entry.strip() for value in values for entry in value.split(",") if entry.strip()]


def _plain(entry: str) -> str:
    """An address without the port that some proxies write behind it, and IPv4 always as such."""
    ported = _BRACKETED.fullmatch(entry) or _WITH_PORT.fullmatch(entry)
    address = ported[1] if ported else entry
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)
