"""Our own routes: metrics and rollouts that programs record about their runs."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from core.errors import BadRequest, TooLarge
from core.json_bodies import Answer, Number, Request, told
from core.openapi import Given, says
from runs import recordings
from tinker_api import queries, words
from tinker_api.endpoint import Call
from tinker_api.shapes import Moment

MAX_ROWS = 1000
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_DATA_BYTES = 64 * 1024
MAX_METRICS_PAGE = 10_000
MAX_SEQUENCES, MAX_LABELS = 1000, 100
NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Token = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Tokens = Annotated[list[Token], Meta(max_length=262_144)]
Words = Annotated[str, Meta(max_length=1_000_000)]
Label = Annotated[str, Meta(min_length=1, max_length=200)]
SequenceId = Annotated[str, Meta(min_length=1, max_length=200)]


class Recorded(Answer):
    """How many rows were kept."""

    recorded: Annotated[int, told("Rows; one that was there already counts again.")]
    escaped: Annotated[
        list[int] | UnsetType,
        told("Places of rows with NUL characters, which are kept as `\\u0000`; if there are."),
    ] = UNSET
    unknown: Annotated[
        list[int] | UnsetType,
        told("Places of rows that name sequences of which nothing is recorded; if there are."),
    ] = UNSET
    detail: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class RecordedMetric(Answer):
    """A number of a step."""

    key: str
    step: int
    value: float | Literal["nan", "inf", "-inf"]
    time: Moment


class RecordedMetrics(Answer):
    """Numbers in the order they came."""

    metrics: Annotated[list[RecordedMetric], told("The numbers.")]
    cursor: Annotated[int, told("Send it as `after` for those that come later.")]


class LoggedSequence(Answer):
    """A sampled sequence."""

    id: Annotated[str, told("What the server named it when it was sampled.")]
    tokens: Annotated[list[int] | None, told("What was sampled; null once it is no longer kept.")]
    logprobs: Annotated[list[float] | None, told("Of each token, as it was sampled.")]


class RecordedRollout(Answer):
    """An episode."""

    step: int
    group: int
    index: int
    prompt: str | None
    completion: str | None
    prompt_tokens: list[int] | None
    completion_tokens: list[int] | None
    sequences: Annotated[list[LoggedSequence], told("What was sampled in it, in order.")]
    reward: float | Literal["nan", "inf", "-inf"] | None
    components: Annotated[
        dict[str, float | str], told("Parts of the reward; nan, inf and -inf are texts.")
    ]
    tags: list[str]
    data: dict[str, Any]
    time: Moment


class RecordedRollouts(Answer):
    """A page of episodes by step, group and index."""

    rollouts: Annotated[list[RecordedRollout], told("The episodes.")]
    total_count: int


class Metric(msgspec.Struct, forbid_unknown_fields=True):
    """A number; what is not finite comes as a text."""

    key: Annotated[str, Meta(min_length=1, max_length=recordings.MAX_KEY)]
    step: Number
    value: float | str


class Metrics(Request):
    """`runs/{id}/metrics`."""

    metrics: Annotated[Annotated[list[Metric], Meta(max_length=MAX_ROWS)], told("The numbers.")]


class Rollout(msgspec.Struct, forbid_unknown_fields=True):
    """An episode."""

    step: Number
    group: Number = 0
    index: Number = 0
    prompt: Words | None = None
    completion: Words | None = None
    prompt_tokens: Tokens | None = None
    completion_tokens: Tokens | None = None
    sequences: Annotated[
        Annotated[list[SequenceId], Meta(max_length=MAX_SEQUENCES)],
        told("Ids of what was sampled with `record_stability_info`: its tokens are kept with it."),
    ] = []
    reward: float | str | None = None
    components: Annotated[
        Annotated[dict[Label, float | str], Meta(max_length=MAX_LABELS)],
        told("Parts of the reward by name."),
    ] = {}
    tags: Annotated[list[Label], Meta(max_length=MAX_LABELS)] = []
    data: dict[str, Any] | None = None


class Rollouts(Request):
    """`runs/{id}/rollouts`."""

    rollouts: Annotated[Annotated[list[Rollout], Meta(max_length=MAX_ROWS)], told("The episodes.")]


@says(takes=Metrics, also={413: ((), words.FULL)})
async def record_metrics(call: Call, run_id: str) -> Recorded:
    """Keep numbers of steps."""
    _check_size(call)
    values = [
        recordings.MetricValue(
            metric.key, metric.step, _number(metric.value, f"metrics[{place}].value")
        )
        for place, metric in enumerate(call.json(Metrics, nul_allowed=True).metrics)
    ]
    kept = await recordings.record_metrics(actor=call.actor, run_id=run_id, values=values)
    return _recorded(kept)


def _recorded(kept: recordings.Kept) -> Recorded:
    """What was kept, and of which rows a part was written in another way."""
    answer = Recorded(recorded=kept.rows)
    words = []
    if kept.escaped:
        answer.escaped = kept.escaped
        words.append(
            f"{len(kept.escaped)} of the rows hold NUL characters, which are kept as "
            f"{recordings.NUL_KEPT_AS}"
        )
    if kept.unknown:
        answer.unknown = kept.unknown
        words.append(
            f"{len(kept.unknown)} of the rows name sequences of which nothing is recorded, so that "
            "their tokens cannot be kept: sample with record_stability_info, and log within a week"
        )
    if words:
        answer.detail = "; ".join(words)
    return answer


@says(
    given=(
        Given("key", list[str], "Only these metrics; repeatable."),
        Given("after", Number, "The `cursor` of the answer before."),
        Given(
            "limit",
            Annotated[int, Meta(ge=1, le=MAX_METRICS_PAGE)],
            "Rows, 1000 unless given.",
        ),
    )
)
async def list_metrics(call: Call, run_id: str) -> RecordedMetrics:
    """Numbers in the order they came; `cursor` is for the next question."""
    after = queries.number(call, "after", 0, 0, 2**63 - 1)
    limit = queries.number(call, "limit", 1000, 1, MAX_METRICS_PAGE)
    keys = call.request.GET.getlist("key")
    found = await recordings.list_metrics(
        actor=call.actor, run_id=run_id, keys=keys, after=after, limit=limit
    )
    shown = [
        RecordedMetric(
            key=metric.key, step=metric.step, value=_shown(metric.value), time=metric.time
        )
        for metric in found
    ]
    return RecordedMetrics(metrics=shown, cursor=found[-1].id if found else after)


@says(takes=Rollouts, also={413: ((), words.FULL)})
async def record_rollouts(call: Call, run_id: str) -> Recorded:
    """Keep episodes."""
    _check_size(call)
    values = []
    for place, given in enumerate(call.json(Rollouts, nul_allowed=True).rollouts):
        data = given.data or {}
        if (size := len(msgspec.json.encode(data))) > MAX_DATA_BYTES:
            raise BadRequest(
                f"rollouts[{place}].data has {size} bytes, allowed are {MAX_DATA_BYTES}"
            )
        reward = given.reward
        values.append(
            recordings.RolloutValue(
                step=given.step,
                group=given.group,
                index=given.index,
                prompt=given.prompt,
                completion=given.completion,
                prompt_tokens=given.prompt_tokens,
                completion_tokens=given.completion_tokens,
                sequences=given.sequences,
                components={
                    name: _shown(_number(value, f"rollouts[{place}].components"))
                    for name, value in given.components.items()
                },
                tags=given.tags,
                reward=None if reward is None else _number(reward, f"rollouts[{place}].reward"),
                data=data,
            )
        )
    kept = await recordings.record_rollouts(actor=call.actor, run_id=run_id, values=values)
    return _recorded(kept)


@says(given=(*queries.PAGE, Given("step", Number, "Only of this step.")))
async def list_rollouts(call: Call, run_id: str) -> RecordedRollouts:
    """A page of episodes by step, group and index."""
    limit, offset = queries.page(call)
    step = queries.number(call, "step", -1, 0, 2**63 - 1)
    found, total = await recordings.list_rollouts(
        actor=call.actor,
        run_id=run_id,
        step=None if step < 0 else step,
        limit=limit,
        offset=offset,
    )
    return RecordedRollouts(rollouts=[_rollout(item) for item in found], total_count=total)


def _rollout(read: recordings.ReadRollout) -> RecordedRollout:
    item = read.rollout
    return RecordedRollout(
        step=item.step,
        group=item.group,
        index=item.index,
        prompt=item.prompt,
        completion=item.completion,
        prompt_tokens=item.prompt_tokens,
        completion_tokens=item.completion_tokens,
        sequences=[
            LoggedSequence(id=found.name, tokens=found.tokens, logprobs=found.logprobs)
            for found in read.sequences
        ],
        components=item.components,
        tags=item.tags,
        reward=None if item.reward is None else _shown(item.reward),
        data=item.data,
        time=item.time,
    )


def _check_size(call: Call) -> None:
    if len(call.body) > MAX_BODY_BYTES:
        raise TooLarge(
            f"the request has {len(call.body)} bytes, this route takes {MAX_BODY_BYTES}; "
            "send the rows in several requests"
        )


def _number(value: float | str, place: str) -> float:
    """A number, whichever way it came."""
    if isinstance(value, str):
        if value not in NOT_FINITE:
            raise BadRequest(
                f"{place} must be a number, or one of {', '.join(NOT_FINITE)}, not {value[:50]!r}"
            )
        return NOT_FINITE[value]
    return value


def _shown(value: float) -> float | Literal["nan", "inf", "-inf"]:
    """A number as JSON has it."""
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
