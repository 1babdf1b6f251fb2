"""Errors that services raise and views turn into HTTP answers: one class a status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar


class ApiError(Exception):
    """A refusal to show to the actor: `status` is the HTTP status, `detail` says what to do."""

    status = 400
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ApiError):
    """The request is at fault; the detail names what is allowed."""

    status = 400


class SessionEnded(BadRequest):
    """The session that it belongs to takes nothing more."""


class Unauthorized(ApiError):
    """No valid API key came with the request."""

    status = 401


class NotFound(ApiError):
    """There is no such thing, or it belongs to another team: the answer is the same."""

    status = 404


class NoSuchSession(NotFound):
    """There is no such session, any more."""


class Conflict(ApiError):
    """What it would leave behind must not be."""

    status = 409


class Gone(ApiError):
    """It existed and has ended."""

    status = 410


class UnsupportedMediaType(ApiError):
    """The body is in a form that is not read here."""

    status = 415


class TooManyRequests(ApiError):
    """More than is taken at the moment: the same request may be accepted a little later."""

    status = 429
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class TooLarge(ApiError):
    """The body is larger than the server takes."""

    status = 413


def let_go(error: BaseException) -> None:
    """Have an error forget the way it came, for it stays while its answer is sent, or longer.

    A traceback holds the frames it went through, they hold the request's body, and one of them
    mostly holds the error: a circle that only a garbage collection would end.
    """
    for found in chain(error):
        found.__traceback__ = None


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those it came from, each once."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        found = left.pop()
        if found is not None and id(found) not in seen:
            seen.add(id(found))
            left += [found.__context__, found.__cause__]
            yield found
