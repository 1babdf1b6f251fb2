"""Runs: the list that home shows, one with all that is known of it, and its checkpoints."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast, get_args

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response

from checkpoints import services as checkpoints
from checkpoints.services import CheckpointInfo
from console_api.base import TeamViewSet, choice, integer, text, wait_for
from console_api.schema import answers, query
from core import ids
from core.errors import BadRequest
from runs import overviews
from runs.overviews import Place, RunDetail, RunRow, State, Wanted

PAGE, MOST = 50, 200
STATES = cast("tuple[str, ...]", get_args(State))
SORTS = tuple(f"{sign}{name}" for name in overviews.SORTS for sign in ("", "-"))


@dataclass(frozen=True, slots=True)
class RunPage:
    """A page of runs; `next` is the cursor of the page after it, if there is one."""

    runs: list[RunRow]
    next: str | None


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
    """A checkpoint of a run."""

    path: str
    run_id: str
    segment: str
    name: str
    size_bytes: int
    public: bool
    encrypted: bool
    base_model: str
    user_metadata: dict[str, Any]
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class CheckpointPage:
    """A page of checkpoints, newest first, and how many there are in all."""

    checkpoints: list[ShownCheckpoint]
    total: int


_PAGE = [
    query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
    query("offset", int, "Rows to leave out."),
]


class RunViewSet(TeamViewSet):
    """The runs of the person's teams."""

    @answers(
        RunPage,
        given=[
            query("search", str, "A text in the run's id, name, base model, tags or metadata."),
            query("state", State, "Only runs in this state."),
            query("session", str, "Only runs of this session."),
            query("team", str, "Only runs of this team."),
            query("sort", str, f"One of {', '.join(SORTS)}; `-` means newest first."),
            query("cursor", str, "The `next` of the page before."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401],
    )
    def page(self, request: Request) -> Response:
        """A page of runs."""
        sort = choice(request, "sort", SORTS, "-created")
        limit = integer(request, "limit", PAGE, 1, MOST)
        wanted = Wanted(
            search=text(request, "search"),
            state=cast("State", choice(request, "state", ("", *STATES), "")) or None,
            session_id=text(request, "session") or None,
            sort=sort.removeprefix("-"),
            newest_first=sort.startswith("-"),
            after=_place(text(request, "cursor", 500)),
            limit=limit + 1,
        )
        found = wait_for(overviews.list_runs, team_ids=self._wanted_teams(), wanted=wanted)
        rows = found[:limit]
        more = len(found) > limit
        return Response(RunPage(rows, _cursor(rows[-1], wanted.sort) if more else None))

    @answers(RunDetail)
    def one(self, request: Request, run_id: str) -> Response:
        """A run with its settings, metrics, counts and cost."""
        actor = self.find(run_id)
        return Response(wait_for(overviews.find_run, actor=actor, run_id=run_id))

    @answers(CheckpointPage, given=_PAGE, refuses=[400, 401, 404])
    def checkpoints(self, request: Request, run_id: str) -> Response:
        """A page of a run's checkpoints, newest first."""
        found, total = wait_for(
            checkpoints.list_of_run,
            actor=self.find(run_id),
            run_id=run_id,
            segments=list(ids.SEGMENTS),
            limit=integer(request, "limit", PAGE, 1, MOST),
            offset=integer(request, "offset", 0, 0, 10**9),
        )
        return Response(CheckpointPage([_shown(one) for one in found], total))

    def _wanted_teams(self) -> list[int]:
        slug = text(self.request, "team")
        teams = self.teams()
        if not slug:
            return teams
        return list(
            self.request.user.memberships.filter(team__slug=slug).values_list("team_id", flat=True)
        )


def _shown(found: CheckpointInfo) -> ShownCheckpoint:
    return ShownCheckpoint(
        path=found.path,
        run_id=found.run_id,
        segment=found.segment,
        name=found.name,
        size_bytes=found.size_bytes,
        public=found.public,
        encrypted=found.encrypted,
        base_model=found.base_model,
        user_metadata=found.user_metadata,
        created_at=found.created_at,
        expires_at=found.expires_at,
    )


def _cursor(row: RunRow, sort: str) -> str:
    value: datetime = getattr(row, overviews.SORTS[sort])
    encoded = msgspec.json.encode([value, row.id])
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def _place(cursor: str) -> Place | None:
    """Where a page is to begin. Raises BadRequest if nobody has given this cursor."""
    if not cursor:
        return None
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        value, run_id = msgspec.json.decode(decoded, type=tuple[datetime, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise BadRequest("cursor is none that this list has given") from None
    if value.tzinfo is None or "\0" in run_id:
        raise BadRequest("cursor is none that this list has given")
    return Place(value, run_id)
