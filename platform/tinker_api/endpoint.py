"""What all routes of the wire protocol have in common: the key, errors as JSON, whole responses.

A route is `endpoint(post=handler)`. A handler takes a `Call` (and the path's parts) and returns a
response or raises an ApiError; everything else that can happen is dealt with here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import psycopg
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from psycopg_pool import PoolClosed, PoolTimeout

from accounts.keys import Caller, authenticate
from core.errors import ApiError, NotFound, TooLarge
from tinker_api import schemas

log = logging.getLogger(__name__)

JSON = "application/json"
TRY_AGAIN_AFTER_S = 2
# set on a request whose body was not read because of its size: the refusal
TOO_LARGE_ATTRIBUTE = "tinsmith_too_large"
NOBODY = Caller(team_id=0, key_id=0, team_name="")
T = TypeVar("T")


class MethodNotAllowed(ApiError):
    """The path exists, but not for this HTTP method."""

    status = 405


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks (NOBODY on a route that is open to all), and what came."""

    caller: Caller
    request: HttpRequest

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.request.body

    def json(self, schema: type[T]) -> T:
        """The body as a `schema`; raises BadRequest."""
        return schemas.decode(self.body, schema)


Handler = Callable[..., Awaitable[HttpResponse]]
Hook = Callable[[Call], Awaitable[None]]
View = Callable[..., Coroutine[Any, Any, HttpResponse]]


def reply(value: Any, status: int = 200) -> HttpResponse:
    """`value` as JSON."""
    return raw_reply(msgspec.json.encode(value), JSON, status)


def raw_reply(body: bytes, content_type: str, status: int = 200) -> HttpResponse:
    """`body` as it is, with its length: public clients take a 400 without one for a glitch."""
    response = HttpResponse(body, content_type=content_type, status=status)
    response.headers["Content-Length"] = str(len(body))
    return response


def error_reply(status: int, detail: str) -> HttpResponse:
    """A refusal."""
    return reply({"detail": detail}, status)


def endpoint(
    *,
    scope: str | None = None,
    open_to_all: bool = False,
    when_too_large: Hook | None = None,
    **handlers: Handler,
) -> View:
    """A view that serves the HTTP methods named by `handlers` (`get=`, `post=`, …).

    Args:
        scope: what the key must be allowed to do; None: any key will do.
        open_to_all: no key is asked for.
        when_too_large: called before a body above the limit is refused; the call then holds only
            the body's beginning.
    """
    by_method = {method.upper(): handler for method, handler in handlers.items()}

    async def view(request: HttpRequest, **parts: str) -> HttpResponse:
        try:
            call = await _admit(request, by_method, scope, open_to_all, parts)
            refusal = getattr(request, TOO_LARGE_ATTRIBUTE, None)
            if refusal is not None:
                if when_too_large is not None:
                    await when_too_large(call)
                raise TooLarge(refusal)
            return await by_method[request.method or ""](call, **parts)
        except MethodNotAllowed as error:
            response = error_reply(error.status, error.detail)
            response.headers["Allow"] = ", ".join(by_method)
        except ApiError as error:
            response = error_reply(error.status, error.detail)
        except RequestDataTooBig:
            response = error_reply(
                TooLarge.status, "the request body is larger than the server takes"
            )
        except (psycopg.OperationalError, PoolTimeout, PoolClosed) as error:
            log.error(
                "%s %s: the database does not answer: %s", request.method, request.path, error
            )
            response = error_reply(503, "the server cannot reach its database; try again")
            response.headers["Retry-After"] = str(TRY_AGAIN_AFTER_S)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response = error_reply(500, "internal error")
        return response

    # API keys, not cookies, say who asks: there is nothing for a foreign page to ride on
    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.methods = tuple(by_method)  # type: ignore[attr-defined]
    view.open_to_all = open_to_all  # type: ignore[attr-defined]
    return view


async def _admit(
    request: HttpRequest,
    methods: Collection[str],
    scope: str | None,
    open_to_all: bool,
    parts: dict[str, str],
) -> Call:
    """The call, once the key, its scope and the method are known to be good."""
    caller = NOBODY if open_to_all else await authenticate(request.headers.get("X-API-Key", ""))
    if (request.method or "") not in methods:
        raise MethodNotAllowed(
            f"{request.method} is not allowed here; allowed: {', '.join(methods)}"
        )
    if scope is not None:
        caller.require(scope)
    if any("\0" in part for part in parts.values()):
        raise NotFound("there is no such path: it holds a NUL character")
    return Call(caller, request)
