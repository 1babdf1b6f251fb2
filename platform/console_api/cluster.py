"""The cluster: pools, workers and queues, for everybody who is signed in."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from console_api.base import TeamViewSet, known, wait_for
from console_api.schema import answers
from runs import cluster
from runs.cluster import Cluster


class ClusterViewSet(TeamViewSet):
    """How the cluster stands. Other teams are counted, and not named."""

    @answers(Cluster, refuses=[400, 401])
    def now(self, request: Request) -> Response:
        """Pools, workers, queues, shares, and what of the person's teams waits."""
        known(request)
        user = request.user
        assert isinstance(user, User)
        teams = dict(user.memberships.values_list("team_id", "team__name"))
        found = wait_for(cluster.of_person, teams=teams, is_administrator=user.is_staff)
        return Response(found)
