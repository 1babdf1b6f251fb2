"""A run's metrics: their names with the ends of their curves, and the curves in buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, choice, integer, wait_for
from console_api.schema import answers, query
from core import database
from core.errors import BadRequest
from runs import headlines, series
from runs.headlines import MetricSummary
from runs.recordings import MAX_KEY
from runs.series import Axis, Series

MAX_KEYS = 24
BUCKETS, MOST_BUCKETS = 400, 2000
MAX_SMOOTHING = 0.999
_LAST_STEP = 2**63 - 1


@dataclass(frozen=True, slots=True)
class MetricNames:
    """A run's metrics by name."""

    metrics: list[MetricSummary]


@dataclass(frozen=True, slots=True)
class Curves:
    """Metrics in buckets; of one that the run does not have, an empty curve."""

    series: list[Series]


class MetricViewSet(TeamViewSet):
    """What programs have recorded about a run."""

    @answers(MetricNames)
    def names(self, request: Request, run_id: str) -> Response:
        """The names, each with its first and its last value."""
        self.find(run_id)
        return Response(MetricNames(wait_for(_names, run_id=run_id)))

    @answers(
        Curves,
        given=[
            query("key", list[str], f"A metric's name; repeatable, up to {MAX_KEYS}.", many=False),
            query("x", Axis, "What the buckets lie along; `step` unless given."),
            query("from", int, "The first step."),
            query("to", int, "The last step."),
            query("buckets", int, f"How many, {BUCKETS} unless given, at most {MOST_BUCKETS}."),
            query("smoothing", float, f"Weight of what was before, 0 to {MAX_SMOOTHING}."),
        ],
        refuses=[400, 401, 404],
    )
    def series(self, request: Request, run_id: str) -> Response:
        """Curves with the least, the greatest and the last value of every bucket."""
        actor = self.find(run_id)
        found = wait_for(
            series.read,
            actor=actor,
            run_id=run_id,
            keys=keys_of(request),
            first_step=integer(request, "from", 0, 0, _LAST_STEP),
            last_step=integer(request, "to", _LAST_STEP, 0, _LAST_STEP),
            axis=cast("Axis", choice(request, "x", ("step", "time"), "step")),
            buckets=integer(request, "buckets", BUCKETS, 1, MOST_BUCKETS),
            smoothing=smoothing_of(request),
        )
        return Response(Curves(found))


async def _names(run_id: str) -> list[MetricSummary]:
    async with database.connection() as conn:
        return (await headlines.summarize(conn, [run_id])).get(run_id, [])


def keys_of(request: Request) -> list[str]:
    """The metrics that are asked for, each once. Raises BadRequest."""
    keys = list(dict.fromkeys(request.query_params.getlist("key")))
    if not 1 <= len(keys) <= MAX_KEYS:
        raise BadRequest(f"key must name from 1 to {MAX_KEYS} metrics")
    if any(len(key) > MAX_KEY or "\0" in key for key in keys):
        raise BadRequest(f"key must have at most {MAX_KEY} characters, and no NUL")
    return keys


def smoothing_of(request: Request) -> float:
    """The weight of smoothing. Raises BadRequest."""
    try:
        found = float(request.query_params.get("smoothing", "0"))
    except ValueError:
        found = -1.0
    if not 0 <= found <= MAX_SMOOTHING:
        raise BadRequest(f"smoothing must be a number from 0 to {MAX_SMOOTHING}")
    return found
