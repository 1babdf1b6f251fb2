"""What a run trained on: its steps, the datums of a step, one of them position by position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from rest_framework.request import Request
from rest_framework.response import Response

from captures import batches
from captures.batches import Batch, Example, FoundDatum, Order, StepRow
from console_api.base import TeamViewSet, choice, integer, known, wait_for
from console_api.schema import answers, query
from console_api.wording import texts_of, words_of

PAGE, MOST = 100, 500
_LAST = 2**63 - 1
_ORDERS = cast("tuple[str, ...]", get_args(Order))


@dataclass(frozen=True, slots=True)
class TrainedStepPage:
    """A page of steps, newest first; `next` is the `before` of the page after it."""

    steps: list[StepRow]
    next: int | None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """Some datums of a step; `next` is the `offset` of the page after it."""

    batch: Batch
    next: int | None


@dataclass(frozen=True, slots=True)
class ShownDatum:
    """A datum and the text of each of its positions; no texts where its tokens are not kept."""

    datum: FoundDatum
    texts: list[str]


@dataclass(frozen=True, slots=True)
class Examples:
    """What was trained on in several steps, with its mean logprob the first and the last time."""

    examples: list[Example]


class BatchViewSet(TeamViewSet):
    """What the platform has captured of a run's batches."""

    @answers(
        TrainedStepPage,
        given=[
            query("before", int, "Only steps before this one."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401, 404],
    )
    def steps(self, request: Request, run_id: str) -> Response:
        """The steps whose datums were captured, newest first."""
        known(request, "before", "limit")
        limit = integer(request, "limit", PAGE, 1, MOST)
        found = wait_for(
            batches.list_steps,
            actor=self.find(run_id),
            run_id=run_id,
            before=integer(request, "before", _LAST, 0, _LAST),
            limit=limit + 1,
        )
        page = found[:limit]
        return Response(TrainedStepPage(page, page[-1].step if len(found) > limit else None))

    @answers(
        BatchPage,
        given=[
            query("order", Order, "`place` unless given; `loss`: that of a trained token."),
            query("offset", int, "The `next` of the page before."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401, 404],
    )
    def batch(self, request: Request, run_id: str, step: int) -> Response:
        """The datums of a step, and what is odd about them."""
        known(request, "order", "offset", "limit")
        limit = integer(request, "limit", PAGE, 1, MOST)
        offset = integer(request, "offset", 0, 0, 10_000_000)
        found = wait_for(
            batches.read_batch,
            actor=self.find(run_id),
            run_id=run_id,
            step=min(step, _LAST),
            order=cast("Order", choice(request, "order", _ORDERS, "place")),
            limit=limit,
            offset=offset,
        )
        end = offset + len(found.datums)
        return Response(BatchPage(found, end if found.datums and end < found.total else None))

    @answers(ShownDatum)
    def datum(self, request: Request, run_id: str, datum_id: int) -> Response:
        """One datum, position by position."""
        known(request)
        actor = self.find(run_id)
        found = wait_for(
            batches.read_datum, actor=actor, run_id=run_id, datum_id=min(datum_id, _LAST)
        )
        shown = found.positions
        return Response(
            ShownDatum(found, texts_of(shown.tokens, words_of(run_id)) if shown else [])
        )

    @answers(Examples)
    def examples(self, request: Request, run_id: str) -> Response:
        """What was trained on in several steps: learnt, forgotten, known by heart."""
        known(request)
        found = wait_for(batches.list_examples, actor=self.find(run_id), run_id=run_id)
        return Response(Examples(found))
