"""Who is at the other end when proxies stand between: as many as TINSMITH_PROXIES says.

Each proxy appends to X-Forwarded-For the address that it was called from. What stands further to
the left than our own proxies wrote was written by the caller, who may write anything.
"""

from __future__ import annotations

from django.conf import settings

from core.bodies import Scope


def seen_through(scope: Scope) -> Scope:
    """A request's scope with the address and the scheme that the outermost of our proxies saw."""
    count = settings.PROXIES
    if not count:
        return scope
    seen = {**scope}
    addresses = _listed(scope, b"x-forwarded-for")
    if addresses:
        seen["client"] = (addresses[-count:][0], 0)
    schemes = _listed(scope, b"x-forwarded-proto")
    if schemes and (scheme := schemes[-count:][0].lower()) in ("http", "https"):
        seen["scheme"] = scheme
    return seen


def _listed(scope: Scope, wanted: bytes) -> list[str]:
    """The entries of a header that may stand there several times."""
    values = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return [entry.strip() for value in values for entry in value.split(",") if entry.strip()]
