"""What all routes for programs have in common: the key, whole responses, every error an answer.

Each API has its `Manners`: where the key stands, what a handler is given, how a refusal looks.
A handler takes a call (and the path's parts) and returns a response or raises an ApiError;
everything else that can happen is dealt with here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
import psycopg
from django.conf import settings
from django.core import exceptions
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation, TooManyFieldsSent
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from psycopg_pool import PoolClosed, PoolTimeout

from core import disk
from core.errors import ApiError, BadRequest, NotFound, TooLarge, let_go

log = logging.getLogger(__name__)

JSON = "application/json"
TRY_AGAIN_AFTER_S = 2
_NUL_STATES = {"22021", "22P05"}  # character_not_in_repertoire, untranslatable_character
# set on a request whose body was not read because of its size: the refusal
TOO_LARGE_ATTRIBUTE = "tinsmith_too_large"

# a Struct that a handler gives is answered as JSON
Handler = Callable[..., Awaitable[HttpResponse | msgspec.Struct]]
View = Callable[..., Coroutine[Any, Any, HttpResponse]]
Refuse = Callable[[ApiError], HttpResponse]
C = TypeVar("C")
OnRefusal = Callable[[C | None, ApiError], Awaitable[tuple[ApiError, Mapping[str, str]]]]


class MethodNotAllowed(ApiError):
    """The path exists, but not for this HTTP method."""

    status = 405


class Broken(ApiError):
    """A mistake of ours; it was logged."""

    status = 500


class Unavailable(ApiError):
    """Something that the server needs does not answer; the same request may work later."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(TRY_AGAIN_AFTER_S)}


@dataclass(frozen=True, slots=True)
class Manners(Generic[C]):
    """How an API is spoken.

    `admit` makes the call that handlers get: it finds out who asks (unless the route is open to
    all) and refuses a key that lacks the scope, and answers before the method is looked at.
    """

    admit: Callable[[HttpRequest, bool], Awaitable[C]]
    require: Callable[[C, str], None]
    refuse: Refuse


def reply(value: Any, status: int = 200) -> HttpResponse:
    """`value` as JSON."""
    return raw_reply(msgspec.json.encode(value), JSON, status)


def raw_reply(body: bytes, content_type: str, status: int = 200) -> HttpResponse:
    """`body` as it is, with its length: public clients take a 400 without one for a glitch."""
    response = HttpResponse(body, content_type=content_type, status=status)
    response.headers["Content-Length"] = str(len(body))
    return response


def make_view(
    manners: Manners[C],
    handlers: Mapping[str, Handler],
    *,
    scope: str | None = None,
    open_to_all: bool = False,
    on_refusal: OnRefusal[C] | None = None,
) -> View:
    """A view that serves the HTTP methods named by `handlers` (`get`, `post`, …), and HEAD as GET.

    Args:
        scope: what the key must be allowed to do; None: any key will do.
        open_to_all: no key is asked for.
        on_refusal: called before a refusal is answered, with the call (None when nobody was let
            in) and the refusal; gives the refusal to answer with and headers for it. Of a body
            above the limit the call holds only the beginning.
    """
    by_method = {method.upper(): handler for method, handler in handlers.items()}
    served = by_method | ({"HEAD": by_method["GET"]} if "GET" in by_method else {})

    async def serve(request: HttpRequest, call: C, parts: dict[str, str]) -> HttpResponse:
        _check_method(request, served)
        if scope is not None:
            manners.require(call, scope)
        if any("\0" in part for part in parts.values()):
            raise NotFound("there is no such path: it holds a NUL character")
        refusal = getattr(request, TOO_LARGE_ATTRIBUTE, None)
        if refusal is not None:
            raise TooLarge(refusal)
        answer = await served[request.method or ""](call, **parts)
        return answer if isinstance(answer, HttpResponse) else reply(answer)

    async def view(request: HttpRequest, **parts: str) -> HttpResponse:
        call: C | None = None
        more: Mapping[str, str] = {}
        doing = f"{request.method} {request.path}"
        try:
            call = await manners.admit(request, open_to_all)
            return await serve(request, call, parts)
        except Exception as error:
            refusal = as_api_error(error, doing)
        if on_refusal is not None:
            try:
                refusal, more = await on_refusal(call, refusal)
            except Exception as error:
                refusal = as_api_error(error, doing)
        response = manners.refuse(refusal)
        if isinstance(refusal, MethodNotAllowed):
            response.headers["Allow"] = ", ".join(served)
        for name, value in {**refusal.headers, **more}.items():
            response.headers[name] = value
        return response

    # API keys, not cookies, say who asks: there is nothing for a foreign page to ride on
    view.csrf_exempt = True  # type: ignore[attr-defined]
    view.methods = tuple(by_method)  # type: ignore[attr-defined]
    # what the API's description is made from (core/openapi.py)
    view.handlers = by_method  # type: ignore[attr-defined]
    view.scope = scope  # type: ignore[attr-defined]
    view.open_to_all = open_to_all  # type: ignore[attr-defined]
    return view


def as_api_error(error: Exception, doing: str) -> ApiError:
    """What to tell the caller about an exception; those that are our fault are logged.

    The exception keeps nothing alive afterwards.
    """
    refusal = _as_refusal(error, doing)
    let_go(error)
    return refusal


def _as_refusal(error: Exception, doing: str) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, RequestDataTooBig):
        return TooLarge("the request body is larger than the server takes")
    if isinstance(error, TooManyFieldsSent):
        most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        return BadRequest(f"the request has too many parameters: {most} are taken")
    if isinstance(error, SuspiciousOperation | exceptions.BadRequest | MultiPartParserError):
        return BadRequest(f"the request cannot be read: {error}")
    if (full := disk.explain(error)) is not None:
        log.error("%s: %s: %s", doing, full, error)
        return Unavailable(full)
    if _is_about_nul(error):
        log.warning("%s: a NUL character got as far as the database: %s", doing, error)
        return BadRequest("a text of the request holds a NUL character, which nothing here has")
    if isinstance(error, psycopg.OperationalError | PoolTimeout | PoolClosed):
        log.error("%s: the database does not answer: %s", doing, error)
        return Unavailable("the server cannot reach its database; try again")
    log.error("%s failed", doing, exc_info=error)
    return Broken("internal error")


def _is_about_nul(error: Exception) -> bool:
    """Whether a text did not go into a statement because of a NUL character in it."""
    if not isinstance(error, psycopg.DataError):
        return False
    # psycopg looks at texts that it sends as such, PostgreSQL at others and at JSON
    return error.sqlstate in _NUL_STATES or (error.sqlstate is None and "NUL" in str(error))


def _check_method(request: HttpRequest, allowed: Collection[str]) -> None:
    if (request.method or "") not in allowed:
        raise MethodNotAllowed(
            f"{request.method} is not allowed here; allowed: {', '.join(allowed)}"
        )
