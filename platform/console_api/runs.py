"""Runs: the list that home shows, and one with all that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import cast, get_args

from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, choice, integer, text, wait_for
from console_api.cursors import cursor_of, not_given, place_of
from console_api.schema import answers, query
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
        found = wait_for(
            overviews.list_runs, team_ids=self.teams(text(request, "team")), wanted=wanted
        )
        rows = found[:limit]
        more = len(found) > limit
        return Response(RunPage(rows, _cursor(rows[-1], wanted.sort) if more else None))

    @answers(RunDetail)
    def one(self, request: Request, run_id: str) -> Response:
        """A run with its settings, metrics, counts and cost."""
        actor = self.find(run_id)
        return Response(wait_for(overviews.find_run, actor=actor, run_id=run_id))


def _cursor(row: RunRow, sort: str) -> str:
    return cursor_of(getattr(row, overviews.SORTS[sort]), row.id)


def _place(cursor: str) -> Place | None:
    """Where a page is to begin. Raises BadRequest if nobody has given this cursor."""
    found = place_of(cursor, datetime)
    if found is not None and found[0].tzinfo is None:
        raise not_given()
    return None if found is None else Place(*found)
