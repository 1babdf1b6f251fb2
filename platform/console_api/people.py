"""Who is signed in, and signing in and out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from asgiref.sync import async_to_sync
from django.contrib.auth import logout
from django.http import HttpResponse
from django.http.request import RawPostDataException
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts import views as signing_in
from accounts.models import User
from console_api.base import BrowserSession
from console_api.schema import answers
from core.errors import BadRequest

# Django has read a form's body already
_UNREADABLE = (UnicodeDecodeError, RecursionError, RawPostDataException)
_WRONG = "the name or the password is not right"


@dataclass(frozen=True, slots=True)
class MyTeam:
    """A team of the person's, and their role in it."""

    slug: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Me:
    """Who is signed in."""

    username: str
    name: str
    is_staff: bool
    teams: list[MyTeam]


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Whether somebody is."""

    signed_in: bool


class SignIn(msgspec.Struct, forbid_unknown_fields=True):
    """A name and a password."""

    username: str
    password: str


class MeView(APIView):
    """The person."""

    authentication_classes = (BrowserSession,)
    permission_classes = (IsAuthenticated,)

    @answers(Me, refuses=[401])
    def get(self, request: Request) -> Response:
        """Who is signed in, with their teams."""
        user = request.user
        assert isinstance(user, User)
        memberships = user.memberships.select_related("team").order_by("team__name")
        teams = [MyTeam(one.team.slug, one.team.name, one.role) for one in memberships]
        return Response(Me(user.username, user.get_full_name(), user.is_staff, teams))


@method_decorator([never_cache, ensure_csrf_cookie, csrf_protect], name="dispatch")
class SessionView(APIView):
    """The browser's session."""

    authentication_classes = (BrowserSession,)
    permission_classes = (AllowAny,)

    @answers(SignedIn, refuses=[])
    def get(self, request: Request) -> Response:
        """Whether somebody is signed in; the answer brings the CSRF cookie."""
        return Response(SignedIn(request.user.is_authenticated))

    @answers(None, takes=SignIn, refuses=[400, 403, 429])
    def post(self, request: Request) -> HttpResponse:
        """Sign in; 429 after too many failures."""
        try:
            given = msgspec.json.decode(request.body, type=SignIn)
        except (*_UNREADABLE, msgspec.MsgspecError) as error:
            raise BadRequest(f"the body is no sign-in: {error}") from None
        tried = async_to_sync(signing_in.attempt)(
            request._request,
            given.username,
            lambda: signing_in.by_password(request._request, given.username, given.password),
        )
        if tried.status_code >= 400:
            raise BadRequest(_WRONG)
        return tried

    @answers(None, refuses=[403])
    def delete(self, request: Request) -> Response:
        """Sign out."""
        logout(request._request)
        return Response(status=204)
