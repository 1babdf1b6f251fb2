"""The order of a run's requests: what refusals say of their numbers, and numbers given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from core.errors import ApiError, NotFound
from core.json_bodies import Answer, told
from operations import order
from tinker_api import schemas
from tinker_api.endpoint import Call
from tinker_api.scan import ids_of_refused

Said = tuple[ApiError, Mapping[str, str]]


class Withdrawn(Answer):
    """Which of the numbers were not given up."""

    standing: Annotated[list[int], told("Numbers whose requests had come and may have been begun.")]


async def say_place(call: Call | None, refusal: ApiError) -> Said:
    """A refusal, with the header that says whether its request holds its place in the order."""
    return await _say_place(call, refusal, is_pass=False)


async def say_place_of_pass(call: Call | None, refusal: ApiError) -> Said:
    """The same of (a part of) a batch."""
    return await _say_place(call, refusal, is_pass=True)


async def _say_place(call: Call | None, refusal: ApiError, *, is_pass: bool) -> Said:
    ids = ids_of_refused(call.body) if call is not None else None
    try:
        place = await order.place_of_refused(
            actor=call.actor if call is not None else None,
            request=order.Numbered(ids.model_id, ids.seq_id, is_pass) if ids is not None else None,
            refusal=refusal,
        )
    except NotFound as error:
        # whatever else is wrong: of other teams' runs nobody hears more than that
        refusal, place = error, order.Place.FREE
    return refusal, {} if place is None else {order.HEADER: place}


async def withdraw(call: Call, run_id: str) -> Withdrawn:
    """Give up numbers whose requests will not come, so that nobody waits for them."""
    wanted = call.json(schemas.Withdraw, nul_allowed=True)
    standing = await order.withdraw(
        actor=call.actor,
        run_id=run_id,
        first=wanted.first,
        last=wanted.last,
        words=wanted.reason or "its client gave it up",
    )
    return Withdrawn(standing=standing)
