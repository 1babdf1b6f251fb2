"""Waiting for results: one long poll at a time, as often as a client likes."""

from __future__ import annotations

from django.http import HttpResponse

from operations import services as operations
from operations.services import Failed, Finished
from tinker_api import schemas
from tinker_api.endpoint import Call, raw_reply, reply

# Clients give up on a poll after 45 s; proxies between often after 30
HOLD_S = 25.0
STILL_WAITING = 408


async def retrieve_future(call: Call) -> HttpResponse:
    """The result of an operation, or 408 with the reason why there is none yet."""
    wanted = call.json(schemas.RetrieveFuture)
    outcome = await operations.wait_result(
        caller=call.caller, request_id=wanted.request_id, timeout_s=HOLD_S
    )
    if isinstance(outcome, Finished):
        return raw_reply(outcome.body, outcome.content_type)
    if isinstance(outcome, Failed):
        return reply({"error": outcome.message, "category": outcome.category})
    waiting = {"queue_state": outcome.queue_state}
    if outcome.reason:
        waiting["queue_state_reason"] = outcome.reason
    return reply(waiting, STILL_WAITING)
