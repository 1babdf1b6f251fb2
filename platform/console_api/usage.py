"""What a team has used in a month and what that costs: sums, runs in pages, and all as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import cast

from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, choice, integer, known, text, wait_for
from console_api.cursors import cursor_of, not_given, place_of
from console_api.schema import answers, query
from core.errors import BadRequest
from runs import spending
from runs.spending import After, RunUsed, Sort
from usage import months, storage
from usage.months import Amount, Month, MonthUsed
from usage.storage import StoredMonth

PAGE, MOST = 50, 200
MOST_DIGITS = 100
DIMENSIONS = ("run", "model", "kind", "day")
# what spreadsheets would run as a formula
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class TeamMonth:
    """A team's month: what was used, and what was stored."""

    team: str
    used: MonthUsed
    stored: StoredMonth


@dataclass(frozen=True, slots=True)
class RunUsedPage:
    """A page of runs by what they used; `next` is the cursor of the page after it."""

    runs: list[RunUsed]
    next: str | None


_TEAM = query("team", str, "Of this team; unless given, of the person's first by name.")
_MONTH = query("month", str, "A month of UTC such as 2026-11; this one unless given.")
_SORT = query("sort", Sort, "What the most of comes first; `cost` unless given.")
_SEARCH = query("search", str, "A text in the run's id, name, base model, tags or metadata.")


class UsageViewSet(TeamViewSet):
    """What the person's teams have used. Everybody in a team sees all of it."""

    @answers(TeamMonth, given=[_TEAM, _MONTH], refuses=[400, 401, 404])
    def month(self, request: Request) -> Response:
        """A month in sums: in all, by day, by kind and by base model."""
        known(request, "team", "month")
        actor, month = self.member(request), _month(request)
        now = Month.of(timezone.now().astimezone(UTC).date())
        used = wait_for(months.read, team_id=actor.team_id, month=month, now=now)
        start, end = (datetime.combine(day, time(), UTC) for day in (month.first, month.end))
        stored = wait_for(storage.of_month, team_id=actor.team_id, start=start, end=end)
        return Response(TeamMonth(actor.team_name, used, stored))

    @answers(
        RunUsedPage,
        given=[
            _TEAM,
            _MONTH,
            _SORT,
            _SEARCH,
            query("cursor", str, "The `next` of the page before."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401, 404],
    )
    def runs(self, request: Request) -> Response:
        """A page of a month's runs, those first that used most."""
        known(request, "team", "month", "sort", "search", "cursor", "limit")
        limit = integer(request, "limit", PAGE, 1, MOST)
        found = wait_for(
            spending.of_month,
            team_id=self.member(request).team_id,
            month=_month(request),
            sort=_sort(request),
            search=text(request, "search"),
            after=_after(text(request, "cursor", 500)),
            limit=limit + 1,
        )
        rows = [run for run, _ in found[:limit]]
        return Response(
            RunUsedPage(rows, _cursor(found[limit - 1][1]) if len(found) > limit else None)
        )

    @extend_schema(exclude=True)
    def csv(self, request: Request) -> HttpResponse:
        """A month as a file: by run, base model, kind or day."""
        known(request, "team", "month", "by", "sort", "search")
        actor, month = self.member(request), _month(request)
        by = choice(request, "by", DIMENSIONS, "run")
        if by == "run":
            found = wait_for(
                spending.of_month,
                team_id=actor.team_id,
                month=month,
                sort=_sort(request),
                search=text(request, "search"),
                limit=spending.MOST_ROWS + 1,
            )
            if len(found) > spending.MOST_ROWS:
                raise BadRequest(f"more than {spending.MOST_ROWS} runs used something; search")
            lines: Iterator[Sequence[object]] = _of_runs(run for run, _ in found)
        else:
            used = wait_for(months.read, team_id=actor.team_id, month=month, now=month)
            lines = _of_month(used, by)
        written = io.StringIO()
        csv.writer(written, lineterminator="\r\n").writerows(map(_harmless, lines))
        response = HttpResponse(written.getvalue(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="usage-{month}-by-{by}.csv"'
        return response


def _month(request: Request) -> Month:
    """The month that is asked for. Raises BadRequest if it is none."""
    given = text(request, "month")
    if not given:
        return Month.of(timezone.now().astimezone(UTC).date())
    found = Month.parse(given)
    if found is None:
        raise BadRequest("month must be a month such as 2026-11")
    return found


def _sort(request: Request) -> Sort:
    return cast("Sort", choice(request, "sort", spending.SORTS, "cost"))


def _cursor(place: After) -> str:
    return cursor_of(str(place.value), place.target)


def _after(cursor: str) -> After | None:
    """Where a page is to begin. Raises BadRequest if nobody has given this cursor."""
    found = place_of(cursor, Decimal)
    if found is None:
        return None
    value, target = found
    # PostgreSQL's numbers end somewhere, too
    if not value.is_finite() or abs(value.adjusted()) > MOST_DIGITS:
        raise not_given()
    return After(value, target)


_AMOUNTS = [*map(str, months.KINDS), "tokens", "cost_usd", "tokens_without_price"]


def _amounts(amount: Amount) -> list[object]:
    kinds = [getattr(amount, kind) for kind in months.KINDS]
    return [*kinds, amount.tokens, amount.cost, amount.unpriced]


def _of_runs(runs: Iterable[RunUsed]) -> Iterator[Sequence[object]]:
    yield ["run", "name", "base_model", *_AMOUNTS, "stored_bytes_now"]
    for run in runs:
        yield [run.id, run.name, run.base_model, *_amounts(run.amount), run.stored_bytes]


def _of_month(used: MonthUsed, by: str) -> Iterator[Sequence[object]]:
    if by == "kind":
        yield ["kind", "quantity", "cost_usd"]
        yield from ([one.kind, one.quantity, one.cost] for one in used.kinds)
    elif by == "model":
        yield ["base_model", *_AMOUNTS]
        yield from ([one.base_model, *_amounts(one.amount)] for one in used.models)
    else:
        yield ["day", *_AMOUNTS]
        yield from ([one.day.isoformat(), *_amounts(one.amount)] for one in used.days)


def _harmless(row: Sequence[object]) -> list[object]:
    """A row in which no text is a formula."""
    return [
        f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row
    ]
