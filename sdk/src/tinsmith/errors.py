"""What can go wrong, as one family of exceptions.

``TinsmithError`` is the base of all of them. A message says what happened and what to do next.
The public client's base name, ``TinkerError``, is the same class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

RequestErrorCategory = Literal["user", "server", "unknown"]
"""Whose fault a failed request was: the caller's, the server's, or nobody can tell."""


class TinsmithError(Exception):
    """Base of every exception this package raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


TinkerError = TinsmithError


class ConfigurationError(TinsmithError, ValueError):
    """No API key, or an address that is none: nothing was sent."""


class SessionClosedError(TinsmithError, RuntimeError):
    """The ``ServiceClient`` was closed, or the server ended its session."""


class RunBrokenError(TinsmithError, RuntimeError):
    """A request may or may not have reached the server, so the run's order is lost.

    Make a new training client from the last checkpoint.
    """


class APIError(TinsmithError):
    """Talking to the server failed. ``body`` is the decoded reply, if there was one.

    ``may_have_arrived``: the request was sent before, too, and no answer says what became of it.
    """

    def __init__(self, message: str, *, body: Any = None) -> None:
        super().__init__(message)
        self.body = body
        self.may_have_arrived = False


class APIConnectionError(APIError):
    """The server could not be reached within the retry budget."""


class APITimeoutError(APIConnectionError):
    """The server did not answer in time, again and again."""


class WrongServerError(APIConnectionError):
    """At the address is something else than a Tinsmith server; it is not asked again."""


class APIResponseValidationError(APIError):
    """The server's reply is not what the protocol says; the two may be of different ages."""


class APIStatusError(APIError):
    """The server refused with an HTTP status.

    Attributes:
        status_code: the HTTP status.
        detail: the server's own words.
        body: the decoded reply.
        headers: the reply's headers, lower-case names.
    """

    def __init__(
        self,
        message: str,
        *,
        status_code: int = 0,
        detail: str = "",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, body=body)
        self.status_code = status_code
        self.detail = detail or message
        self.headers = dict(headers or {})


class BadRequestError(APIStatusError):
    """400: the request is wrong; the message names what is allowed."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing, unknown or revoked."""


class BillingError(APIStatusError):
    """402: the team may not spend any more."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""


class NotFoundError(APIStatusError):
    """404: there is no such thing, or it belongs to another team."""


class ConflictError(APIStatusError):
    """409: the request contradicts the present state."""


class GoneError(APIStatusError):
    """410: the session or the result is over and will not come back."""


class RequestTooLargeError(APIStatusError):
    """413: the request's body is above the server's limit."""


class UnprocessableEntityError(APIStatusError):
    """422: the request can be read but makes no sense."""


class RateLimitError(APIStatusError):
    """429: too many requests, for longer than the retry budget."""


class InternalServerError(APIStatusError):
    """5xx: the server's fault, for longer than the retry budget."""


class RequestFailedError(TinsmithError):
    """The server took the request and reported later that it failed. The run stays usable.

    Attributes:
        request_id: the server's id of the request.
        category: ``"user"`` when the request was wrong (fix it and send it again), ``"server"``
            when the server failed (its logs say why).
    """

    def __init__(
        self, message: str, request_id: str = "", category: RequestErrorCategory = "unknown"
    ) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.category: RequestErrorCategory = category


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: BillingError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: RequestTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}

_WHAT_TO_DO = {
    401: "Run `tinsmith login`, set TINSMITH_API_KEY to a key of this server, or pass api_key=.",
    402: "Ask the team's owner about its quota.",
    410: "Make a new ServiceClient; training goes on from the last checkpoint "
    "with create_training_client_from_state_with_optimizer.",
    413: "Use shorter sequences, or fewer of them in one call.",
    429: "Send less at a time, or give RetryConfig a longer budget.",
}


def from_status(
    status_code: int, detail: str, *, body: Any, headers: Mapping[str, str], what: str
) -> APIStatusError:
    """The exception for a refused request; ``what`` is the method and path it was."""
    kind = _BY_STATUS.get(
        status_code, InternalServerError if status_code >= 500 else APIStatusError
    )
    message = f"{detail or 'no reason given'} (HTTP {status_code} on {what})"
    hint = _WHAT_TO_DO.get(status_code)
    if status_code == 404 and detail == "Not Found":  # what many frameworks say, and we do not
        hint = (
            "What answers there does not know this route: is it a Tinsmith server? "
            "Its address comes from base_url= or TINSMITH_BASE_URL"
        )
    if hint is None and status_code >= 500:
        hint = "The server's log says why."
    if hint is not None:
        message = f"{message}. {hint}"
    return kind(message, status_code=status_code, detail=detail, body=body, headers=headers)
