"""Errors that services raise and views turn into HTTP answers: one class a status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class ApiError(Exception):
    """A refusal to show to the caller: `status` is the HTTP status, `detail` says what to do."""

    status = 400
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ApiError):
    """The request is at fault; the detail names what is allowed."""

    status = 400


class Unauthorized(ApiError):
    """No valid API key came with the request."""

    status = 401


class NotFound(ApiError):
    """There is no such thing, or it belongs to another team: the answer is the same."""

    status = 404


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
