"""This API's manners: the key as a bearer token (or in X-API-Key), errors in OpenAI's shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.http import HttpRequest

from accounts.actors import Actor
from accounts.keys import authenticate
from core.bodies import Scope, header
from core.endpoint import Handler, Manners, View, make_view
from core.errors import Unauthorized
from core.json_bodies import decode
from openai_api.errors import refuse

T = TypeVar("T")
_MISSING = "Missing API key: send it as `Authorization: Bearer tml-…` (or in X-API-Key)"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, and what came."""

    actor: Actor
    request: HttpRequest

    def json(self, schema: type[T]) -> T:
        """The body as a `schema`; raises BadRequest."""
        return decode(self.request.body, schema, nul_allowed=True)


async def _actor(authorization: str, api_key: str) -> Actor:
    scheme, _, key = authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = api_key
    if not key:
        raise Unauthorized(_MISSING)
    return await authenticate(key.strip())


async def who_asks(scope: Scope) -> int:
    """The team whose key a request's headers hold. Raises Unauthorized."""
    actor = await _actor(header(scope, b"authorization"), header(scope, b"x-api-key"))
    return actor.team_id


async def _admit(request: HttpRequest, open_to_all: bool) -> Call:
    headers = request.headers
    actor = await _actor(headers.get("Authorization", ""), headers.get("X-API-Key", ""))
    return Call(actor, request)


def _require(call: Call, scope: str) -> None:
    call.actor.require(scope)


_MANNERS = Manners(_admit, _require, refuse)


def endpoint(*, scope: str | None = None, **handlers: Handler) -> View:
    """A view that serves the HTTP methods named by `handlers`; see `core.endpoint.make_view`."""
    return make_view(_MANNERS, handlers, scope=scope)
