"""The wire protocol's manners: the key in X-API-Key, errors as `{"detail": …}`.

A route is `endpoint(post=handler)`. A handler takes a `Call` (and the path's parts) and returns a
response or raises an ApiError; `core.endpoint` deals with everything else that can happen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from django.http import HttpRequest, HttpResponse

from accounts.actors import Actor
from accounts.keys import authenticate
from core.bodies import Scope, header
from core.endpoint import JSON, Handler, Manners, OnRefusal, View, make_view, raw_reply, reply
from core.errors import ApiError
from core.json_bodies import decode

__all__ = ["JSON", "NOBODY", "Call", "endpoint", "raw_reply", "refuse", "reply"]

NOBODY = Actor(team_id=0, team_name="")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks (NOBODY on a route that is open to all), and what came."""

    actor: Actor
    request: HttpRequest

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.request.body

    def json(self, schema: type[T], *, nul_allowed: bool = False) -> T:
        """The body as a `schema`; raises BadRequest. `nul_allowed`: see `core.json_bodies`."""
        return decode(self.body, schema, nul_allowed=nul_allowed)


def refuse(error: ApiError) -> HttpResponse:
    """A refusal as clients of the wire protocol read it."""
    response = reply({"detail": error.detail}, error.status)
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


async def who_asks(scope: Scope) -> int:
    """The team whose key a request's headers hold. Raises Unauthorized."""
    return (await authenticate(header(scope, b"x-api-key"))).team_id


async def _admit(request: HttpRequest, open_to_all: bool) -> Call:
    actor = NOBODY if open_to_all else await authenticate(request.headers.get("X-API-Key", ""))
    return Call(actor, request)


def _require(call: Call, scope: str) -> None:
    call.actor.require(scope)


_MANNERS = Manners(_admit, _require, refuse)


def endpoint(
    *,
    scope: str | None = None,
    open_to_all: bool = False,
    on_refusal: OnRefusal[Call] | None = None,
    **handlers: Handler,
) -> View:
    """A view that serves the HTTP methods named by `handlers`; see `core.endpoint.make_view`."""
    return make_view(
        _MANNERS, handlers, scope=scope, open_to_all=open_to_all, on_refusal=on_refusal
    )
