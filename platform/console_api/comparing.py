"""Runs side by side: settings, curves, and the prompts that several of them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import Actor
from console_api.base import TeamViewSet, choice, integer, known, wait_for
from console_api.metrics import keys_of, smoothing_of
from console_api.schema import answers, query
from console_api.wording import texts_of, vocabulary_of
from core.errors import BadRequest
from openai_api.vocabulary import Vocabulary
from runs import comparing, matching, overviews, series
from runs.comparing import Setting, SharedMetric
from runs.headlines import Headline
from runs.matching import Difference, InRun, MatchedPrompt
from runs.models import TrainingRun
from runs.overviews import RunDetail, State
from runs.series import Axis, Series
from runs.steps import PREVIEW

MOST_RUNS, MOST_CURVES = 20, 6
BUCKETS, MOST_BUCKETS = 300, 1000
MAX_KEYS = 6
PAGE, MOST = 25, 100
_LAST_STEP = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """A run that is compared; runs stand in the order in which they were asked for."""

    id: str
    name: str
    team: str
    base_model: str
    state: State
    step: int | None
    headline: Headline | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Runs with all their settings and metrics."""

    runs: list[ComparedRun]
    settings: list[Setting]
    metrics: list[SharedMetric]


@dataclass(frozen=True, slots=True)
class CurvesOfRuns:
    """Curves of each run, in the order of the runs, and of the keys in each of them."""

    runs: list[list[Series]]


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt that several runs have; `runs` in their order, null where it does not occur."""

    prompt: str
    preview: str
    spread: float
    runs: list[InRun | None]


@dataclass(frozen=True, slots=True)
class PromptPage:
    """A page of matched prompts, most disputed first, and each run against the first."""

    prompts: list[ShownPrompt]
    total: int
    differences: list[Difference]


_RUNS = query("run", list[str], f"A run; from 2 to {MOST_RUNS} of them.", many=False)


class ComparisonViewSet(TeamViewSet):
    """Several runs of the person's teams."""

    @answers(Comparison, given=[_RUNS], refuses=[400, 401, 404])
    def whole(self, request: Request) -> Response:
        """What differs, and which metrics there are."""
        known(request, "run")
        found = wait_for(_read_all, asked=self._asked(request, MOST_RUNS))
        shown = [_shown(one) for one in found]
        return Response(
            Comparison(shown, comparing.settings_of(found), comparing.metrics_of(found))
        )

    @answers(
        CurvesOfRuns,
        given=[
            query("run", list[str], f"A run; from 2 to {MOST_CURVES} of them.", many=False),
            query("key", list[str], f"A metric's name; up to {MAX_KEYS}.", many=False),
            query("x", Axis, "What the buckets lie along; `step` unless given."),
            query("from", int, "The first step."),
            query("to", int, "The last step."),
            query("buckets", int, f"How many, {BUCKETS} unless given, at most {MOST_BUCKETS}."),
            query("smoothing", float, "Weight of what was before, 0 to 0.999."),
        ],
        refuses=[400, 401, 404],
    )
    def curves(self, request: Request) -> Response:
        """The same metrics of several runs; of one that a run does not have, an empty curve."""
        known(request, "run", "key", "x", "from", "to", "buckets", "smoothing")
        asked = self._asked(request, MOST_CURVES)
        keys = keys_of(request)
        if len(keys) > MAX_KEYS:
            raise BadRequest(f"key must name at most {MAX_KEYS} metrics")
        runs = [
            wait_for(
                series.read,
                actor=actor,
                run_id=run_id,
                keys=keys,
                first_step=integer(request, "from", 0, 0, _LAST_STEP),
                last_step=integer(request, "to", _LAST_STEP, 0, _LAST_STEP),
                axis=cast("Axis", choice(request, "x", ("step", "time"), "step")),
                buckets=integer(request, "buckets", BUCKETS, 1, MOST_BUCKETS),
                smoothing=smoothing_of(request),
            )
            for run_id, actor in asked.items()
        ]
        return Response(CurvesOfRuns(runs))

    @answers(
        PromptPage,
        given=[
            _RUNS,
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
            query("offset", int, "Rows to leave out."),
        ],
        refuses=[400, 401, 404],
    )
    def prompts(self, request: Request) -> Response:
        """The prompts that occur in two of the runs or more."""
        known(request, "run", "limit", "offset")
        asked = self._asked(request, MOST_RUNS)
        found = wait_for(
            matching.read,
            run_ids=list(asked),
            limit=integer(request, "limit", PAGE, 1, MOST),
            offset=integer(request, "offset", 0, 0, 10**6),
        )
        words = None
        if any(one.preview is None for one in found.prompts):
            run = TrainingRun.objects.select_related("base_model").get(pk=next(iter(asked)))
            words = wait_for(vocabulary_of, base_model=run.base_model.name)
        shown = [_shown_prompt(one, words) for one in found.prompts]
        return Response(PromptPage(shown, found.total, found.differences))

    def _asked(self, request: Request, most: int) -> dict[str, Actor]:
        """The runs that are asked for, each once, with who acts for its team.

        Raises:
            BadRequest: too few or too many. Http404: one is of no team of theirs.
        """
        run_ids = list(dict.fromkeys(request.query_params.getlist("run")))
        if not 2 <= len(run_ids) <= most:
            raise BadRequest(f"run must name from 2 to {most} different runs")
        return {run_id: self.find(run_id) for run_id in run_ids}


async def _read_all(asked: dict[str, Actor]) -> list[RunDetail]:
    return [await overviews.find_run(actor=actor, run_id=run_id) for run_id, actor in asked.items()]


def _shown(run: RunDetail) -> ComparedRun:
    return ComparedRun(
        run.id,
        run.name,
        run.team,
        run.base_model,
        run.state,
        run.step,
        run.headline,
        run.usage.cost,
    )


def _shown_prompt(one: MatchedPrompt, words: Vocabulary | None) -> ShownPrompt:
    preview = one.preview
    if preview is None:
        preview = "".join(texts_of(one.preview_tokens or [], words))[:PREVIEW]
    return ShownPrompt(one.prompt, preview, one.spread, one.runs)
