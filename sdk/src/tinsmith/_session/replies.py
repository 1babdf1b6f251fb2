"""Bodies of requests and replies: JSON both ways, and what a poll says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from tinsmith import errors
from tinsmith._http.transport import Reply

T = TypeVar("T")


class Accepted(msgspec.Struct):
    """Reply to a submitted request."""

    request_id: str
    model_id: str | None = None
    sample_sequence_ids: list[str] = []


def poll_state(reply: Reply, request_id: str) -> tuple[str, str] | None:
    """(queue state, reason) when the result is not there yet, else None; raises its failure."""
    if reply.status == 408:
        try:
            waiting = reply.json() if reply.body else {}
        except errors.APIResponseValidationError:
            waiting = {}
    else:
        waiting = reply.json()
        if not isinstance(waiting, dict):
            raise errors.APIResponseValidationError("the server's result is no JSON object")
        if "error" in waiting:
            category = waiting.get("category")
            raise errors.RequestFailedError(
                str(waiting["error"]),
                request_id,
                category if category in ("user", "server") else "unknown",
            )
        if waiting.get("type") != "try_again":
            return None
    if not isinstance(waiting, dict):
        waiting = {}
    return str(waiting.get("queue_state") or "active"), str(waiting.get("queue_state_reason") or "")


def encode_json(body: Mapping[str, Any]) -> bytes:
    """JSON without the nulls: what is not set is not said."""
    return msgspec.json.encode({key: value for key, value in body.items() if value is not None})


def numbered(content: bytes, **ids: str | int) -> bytes:
    """An encoded JSON object that is not empty, with ``ids`` before its other members.

    So a body is encoded, which may fail, before it has a number, which must arrive.
    """
    return msgspec.json.encode(ids)[:-1] + b"," + content[1:]


def decode(reply: Reply, kind: type[T] | None, what: str) -> T:
    """A JSON reply as a ``kind``; None takes anything and returns None."""
    if kind is None:
        return None  # type: ignore[return-value]
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise errors.APIResponseValidationError(
            f"the server's answer to {what} is not what the protocol says: {error}. "
            "Are server and client of the same age?"
        ) from None
