"""Shapes that several of the wire protocol's bodies and answers share.

Clients of many releases talk to us: old ones leave defaults and `type` out and send nulls for what
they do not set, so every optional field of a body is nullable and null means the default. A name
that no release knows is refused, because a misspelt option that does nothing costs its user a
training run. Bodies of operations are in `operations.bodies`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from core import ids
from core.json_bodies import Answer, told

Moment = Annotated[datetime, Meta(tz=True)]
ProjectId = Annotated[str, Meta(min_length=1, max_length=ids.MAX_PROJECT_LENGTH)]
BINARY = {"type": "string", "format": "binary"}


def check_projects(field: str, *project_ids: str | None) -> None:
    """Refuse ids of projects that a length alone does not; msgspec reports it as a mistake."""
    if not all(found is None or ids.is_project_id(found) for found in project_ids):
        raise ValueError(f"{field} must have {ids.PROJECT_FORM}")


class Refusal(Answer):
    """Why a request was refused, in words meant for its user."""

    detail: str


class Nothing(Answer):
    """An empty object."""


class OptimizerFamily(Answer):
    """The optimizer of a run."""

    type: Annotated[Literal["adamw"], told("Always `adamw`.")]


class Cursor(Answer):
    """Where a page stands in its listing."""

    offset: int
    limit: int
    total_count: int
