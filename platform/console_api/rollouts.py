"""A run's rollouts: its steps, the groups of a step, and one group side by side.

What was sampled is shown as text if the program sent text, else it is made of the tokens that the
server kept, piece by piece, so that each piece can be coloured by its logprob.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from console_api.base import TeamViewSet, integer, text, wait_for
from console_api.schema import answers, query
from console_api.wording import texts_of, words_of
from openai_api.vocabulary import Vocabulary
from runs import groups, steps
from runs.groups import GroupedRollout, Said
from runs.steps import PREVIEW, GroupSummary, StepSummary

PAGE, MOST = 100, 500
_LAST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class StepPage:
    """A page of steps, newest first; `next` is the `before` of the page after it."""

    steps: list[StepSummary]
    next: int | None


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group of a step: its rewards by index, the beginning of what was asked, its tags."""

    group: int
    rollouts: int
    mean: float | None
    rewards: list[float | None]
    preview: str | None
    tags: list[str]


@dataclass(frozen=True, slots=True)
class GroupPage:
    """A page of a step's groups; `next` is the `after` of the page after it."""

    groups: list[ListedGroup]
    next: int | None


@dataclass(frozen=True, slots=True)
class Piece:
    """A text in pieces, one a token, whose logprobs are known or not.

    `cut`: how many tokens or characters more there are. `kept`: whether the server still has it.
    """

    pieces: list[str]
    logprobs: list[float | None]
    cut: int
    kept: bool


@dataclass(frozen=True, slots=True)
class ShownRollout:
    """One rollout: what was asked, what was answered turn by turn, and what it earned."""

    index: int
    prompt: Piece | None
    turns: list[Piece]
    tokens: int
    reward: float | None
    components: dict[str, Any]
    tags: list[str]
    data: dict[str, Any]
    time: datetime


@dataclass(frozen=True, slots=True)
class ShownGroup:
    """A group's rollouts by index."""

    step: int
    group: int
    rollouts: list[ShownRollout]


class RolloutViewSet(TeamViewSet):
    """What programs have recorded of a run's episodes."""

    @answers(
        StepPage,
        given=[
            query("before", int, "Only steps before this one."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401, 404],
    )
    def steps(self, request: Request, run_id: str) -> Response:
        """The steps that have rollouts, newest first."""
        limit = integer(request, "limit", PAGE, 1, MOST)
        before = integer(request, "before", -1, 0, _LAST)
        found = wait_for(
            steps.list_steps,
            actor=self.find(run_id),
            run_id=run_id,
            before=None if before < 0 else before,
            limit=limit + 1,
        )
        page = found[:limit]
        return Response(StepPage(page, page[-1].step if len(found) > limit else None))

    @answers(
        GroupPage,
        given=[
            query("after", int, "Only groups after this one."),
            query("search", str, "Only groups in which a rollout has this text."),
            query("limit", int, f"Rows, {PAGE} unless given, at most {MOST}."),
        ],
        refuses=[400, 401, 404],
    )
    def groups(self, request: Request, run_id: str, step: int) -> Response:
        """The groups of a step."""
        limit = integer(request, "limit", PAGE, 1, MOST)
        after = integer(request, "after", -1, 0, _LAST)
        found = wait_for(
            steps.list_groups,
            actor=self.find(run_id),
            run_id=run_id,
            step=min(step, _LAST),
            after=None if after < 0 else after,
            search=text(request, "search"),
            limit=limit + 1,
        )
        page = found[:limit]
        words = words_of(run_id) if any(one.preview_tokens for one in page) else None
        shown = [_listed(one, words) for one in page]
        return Response(GroupPage(shown, page[-1].group if len(found) > limit else None))

    @answers(ShownGroup)
    def group(self, request: Request, run_id: str, step: int, group: int) -> Response:
        """The rollouts of a group, whole."""
        actor = self.find(run_id)
        step, group = min(step, _LAST), min(group, _LAST)
        found = wait_for(groups.read_group, actor=actor, run_id=run_id, step=step, group=group)
        words = words_of(run_id) if found else None
        shown = [_shown(one, words) for one in found]
        return Response(ShownGroup(step, group, shown))


def _listed(found: GroupSummary, words: Vocabulary | None) -> ListedGroup:
    preview = found.preview
    if found.preview_tokens:
        preview = "".join(texts_of(found.preview_tokens, words))[:PREVIEW]
    return ListedGroup(found.group, found.rollouts, found.mean, found.rewards, preview, found.tags)


def _shown(found: GroupedRollout, words: Vocabulary | None) -> ShownRollout:
    turns = [
        Piece([], [], 0, kept=False) if one is None else _piece(one, words) for one in found.turns
    ]
    if found.untold is not None:
        turns.append(Piece([], [], found.untold, kept=True))
    return ShownRollout(
        index=found.index,
        prompt=None if found.prompt is None else _piece(found.prompt, words),
        turns=turns,
        tokens=found.tokens,
        reward=found.reward,
        components=found.components,
        tags=found.tags,
        data=found.data,
        time=found.time,
    )


def _piece(said: Said, words: Vocabulary | None) -> Piece:
    """A text as one piece, or tokens as one each."""
    if said.text is not None:
        return Piece([said.text], [None], said.length - len(said.text), kept=True)
    tokens = said.tokens or []
    known: list[float | None] = [
        value if math.isfinite(value) else None for value in said.logprobs or []
    ]
    pieces = texts_of(tokens, words)
    return Piece(pieces, known or [None] * len(tokens), said.length - len(tokens), kept=True)
