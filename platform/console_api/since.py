"""What is new in a team to somebody who comes back, and their word that they have seen it."""

from __future__ import annotations

import msgspec
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import actors
from accounts.models import User
from console_api.base import TeamViewSet, body_of, known, wait_for
from console_api.schema import answers, query
from runs import since
from runs.since import Since


class SeenUpTo(msgspec.Struct, forbid_unknown_fields=True):
    """Of which team, and up to which cursor, as `Since` had it; null: up to now."""

    team: str
    cursor: str | None = None


class SinceViewSet(TeamViewSet):
    """Reading it changes nothing: a page that is only loaded has not been looked at."""

    @answers(
        Since,
        given=[query("team", str, "Of this team; unless given, of the person's first by name.")],
        refuses=[400, 401, 404],
    )
    def read(self, request: Request) -> Response:
        """What has changed since the person looked, the most important first."""
        known(request, "team")
        actor = self.member(request)
        return Response(wait_for(since.read, actor=actor, user_id=request.user.pk))

    @answers(None, takes=SeenUpTo, refuses=[400, 401, 403, 404])
    def mark(self, request: Request) -> Response:
        """Note that the person has seen it."""
        known(request)
        given = body_of(request, SeenUpTo)
        assert isinstance(request.user, User)
        actor = actors.of_member(user=request.user, team_slug=given.team.replace("\0", ""))
        wait_for(since.mark, actor=actor, user_id=request.user.pk, cursor=given.cursor)
        return Response(status=204)
