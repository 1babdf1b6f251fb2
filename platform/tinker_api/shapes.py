"""Shapes that several of the wire protocol's answers share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from core.json_bodies import Answer, told

Moment = Annotated[datetime, Meta(tz=True)]


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
