"""This API's manners: the key as a bearer token (or in X-API-Key), errors in OpenAI's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.http import HttpRequest

from accounts.keys import Caller, authenticate
from core.endpoint import Handler, Manners, View, make_view
from core.errors import Unauthorized
from core.json_bodies import decode
from openai_api.errors import refuse

T = TypeVar("T")
_MISSING = "Missing API key: send it as `Authorization: Bearer tml-…` (or in X-API-Key)"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, and what came."""

    caller: Caller
    request: HttpRequest

    def json(self, schema: type[T]) -> T:
        """The body as a `schema`; raises BadRequest."""
        return decode(self.request.body, schema, nul_allowed=True)


async def _admit(request: HttpRequest, open_to_all: bool) -> Call:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = request.headers.get("X-API-Key", "")
    if not key:
        raise Unauthorized(_MISSING)
    return Call(await authenticate(key.strip()), request)


def _require(call: Call, scope: str) -> None:
    call.caller.require(scope)


_MANNERS = Manners(_admit, _require, refuse)


def endpoint(*, scope: str | None = None, **handlers: Handler) -> View:
    """A view that serves the HTTP methods named by `handlers`; see `core.endpoint.make_view`."""
    return make_view(_MANNERS, handlers, scope=scope)
