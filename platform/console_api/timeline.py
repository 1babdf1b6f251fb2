"""A run's time: what it was spent on, and why the run waits."""

from __future__ import annotations

import math

from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, wait_for
from console_api.schema import answers, query
from core.errors import BadRequest
from runs.timeline import service
from runs.timeline.service import DEFAULT_S, LEAST_S, MOST_S, Timeline

PARAMETERS = ("from", "to", "seconds")


class TimelineViewSet(TeamViewSet):
    """Where the time of runs goes."""

    @answers(
        Timeline,
        given=[
            query("from", float, "Seconds since 1970; `seconds` before `to` unless given."),
            query("seconds", float, f"How long, {DEFAULT_S:.0f} unless given."),
            query(
                "to",
                float,
                f"Seconds since 1970; now, or the run's end, unless given. From {LEAST_S:.0f} s "
                f"to {MOST_S / 3600:.0f} h later.",
            ),
        ],
        refuses=[400, 401, 404],
    )
    def one(self, request: Request, run_id: str) -> Response:
        """A stretch of a run's time, divided into causes that add up to it, and drawn."""
        actor = self.find(run_id)
        if unknown := set(request.query_params) - set(PARAMETERS):
            allowed = ", ".join(PARAMETERS)
            raise BadRequest(f"unknown parameter {min(unknown)!r}; allowed: {allowed}")
        seconds = _number(request, "seconds", LEAST_S, MOST_S)
        found = wait_for(
            service.find_timeline,
            actor=actor,
            run_id=run_id,
            first=_number(request, "from", 0, 1e11),
            last=_number(request, "to", 0, 1e11),
            seconds=DEFAULT_S if seconds is None else seconds,
        )
        return Response(found)


def _number(request: Request, name: str, least: float, most: float) -> float | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        found = float(text) if len(text) < 40 else math.nan
    except ValueError:
        found = math.nan
    if not least <= found <= most:
        raise BadRequest(f"{name} must be a number of seconds from {least:g} to {most:g}")
    return found
