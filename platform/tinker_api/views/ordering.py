"""The order of a run's requests: what refusals say of their numbers, and numbers given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from accounts.actors import Forbidden
from core.errors import ApiError, NotFound
from core.json_bodies import Answer, Number, Request, Text, told
from core.openapi import says
from operations import order
from tinker_api.endpoint import Call
from tinker_api.scan import ids_of_refused

Said = tuple[ApiError, Mapping[str, str]]


class Withdraw(Request):
    """`runs/{id}/withdraw`: the numbers from `first` to `last` will not come."""

    first: Annotated[Number, told("The first number.")]
    last: Annotated[Number, told("The last number.")]
    reason: Annotated[Text | None, told("Why, for whoever asks for their results.")] = None


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
    except (NotFound, Forbidden) as error:
        # whatever else is wrong: of other teams' runs, or of what is not theirs to do, nobody hears
        # more than that
        refusal, place = error, order.Place.FREE
    return refusal, {} if place is None else {order.HEADER: place}


@says(
    takes=Withdraw,
    more="Numbers that no request has come for are refused in its place. If the first of them "
    "is among those, nothing behind it has been begun, and what has come for the other numbers "
    f"is refused too. At most {order.MOST_AT_ONCE} numbers at once.",
)
async def withdraw(call: Call, run_id: str) -> Withdrawn:
    """Give up numbers whose requests will not come, so that nobody waits for them."""
    wanted = call.json(Withdraw, nul_allowed=True)
    standing = await order.withdraw(
        actor=call.actor,
        run_id=run_id,
        first=wanted.first,
        last=wanted.last,
        words=wanted.reason or "its client gave it up",
    )
    return Withdrawn(standing=standing)
