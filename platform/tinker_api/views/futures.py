"""Waiting for results: one long poll an operation, or one for all samples of a client."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpResponse

from core import admission, disk
from core.errors import BadRequest, TooLarge
from operations import completions
from operations import services as operations
from operations.completions import Completion
from operations.services import PROTOBUF, Failed, Finished, Sized
from runs import services as runs
from tinker_api import json_results, schemas
from tinker_api.endpoint import JSON, Call, raw_reply, reply

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


def _require_small(call: Call) -> None:
    """Refuse a poll whose body would take room from batches while it waits."""
    if len(call.body) > admission.LARGE_BYTES:
        raise TooLarge(f"the body of a poll may have {admission.LARGE_BYTES} bytes at most")


async def retrieve_future(call: Call) -> HttpResponse:
    """The result of an operation, or 408 with the reason why there is none yet."""
    _require_small(call)
    wanted = call.json(schemas.RetrieveFuture)
    if wanted.request_id.endswith(UNLOADED):
        run_id = wanted.request_id.removesuffix(UNLOADED)
        await runs.run_info(actor=call.actor, run_id=run_id)
        return reply({"type": "unload_model", "model_id": run_id})
    outcome = await operations.wait_sized(
        actor=call.actor,
        request_id=wanted.request_id,
        timeout_s=HOLD_S if disk.trouble() is None else FULL_HOLD_S,
        at_most=LARGE_BYTES if wanted.allow_metadata_only else ANY_SIZE,
    )
    if isinstance(outcome, Finished):
        return await _result(call, outcome)
    if isinstance(outcome, Sized):
        return reply({"status": "complete_metadata", "response_payload_size": outcome.size})
    if isinstance(outcome, Failed):
        return reply({"error": outcome.message, "category": outcome.category})
    waiting = {"queue_state": outcome.queue_state}
    if outcome.reason:
        waiting["queue_state_reason"] = outcome.reason
    if (full := disk.trouble()) is not None:
        # it may be done, and only its result not written
        waiting = {"queue_state": "paused_capacity", "queue_state_reason": full}
    return reply(waiting, STILL_WAITING)


async def _result(call: Call, outcome: Finished) -> HttpResponse:
    """A result in a form that the client reads."""
    accepted = call.request.headers.get("Accept", "")
    if outcome.content_type != PROTOBUF or PROTOBUF in accepted:
        return raw_reply(outcome.body, outcome.content_type)
    body = await asyncio.to_thread(json_results.convert, outcome.kind, outcome.body)
    return raw_reply(body, JSON)


async def retrieve_futures(call: Call) -> HttpResponse:
    """Which of a client's samples were finished since it asked last; their results come singly."""
    _require_small(call)
    wanted = call.json(schemas.RetrieveFutures)
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
    answer = {"completions": [_completion(item) for item in news.found], "cursor": news.cursor}
    if not news.found and news.unserved is not None:
        answer["queue_state"] = "paused_capacity"
        answer["queue_state_reason"] = operations.no_worker(news.unserved)
    if not news.found and (full := disk.trouble()) is not None:
        answer |= {"queue_state": "paused_capacity", "queue_state_reason": full}
    return reply(answer)


def _completion(item: Completion) -> dict[str, Any]:
    if item.size is None:
        return {"state": "failed", "request_id": item.request_id}
    return {
        "state": "finished",
        "request_id": item.request_id,
        "response_payload_uncompressed_size": item.size,
    }


async def cancel_future(call: Call) -> HttpResponse:
    """Give up a sample; operations on runs go on, for those behind them count on them."""
    wanted = call.json(schemas.CancelFuture)
    cancelled = await operations.cancel(actor=call.actor, request_id=wanted.request_id)
    return reply({"request_id": wanted.request_id, "cancelled": cancelled})
