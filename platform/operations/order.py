"""Which place a refused request has in its run's order: decided here, for every refusal.

The requests of a run are done in the order of their numbers, and a missing one is waited for. So a
request that is refused must not leave a gap that nobody fills. Where the run and the number can be
read and the caller may train, its place is *held*: a `refused` operation is stored, which fails
with the refusal's words. Else nothing is stored, and the number is *free*. `docs/operation_log.md`
says what clients make of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from accounts import rights
from accounts.rights import Right
from core import database
from core.errors import ApiError, BadRequest, NotFound, SessionEnded
from operations import lanes, services
from operations.models import Operation
from operations.services import JSON

if TYPE_CHECKING:
    from accounts.actors import Actor

HEADER = "X-Tinsmith-Sequence"
MOST_AT_ONCE = 1024
# a refusal's words go into the log so far
MAX_WORDS = 2000
# Who may not train must not write into a run; what is to be sent again keeps its number.
# There is nothing to hold a place in where the run is unknown.
_NOT_STORED = frozenset({401, 403, 404, 405, 408, 429})
_OUR_FAULT = 500
_REFUSED, _MISSING = Operation.Kind.REFUSED, Operation.Kind.MISSING


class Place(StrEnum):
    """What a refusal says of the request's number."""

    HELD = "held"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Numbered:
    """Which request was refused. `is_pass`: it was (a part of) a batch to learn from."""

    run_id: str
    seq: int
    is_pass: bool = False


# A number that is there already stays as it is
_FILL = f"""
WITH lane AS ({lanes.LOCKED}), filled AS (
    INSERT INTO operations_operation (target, seq, team_id, pool, kind, cost)
    SELECT target, number, team_id, pool, '{_REFUSED}', octet_length(%(words)s::bytea)
    FROM lane, generate_series(%(first)s::bigint, %(last)s::bigint) number
    WHERE closed_at IS NULL
    ORDER BY number
    ON CONFLICT (target, seq) DO NOTHING
    RETURNING id, seq
), bodies AS (
    INSERT INTO operations_payload (operation_id, content_type, body)
    SELECT id, '{JSON}', %(words)s FROM filled
)
SELECT pool, closed_at, worker_id, ARRAY(SELECT seq FROM filled ORDER BY seq) FROM lane
"""

# What stands behind a number that was missing until now is claimed by nobody yet
_TAKE_ALONG = f"""
WITH along AS (
    UPDATE operations_operation SET kind = '{_REFUSED}', cost = octet_length(%(words)s::bytea)
    WHERE target = %(target)s AND seq > %(first)s AND seq <= %(last)s
      AND state = 'queued' AND kind = ANY(%(kinds)s)
    RETURNING id
)
UPDATE operations_payload p SET content_type = '{JSON}', body = %(words)s
FROM along WHERE p.operation_id = along.id
"""

_STANDING = f"""
SELECT seq FROM operations_operation
WHERE target = %s AND seq BETWEEN %s AND %s AND team_id = %s
  AND kind NOT IN ('{_REFUSED}', '{_MISSING}')
ORDER BY seq
"""


async def place_of_refused(
    *, actor: Actor | None, request: Numbered | None, refusal: ApiError
) -> Place | None:
    """Hold the place of a refused request if that can be done; which place it has.

    None where nobody can tell: the server failed, and the request has to be sent again.

    Args:
        actor: who asks; None if that was not found out.
        request: None if run and number could not be read.

    Raises:
        NotFound: no such run in the actor's team. Forbidden: the actor's role does not suffice.
            The number is free then, too.
    """
    if refusal.status >= _OUR_FAULT:
        return None
    if isinstance(refusal, services.TooLate):
        return Place.HELD
    if actor is None or request is None or refusal.status in _NOT_STORED:
        return Place.FREE
    try:
        await hold(actor=actor, request=request, words=refusal.detail)
    except BadRequest:
        return Place.FREE
    return Place.HELD


async def hold(*, actor: Actor, request: Numbered, words: str) -> None:
    """Store a refusal in the place of a request, unless the place is taken.

    Clients send the first part of a batch last, and nothing else before they have its answer. So
    parts of a batch that wait behind a refused one are of the same batch; they are refused with it,
    and no half of it is ever learned from.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such run in the actor's team. SessionEnded: its session has. BadRequest: the
            number is none.
    """
    rights.require(actor, Right.SUBMIT_OPERATION)
    number = request.seq
    _check(number)
    along = [Operation.Kind.FORWARD_BACKWARD] if request.is_pass else []
    await _fill(actor, request.run_id, number, number, words, along, up_to=2**63 - 1)


async def withdraw(*, actor: Actor, run_id: str, first: int, last: int, words: str) -> list[int]:
    """Give up a client's own numbers `first` to `last`; returns those that may have been begun.

    Numbers that are missing are filled with refusals. If the first was missing, the others cannot
    have been begun, and what is stored under them is refused too: of a batch in several requests
    either all parts are done or none.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such run in the actor's team. SessionEnded: its session has. BadRequest: the
            numbers are none.
    """
    rights.require(actor, Right.WITHDRAW_REQUEST)
    _check(first)
    _check(last)
    if not first <= last < first + MOST_AT_ONCE:
        raise BadRequest(f"last must be from first to first + {MOST_AT_ONCE - 1}, it is {last}")
    kinds = [kind for kind in Operation.Kind if kind not in (_REFUSED, _MISSING)]
    await _fill(actor, run_id, first, last, words, kinds, up_to=last)
    async with database.connection() as conn:
        standing = await conn.execute(_STANDING, (run_id, first, last, actor.team_id))
        return [number for (number,) in await standing.fetchall()]


def _check(seq: int) -> None:
    if not 1 <= seq < 2**63:
        raise BadRequest(f"seq_id must be a positive number, not {seq}")


async def _fill(
    actor: Actor,
    run_id: str,
    first: int,
    last: int,
    words: str,
    along: list[Operation.Kind],
    *,
    up_to: int,
) -> None:
    """Fill missing numbers; behind the first of them, operations of the kinds `along` go too."""
    if "\0" in run_id:
        raise NotFound("there is no training run with a NUL character in its id")
    values: dict[str, Any] = {
        "target": run_id,
        "ordered": True,
        "team": actor.team_id,
        "first": first,
        "last": last,
        "words": _stored(words),
    }
    async with database.connection() as conn:
        async with conn.transaction():
            row = await (await conn.execute(_FILL, values, binary=True)).fetchone()
            if row is None:
                raise NotFound(f"there is no training run {run_id}")
            pool, closed_at, worker_id, filled = row
            if closed_at is not None:
                raise SessionEnded(services.ended("training run", run_id))
            if along and first in filled:
                reason = f"request {first}, of the same batch, was refused: {words}"
                behind = {**values, "last": up_to, "words": _stored(reason)}
                behind["kinds"] = [str(kind) for kind in along]
                await conn.execute(_TAKE_ALONG, behind)
        if filled:
            await services.announce_work(conn, pool, worker_id)


def _stored(words: str) -> bytes:
    return words[:MAX_WORDS].encode(errors="replace")
