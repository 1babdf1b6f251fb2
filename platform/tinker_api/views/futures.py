"""Waiting for results: one long poll an operation, or one for all samples of a client."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from django.http import HttpResponse
from msgspec import UNSET, Meta, UnsetType

from core import admission, disk
from core.errors import BadRequest, TooLarge
from core.json_bodies import Answer, Id, Number, Request, told
from core.openapi import Raw, says
from operations import completions, results
from operations import services as operations
from operations.completions import Completion
from operations.services import PROTOBUF, Failed, Finished, Sized
from runs import services as runs
from tinker_api import json_results
from tinker_api.endpoint import JSON, Call, raw_reply, reply
from tinker_api.shapes import BINARY

# Clients give up on a poll after 45 s; proxies between often after 30
HOLD_S = 25.0
# while the disk is full; the client is told so
FULL_HOLD_S = 5.0
STILL_WAITING = 408
# A client that says it will come again is told the size of larger results first, so that it can
# make room for them
LARGE_BYTES = 4 * 1024 * 1024
ANY_SIZE = 2**31 - 1
UNLOADED = ":unload"


class RetrieveFuture(Request):
    """`retrieve_future`. `allow_metadata_only`: the client asks again for what is large."""

    request_id: Id
    model_id: Id | None = None
    allow_metadata_only: Annotated[
        bool | None, told("Whether a large result may be announced by its size first.")
    ] = None


class CancelFuture(Request):
    """`cancel_future`."""

    request_id: Id
    model_id: Id | None = None


class FuturesTarget(msgspec.Struct, forbid_unknown_fields=True):
    """Whose samples are waited for: those of one client of a sampler."""

    sampling_session_id: Id
    type: Annotated[str | None, told("`sampling_session`.")] = None
    cloned_sampler_id: Annotated[
        Number | None, told("The client's own number on a shared sampler.")
    ] = None


class RetrieveFutures(Request):
    """`retrieve_futures`."""

    target: Annotated[FuturesTarget, told("Whose samples are waited for.")]
    prev_cursor: Annotated[
        Number | None, told("`cursor` of the answer before; 0 unless given.")
    ] = None
    timeout: Annotated[
        Annotated[float, Meta(ge=0)] | None, told("How many seconds to wait at most.")
    ] = None
    retrieved_request_ids: Annotated[
        list[Id] | None, told("Samples whose results were fetched: they are not listed again.")
    ] = None


class Waiting(Answer):
    """There is no result yet; ask again."""

    queue_state: Annotated[
        Literal["active", "paused_capacity", "paused_rate_limit"],
        told(
            "`active`: workers are at it; `paused_capacity`: no worker serves the model "
            "at the moment, or a request before it has not come; `paused_rate_limit`: others come "
            "first."
        ),
    ]
    queue_state_reason: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class Failure(Answer):
    """An operation failed."""

    error: Annotated[str, told("What went wrong, and what is allowed.")]
    category: Annotated[Literal["user", "server", "unknown"], told("Whose fault it is.")]


class RunUnloaded(Answer):
    """The result of `unload_model`."""

    type: Literal["unload_model"]
    model_id: str


class ResultSize(Answer):
    """There is a result, and it is large: ask again without `allow_metadata_only`."""

    status: Annotated[Literal["complete_metadata"], told("Always `complete_metadata`.")]
    response_payload_size: Annotated[int, told("The result's size in bytes.")]


class EndedSample(Answer):
    """A sample that has ended."""

    state: Annotated[Literal["finished", "failed"], told("How it ended.")]
    request_id: str
    response_payload_uncompressed_size: Annotated[
        int | UnsetType, told("The result's size in bytes.")
    ] = UNSET


class Completions(Answer):
    """Samples that have ended since the cursor."""

    completions: Annotated[
        list[EndedSample], told("Which samples; `retrieve_future` gives each result.")
    ]
    cursor: Annotated[int, told("Send it as `prev_cursor` for those that end later.")]
    queue_state: Annotated[
        Literal["paused_capacity"] | UnsetType,
        told("Only where nothing ends because no worker serves the model."),
    ] = UNSET
    queue_state_reason: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class Cancelled(Answer):
    """Whether the sample was given up."""

    request_id: str
    cancelled: Annotated[bool, told("False: it had ended already, or is not to be given up.")]


def _require_small(call: Call) -> None:
    """Refuse a poll whose body would take room from batches while it waits."""
    if len(call.body) > admission.LARGE_BYTES:
        raise TooLarge(f"the body of a poll may have {admission.LARGE_BYTES} bytes at most")


@says(
    takes=RetrieveFuture,
    gives=(
        results.RunMade,
        results.StepDone,
        results.WeightsLoaded,
        results.WeightsSaved,
        results.SamplerSaved,
        results.ExternalSaved,
        RunUnloaded,
        json_results.OldPassResult,
        json_results.OldSampleResult,
        ResultSize,
        Failure,
        Raw(
            PROTOBUF,
            "The result: a `ForwardBackwardOutput`, a `SampleResponse`, or JSON. "
            "An operation that failed is a 200 with `error`.",
            BINARY,
        ),
    ),
    more="Held for up to 25 s. A result may be fetched as often as one likes. Passes and "
    "samples come as protobuf to those who accept it, which all releases since 0.25 do.",
    also={408: (Waiting, "There is no result yet: ask again.")},
)
async def retrieve_future(call: Call) -> HttpResponse | Answer:
    """The result of an operation, or 408 with the reason why there is none yet."""
    _require_small(call)
    wanted = call.json(RetrieveFuture)
    if wanted.request_id.endswith(UNLOADED):
        run_id = wanted.request_id.removesuffix(UNLOADED)
        await runs.run_info(actor=call.actor, run_id=run_id)
        return RunUnloaded(type="unload_model", model_id=run_id)
    outcome = await operations.wait_sized(
        actor=call.actor,
        request_id=wanted.request_id,
        timeout_s=HOLD_S if disk.trouble() is None else FULL_HOLD_S,
        at_most=LARGE_BYTES if wanted.allow_metadata_only else ANY_SIZE,
    )
    if isinstance(outcome, Finished):
        return await _result(call, outcome)
    if isinstance(outcome, Sized):
        return ResultSize(status="complete_metadata", response_payload_size=outcome.size)
    if isinstance(outcome, Failed):
        return Failure(error=outcome.message, category=outcome.category)
    waiting = Waiting(queue_state=outcome.queue_state, queue_state_reason=outcome.reason or UNSET)
    if (full := disk.trouble()) is not None:
        # it may be done, and only its result not written
        waiting = Waiting(queue_state="paused_capacity", queue_state_reason=full)
    return reply(waiting, STILL_WAITING)


async def _result(call: Call, outcome: Finished) -> HttpResponse:
    """A result in a form that the client reads."""
    accepted = call.request.headers.get("Accept", "")
    if outcome.content_type != PROTOBUF or PROTOBUF in accepted:
        return raw_reply(outcome.body, outcome.content_type)
    body = await asyncio.to_thread(json_results.convert, outcome.kind, outcome.body)
    return raw_reply(body, JSON)


@says(
    takes=RetrieveFutures,
    more="Held for up to 25 s, or until there is news; where no worker serves the model, 3 s.",
)
async def retrieve_futures(call: Call) -> Completions:
    """Which of a client's samples were finished since it asked last; their results come singly."""
    _require_small(call)
    wanted = call.json(RetrieveFutures)
    target = wanted.target
    if target.type not in (None, "sampling_session"):
        raise BadRequest(f"unknown type {target.type!r} of target; allowed: sampling_session")
    if wanted.retrieved_request_ids:
        await completions.forget(
            actor=call.actor,
            sampler_id=target.sampling_session_id,
            request_ids=wanted.retrieved_request_ids,
        )
    news = await completions.wait(
        actor=call.actor,
        sampler_id=target.sampling_session_id,
        clone=target.cloned_sampler_id or 0,
        after=wanted.prev_cursor or 0,
        timeout_s=HOLD_S if wanted.timeout is None else min(wanted.timeout, HOLD_S),
    )
    answer = Completions(completions=[_completion(item) for item in news.found], cursor=news.cursor)
    if not news.found and news.unserved is not None:
        answer.queue_state = "paused_capacity"
        answer.queue_state_reason = operations.no_worker(news.unserved)
    if not news.found and (full := disk.trouble()) is not None:
        answer.queue_state, answer.queue_state_reason = "paused_capacity", full
    return answer


def _completion(item: Completion) -> EndedSample:
    if item.size is None:
        return EndedSample(state="failed", request_id=item.request_id)
    return EndedSample(
        state="finished",
        request_id=item.request_id,
        response_payload_uncompressed_size=item.size,
    )


@says(takes=CancelFuture)
async def cancel_future(call: Call) -> Cancelled:
    """Give up a sample; operations on runs go on, for those behind them count on them."""
    wanted = call.json(CancelFuture)
    cancelled = await operations.cancel(actor=call.actor, request_id=wanted.request_id)
    return Cancelled(request_id=wanted.request_id, cancelled=cancelled)
