"""Query parameters and the paths of REST routes, read strictly: a bad one names what is allowed."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from msgspec import Meta

from core import ids
from core.errors import BadRequest
from core.ids import DEFAULT_PROJECT
from core.json_bodies import Number
from core.openapi import Given
from tinker_api.endpoint import Call
from tinker_api.shapes import ProjectId

MAX_PAGE = 1000
DEFAULT_PAGE = 20
SCOPES = ("owned", "accessible")
_VERSION = re.compile(r"Tinker/Python (\d+)\.(\d+)")


PAGE = (
    Given(
        "limit",
        Annotated[int, Meta(ge=1, le=MAX_PAGE)],
        f"Rows a page, {DEFAULT_PAGE} unless given.",
    ),
    Given("offset", Number, "Rows to leave out before the page."),
)
SCOPE = Given(
    "access_scope",
    Literal["owned", "accessible"],
    "`accessible` also shows what other teams have published.",
)
PROJECT = Given(
    "project_id",
    ProjectId,
    f"Only of this project of the team's; `{DEFAULT_PROJECT}`: of sessions that have none.",
)


def page(call: Call) -> tuple[int, int]:
    """(limit, offset)."""
    return (
        number(call, "limit", DEFAULT_PAGE, 1, MAX_PAGE),
        number(call, "offset", 0, 0, 2**63 - 1),
    )


def number(call: Call, name: str, default: int, low: int, high: int) -> int:
    """A whole number."""
    text = call.request.GET.get(name)
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not low <= value <= high:
        raise BadRequest(f"{name} must be a number from {low} to {high}, not {text!r}")
    return value


def accessible(call: Call) -> bool:
    """Whether `access_scope` asks for more than the team's own."""
    return choice(call, "access_scope", SCOPES, "owned") == "accessible"


def choice(call: Call, name: str, allowed: Collection[str], default: str) -> str:
    """One of some words."""
    value = call.request.GET.get(name, default)
    if value not in allowed:
        raise BadRequest(f"unknown {name} {value!r}; allowed: {', '.join(allowed)}")
    return value


def project(call: Call) -> str | None:
    """The `project_id` to show alone, or None."""
    value = call.request.GET.get("project_id")
    if value is not None and not ids.is_project_id(value):
        raise BadRequest(f"project_id must have {ids.PROJECT_FORM}")
    return value


def day(call: Call, name: str) -> date:
    """A date, today in UTC unless given."""
    value = call.request.GET.get(name)
    if value is None:
        return datetime.now(UTC).date()
    try:
        found = date.fromisoformat(value)
        if found.isoformat() != value or found == date.max:
            raise ValueError
        return found
    except ValueError:
        raise BadRequest(f"{name} must be a date like 2026-01-31, not {value!r}") from None


def hour(call: Call, name: str) -> datetime:
    """A required full hour of UTC, as RFC 3339 with a time zone."""
    value = call.request.GET.get(name, "")
    try:
        given = datetime.fromisoformat(value)
        moment = given.astimezone(UTC)
        if given.tzinfo is not None and not (moment.minute or moment.second or moment.microsecond):
            return moment
    except (ValueError, OverflowError):
        pass
    raise BadRequest(f"{name} must be a full hour like 2026-01-31T12:00:00Z, not {value!r}")


def client_version(call: Call) -> tuple[int, int] | None:
    """(major, minor) of the public client that asks; None when another program does."""
    match = _VERSION.search(call.request.headers.get("User-Agent", ""))
    return (int(match[1]), int(match[2])) if match else None
