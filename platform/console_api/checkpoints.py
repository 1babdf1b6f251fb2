"""Checkpoints: of a run, and all that a team has."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from checkpoints import services as checkpoints
from checkpoints.services import CheckpointInfo
from console_api.base import TeamViewSet, integer, text, wait_for
from console_api.schema import answers, query
from core import ids
from runs import scores
from runs.scores import Score

PAGE, MOST = 50, 200


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
    """A checkpoint of a run; `step` and `score` as far as they are known at its save."""

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
    step: int | None
    score: Score | None


@dataclass(frozen=True, slots=True)
class CheckpointPage:
    """A page of checkpoints, newest first, and how many there are in all."""

    checkpoints: list[ShownCheckpoint]
    total: int


_PAGE = [
    query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
    query("offset", int, "Rows to leave out."),
]
_TEAM = query("team", str, "Of this team; unless given, of the person's first by name.")


class CheckpointViewSet(TeamViewSet):
    """What the person's teams have saved."""

    @answers(CheckpointPage, given=[*_PAGE, _TEAM], refuses=[400, 401])
    def page(self, request: Request) -> Response:
        """A page of a team's checkpoints, newest first."""
        actor = self.of_team(text(request, "team"))
        if actor is None:
            return Response(CheckpointPage([], 0))
        shown, total = wait_for(
            checkpoints.list_of_team,
            actor=actor,
            limit=integer(request, "limit", PAGE, 1, MOST),
            offset=integer(request, "offset", 0, 0, 10**9),
        )
        return Response(CheckpointPage(wait_for(_scored, found=shown), total))

    @answers(CheckpointPage, given=_PAGE, refuses=[400, 401, 404])
    def of_run(self, request: Request, run_id: str) -> Response:
        """A page of a run's checkpoints, newest first."""
        found, total = wait_for(
            checkpoints.list_of_run,
            actor=self.find(run_id),
            run_id=run_id,
            segments=list(ids.SEGMENTS),
            limit=integer(request, "limit", PAGE, 1, MOST),
            offset=integer(request, "offset", 0, 0, 10**9),
        )
        return Response(CheckpointPage(wait_for(_scored, found=found), total))


async def _scored(found: list[CheckpointInfo]) -> list[ShownCheckpoint]:
    moments = [(one.run_id, one.step) for one in found if one.step is not None]
    known = await scores.at_steps(moments)
    return [
        _shown(one, None if one.step is None else known.get((one.run_id, one.step)))
        for one in found
    ]


def _shown(found: CheckpointInfo, score: Score | None) -> ShownCheckpoint:
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
        step=found.step,
        score=score,
    )
