"""Refusals as OpenAI's clients read them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from core.endpoint import reply
from core.errors import ApiError, BadRequest, NotFound
from core.json_bodies import BadField

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_CODES = {401: "invalid_api_key", 404: "not_found", 429: "rate_limit_exceeded"}


class Refused(BadRequest):
    """A parameter that cannot be taken; the message names it and what is allowed."""

    def __init__(self, detail: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(detail)
        self.param, self.code = param, code


class ModelNotFound(NotFound):
    """There is no such model for the actor."""

    param, code = "model", "model_not_found"


def as_json(error: ApiError) -> dict[str, Any]:
    """The `{"error": …}` object."""
    status = error.status
    default_type = "invalid_request_error" if status < 500 else "server_error"
    field = error.field if isinstance(error, BadField) else None
    return {
        "error": {
            "message": error.detail,
            "type": _TYPES.get(status, default_type),
            "param": getattr(error, "param", field),
            "code": getattr(error, "code", None) or _CODES.get(status),
        }
    }


def refuse(error: ApiError) -> HttpResponse:
    """A refusal as a response."""
    return reply(as_json(error), error.status)
