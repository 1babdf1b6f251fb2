"""Where weights came from and went to."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, known, text, wait_for
from console_api.schema import answers, query
from runs import lineage
from runs.lineage import Lineage


class LineageViewSet(TeamViewSet):
    """Runs, what they saved, and the edges between them."""

    @answers(
        Lineage,
        given=[
            query("run", str, "Only what hangs together with this run."),
            query("team", str, "Of this team; unless given, of the person's first by name."),
        ],
        refuses=[400, 401, 404],
    )
    def whole(self, request: Request) -> Response:
        """The lineage of a run, or of the newest runs of a team."""
        known(request, "run", "team")
        run_id = text(request, "run") or None
        actor = self.find(run_id) if run_id else self.of_team(text(request, "team"))
        if actor is None:
            return Response(Lineage([], [], [], folded=False, cut=False))
        return Response(wait_for(lineage.read, actor=actor, run_id=run_id))
