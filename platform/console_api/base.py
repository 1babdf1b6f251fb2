"""What the views of the dashboard's API have in common: who asks, what they see, how it is said.

`TeamViewSet` locks every queryset to the teams of whoever is signed in: a thing of another team
answers 404, as if it were not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, ClassVar, TypeVar, final

import msgspec
import psycopg
from asgiref.sync import async_to_sync
from django.core.exceptions import RequestDataTooBig
from django.db.models import QuerySet
from django.http import Http404
from django.http.request import RawPostDataException
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import exception_handler
from rest_framework.viewsets import GenericViewSet

from accounts import actors
from accounts.actors import Actor
from accounts.models import User
from core import database
from core.endpoint import Unavailable
from core.errors import ApiError, BadRequest
from core.pages import AT_ONCE, Turns
from runs.models import TrainingRun

T = TypeVar("T")
MAX_SEARCH = 200
# programs must always find connections of the pool that pages share with them
READS_AT_ONCE = 6
TURN_WITHIN_S = 15.0
STATEMENT_WITHIN_S = 10.0
_BUSY = "too many pages are being read at once; try again"
_SLOW = "the database took too long for this; ask for less, or try again"
_AWAY = "the database does not answer; try again"

_reads = Turns(READS_AT_ONCE, AT_ONCE - READS_AT_ONCE)


class BrowserSession(SessionAuthentication):
    """A signed-in browser: its session cookie, and a CSRF token with all that changes something."""

    def authenticate_header(self, request: Request) -> str:
        """Have DRF answer 401, not 403, to who is not signed in."""
        return "Session"


class TeamViewSet(GenericViewSet):
    """The base of all that belongs to teams."""

    authentication_classes = (BrowserSession,)
    permission_classes = (IsAuthenticated,)
    # of rows with a team
    queryset: ClassVar[QuerySet] = TrainingRun.objects.select_related("team")

    @final
    def get_queryset(self) -> QuerySet:
        """Only what belongs to the teams of whoever asks."""
        return self.queryset.filter(team__in=self.teams())

    def teams(self, slug: str = "") -> list[int]:
        """The ids of their teams, or of that one of them; none if it is not theirs."""
        assert isinstance(self.request.user, User)
        found = self.request.user.memberships.values_list("team_id", flat=True)
        return list(found.filter(team__slug=slug) if slug else found)

    def member(self, request: Request) -> Actor:
        """The actor for the team that the parameter `team` names, else their first by name.

        Raises:
            Http404: they are in no such team.
        """
        assert isinstance(request.user, User)
        slug = text(request, "team")
        actor = self.of_team(slug)
        if actor is None:
            raise Http404
        return actor

    def of_team(self, slug: str = "") -> Actor | None:
        """The actor for a team of theirs, the first by name unless one is named; None: no such."""
        user = self.request.user
        assert isinstance(user, User)
        found = user.memberships.filter(team__slug=slug) if slug else user.memberships.all()
        first = found.select_related("team").order_by("team__name").first()
        return None if first is None else actors.of_member(user=user, team_slug=first.team.slug)

    def find(self, run_id: str) -> Actor:
        """The actor for a run: its team, and the person who asks.

        Raises:
            Http404: none of their teams has such a run.
        """
        run = None if "\0" in run_id else self.get_queryset().filter(pk=run_id).first()
        if run is None:
            raise Http404
        assert isinstance(self.request.user, User)
        return actors.of_member(user=self.request.user, team_slug=run.team.slug)


def wait_for(service: Callable[..., Coroutine[Any, Any, T]], **given: Any) -> T:
    """What an asynchronous service reads, for a view that is not asynchronous.

    Raises:
        Unavailable: too many others read, or PostgreSQL needs too long for it.
    """
    return async_to_sync(_in_turn)(service, given)


async def _in_turn(service: Callable[..., Coroutine[Any, Any, T]], given: dict[str, Any]) -> T:
    """Have a service read when its turn has come, each statement within its time."""
    async with AsyncExitStack() as turn:
        try:
            async with asyncio.timeout(TURN_WITHIN_S):
                await turn.enter_async_context(_reads.turn())
        except TimeoutError:
            raise Unavailable(_BUSY) from None
        try:
            with database.within(STATEMENT_WITHIN_S):
                return await service(**given)
        except psycopg.OperationalError as error:
            if not database.is_passing(error):
                raise
            slow = isinstance(error, psycopg.errors.QueryCanceled)
            raise Unavailable(_SLOW if slow else _AWAY) from error


# Django may have read a form's body already, or finds it too large
_UNREADABLE = (UnicodeDecodeError, RecursionError, RawPostDataException, RequestDataTooBig)


def body_of(request: Request, kind: type[T]) -> T:
    """The body of a request, which must be JSON of this kind.

    Raises:
        BadRequest: it is not; it says where.
    """
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (*_UNREADABLE, msgspec.MsgspecError) as error:
        raise BadRequest(f"the body is none that is taken here: {error}") from None


def known(request: Request, *names: str) -> None:
    """Refuse query parameters that nobody has told of.

    Raises:
        BadRequest: names the first.
    """
    for name in request.query_params:
        if name not in names:
            allowed = ", ".join(names) or "none"
            raise BadRequest(f"there is no parameter {name[:50]!r}; known are: {allowed}")


def integer(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A query parameter that is a whole number within bounds.

    Raises:
        BadRequest: it is none.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        found = int(text) if len(text) < 25 else most + 1
    except ValueError:
        found = least - 1
    if not least <= found <= most:
        raise BadRequest(f"{name} must be a whole number from {least} to {most}")
    return found


def choice(request: Request, name: str, among: tuple[str, ...], default: str) -> str:
    """A query parameter that is one of some words.

    Raises:
        BadRequest: it is none.
    """
    found = request.query_params.get(name) or default
    if found not in among:
        raise BadRequest(f"{name} must be one of {', '.join(filter(None, among))}")
    return found


def text(request: Request, name: str, longest: int = MAX_SEARCH) -> str:
    """A query parameter that is a text, without characters that PostgreSQL does not know.

    Raises:
        BadRequest: it is too long.
    """
    found = request.query_params.get(name, "").replace("\0", "").strip()
    if len(found) > longest:
        raise BadRequest(f"{name} has {len(found)} characters, allowed are {longest}")
    return found


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """What went wrong, as `{"detail": …, "code": …}`."""
    if isinstance(error, ApiError):
        body = {"detail": error.detail, "code": type(error).__name__}
        return Response(body, status=error.status, headers=dict(error.headers))
    response = exception_handler(error, context)
    if response is not None:
        known = isinstance(error, APIException)
        code = type(error).__name__ if known else {404: "NotFound"}.get(response.status_code, "")
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        response.data = {"detail": str(detail), "code": code or "Forbidden"}
    return response
