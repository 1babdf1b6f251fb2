"""The web process's side of the operation log: submit, announce, wait.

A submit is one statement and one commit. The announcement follows in a transaction of its own with
synchronous_commit off, because a NOTIFY inside the durable one serialises all writers.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from accounts import rights
from accounts.rights import Right
from core import database, doorbell, hub
from core.errors import BadRequest, NotFound, SessionEnded
from core.ids import request_id as make_request_id
from core.ids import split_request_id
from operations import completions, deliveries, gaps, lanes, retention, workers
from operations.announcements import CANCEL_CHANNEL, DONE, WORK_CHANNEL, Announcement
from operations.models import Operation

if TYPE_CHECKING:
    from accounts.actors import Actor

RECHECK_S = hub.RECHECK_S

PROTOBUF = "application/x-protobuf"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Submitted:
    """An accepted operation. A re-sent request gets the same."""

    request_id: str
    run_id: str | None = None


QueueState = Literal["active", "paused_capacity", "paused_rate_limit"]
Category = Literal["user", "server", "unknown"]


@dataclass(frozen=True, slots=True)
class Pending:
    """Not finished; `queue_state` is the wire's word for why."""

    queue_state: QueueState
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The result, ready to send."""

    content_type: str
    body: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Sized:
    """There is a result, larger than whoever asks would have at once."""

    size: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation failed; category `user` or `server`."""

    message: str
    category: Category


Outcome = Pending | Finished | Failed


class TooLate(BadRequest):
    """The request's number was given up before it came."""


_APPEND = f"""
WITH lane AS ({lanes.LOCKED}), operation AS (
    INSERT INTO operations_operation (target, seq, team_id, pool, kind, cost)
    SELECT target, %(seq)s, team_id, pool, %(kind)s, %(cost)s FROM lane WHERE closed_at IS NULL
    ON CONFLICT (target, seq) DO NOTHING
    RETURNING id
), payload AS (
    INSERT INTO operations_payload (operation_id, content_type, body)
    SELECT id, %(content_type)s, %(body)s FROM operation
)
SELECT pool, closed_at, worker_id, EXISTS (SELECT FROM operation) FROM lane
"""

_ANNOUNCE = f"""
WITH alive AS (
    SELECT lingering FROM operations_worker
    WHERE pool = %(pool)s AND alive_until > now()
      AND (%(worker)s::uuid IS NULL OR id = %(worker)s::uuid)
)
SELECT set_config('synchronous_commit', 'off', true),
       pg_notify('{WORK_CHANNEL}', %(payload)s),
       (SELECT count(*) FILTER (WHERE lingering) FROM alive),
       (SELECT count(*) FROM alive)
"""

CANCELLED_MESSAGE = "the request was cancelled"
# Operations on a run are never cancelled: those behind them count on their having been done
_CANCEL = """
WITH asked AS (
    SELECT id FROM operations_operation WHERE target = %s AND seq = %s AND team_id = %s
), cancelled AS (
    UPDATE operations_operation o SET state = 'failed', error = %s, error_category = 'user',
        finished_at = now()
    FROM asked WHERE o.id = asked.id AND o.kind = 'sample' AND o.state IN ('queued', 'running')
    RETURNING o.id
), bodies AS (
    DELETE FROM operations_payload p USING cancelled c WHERE p.operation_id = c.id
)
SELECT (SELECT id FROM cancelled) FROM asked
"""
_ANNOUNCE_CANCEL = f"""
SELECT set_config('synchronous_commit', 'off', true),
       pg_notify('{CANCEL_CHANNEL}', %s), pg_notify('{DONE.channel}', %s)
"""

_LOOK = f"""
SELECT o.state, o.error, o.error_category, r.content_type, octet_length(r.body),
       CASE WHEN octet_length(r.body) <= %s THEN r.body END, o.kind,
       CASE WHEN o.state IN ('queued', 'running') THEN (
           SELECT {workers.UNSERVED} FROM catalog_basemodel b
           WHERE b.id = (
               SELECT l.base_model_id FROM operations_lane l WHERE l.target = o.target)) END
FROM operations_operation o
LEFT JOIN operations_result r ON r.operation_id = o.id
WHERE o.target = %s AND o.seq = %s AND o.team_id = %s
"""


async def submit_to_run(
    *,
    actor: Actor,
    run_id: str,
    seq: int,
    kind: str,
    body: bytes,
    content_type: str = JSON,
) -> Submitted:
    """Append an operation to a run's log and tell the workers.

    Args:
        seq: place in the run's order, from 1. A gap is waited for; a re-send changes nothing.
        kind: an `Operation.Kind`; `refused` takes the place of a request that was not accepted,
            its body is the message to fail with.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such run in the actor's team.
        SessionEnded: the run's session has.
        BadRequest: seq is not a positive 63-bit number.
    """
    rights.require(actor, Right.SUBMIT_OPERATION)
    if not 1 <= seq < 2**63:
        raise BadRequest(f"seq_id must be a positive number, not {seq}")
    return await _submit("training run", actor, run_id, seq, kind, body, content_type)


async def submit_to_sampler(
    *, actor: Actor, sampler_id: str, seq: int, body: bytes, content_type: str = JSON
) -> Submitted:
    """Append a sample request to a sampler; seq only names it, there is no order.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such sampler in the actor's team.
        SessionEnded: the sampler's session has.
        BadRequest: seq is not a 63-bit number.
    """
    rights.require(actor, Right.SAMPLE)
    if not 0 <= seq < 2**63:
        raise BadRequest(f"seq_id must not be negative, it is {seq}")
    kind = Operation.Kind.SAMPLE
    return await _submit("sampler", actor, sampler_id, seq, kind, body, content_type)


async def _submit(
    what: str,
    actor: Actor,
    target: str,
    seq: int,
    kind: str,
    body: bytes,
    content_type: str,
) -> Submitted:
    values = {
        "target": target,
        "ordered": kind != Operation.Kind.SAMPLE,
        "team": actor.team_id,
        "seq": seq,
        "kind": str(kind),
        "cost": len(body),
        "content_type": content_type,
        "body": body,
    }
    if "\0" in target:
        raise NotFound(f"there is no {what} with a NUL character in its id")
    async with database.connection() as conn:
        row = await (await conn.execute(_APPEND, values, binary=True)).fetchone()
        if row is None:
            raise NotFound(f"there is no {what} {target}")
        pool, closed_at, worker_id, is_new = row
        if closed_at is not None:
            raise SessionEnded(ended(what, target))
        if not is_new:
            await _require_in_time(conn, target, seq)
        if kind == Operation.Kind.SAMPLE:
            await announce(conn, pool)
        else:
            await announce_work(conn, pool, worker_id)
    return Submitted(make_request_id(target, seq), run_id=target)


async def _require_in_time(conn: database.Connection, target: str, seq: int) -> None:
    """Refuse a request whose number was given up. A statement of its own sees who was faster."""
    kind = await conn.execute(
        "SELECT kind FROM operations_operation WHERE target = %s AND seq = %s", (target, seq)
    )
    if await kind.fetchone() == (Operation.Kind.MISSING,):
        raise TooLate(
            f"request {seq} of training run {target} comes too late: its number was given up, and "
            "what had waited for it has failed. Send the batch again, under new numbers"
        )


def ended(what: str, target: str) -> str:
    """What they are told who ask something of a run or sampler whose session has ended."""
    return f"the session of {what} {target} has ended; start a new one"


async def cancel(*, actor: Actor, request_id: str) -> bool:
    """Give up a sample that is not finished; whether there was one to give up.

    It fails at once; the worker that may have it stops as soon as it hears of it.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such request in the actor's team.
    """
    rights.require(actor, Right.CANCEL_SAMPLE)
    address = split_request_id(request_id)
    if address is None:
        raise NotFound(f"there is no request {request_id}")
    async with database.connection() as conn:
        async with conn.transaction():
            cursor = await conn.execute(_CANCEL, (*address, actor.team_id, CANCELLED_MESSAGE))
            row = await cursor.fetchone()
            if row is None:
                raise NotFound(f"there is no request {request_id}")
            if row[0] is not None:
                values = {"ids": [row[0]], "targets": [address[0]]}
                await conn.execute(completions.NUMBER, values)
        if row[0] is not None:
            await conn.execute(_ANNOUNCE_CANCEL, (request_id, request_id))
    return row[0] is not None


async def append_creation(
    conn: database.Connection, *, run_id: str, kind: str, body: bytes
) -> None:
    """Append operation 0 of a new run, whose lane was opened in the same transaction."""
    await conn.execute(
        """
        WITH operation AS (
            INSERT INTO operations_operation (target, seq, team_id, pool, kind, cost)
            SELECT l.target, 0, l.team_id, b.pool, %s, %s
            FROM operations_lane l JOIN catalog_basemodel b ON b.id = l.base_model_id
            WHERE l.target = %s RETURNING id
        )
        INSERT INTO operations_payload (operation_id, content_type, body)
        SELECT id, %s, %s FROM operation
        """,
        (str(kind), len(body), run_id, JSON, body),
    )


async def announce(
    conn: database.Connection,
    pool: str,
    announcement: Announcement = Announcement.WORK,
    worker_id: uuid.UUID | None = None,
) -> None:
    """After a commit: wake the workers that listen for `pool`, or ring Celery when none does.

    `worker_id` says that only this worker can do the work, while it lives.
    """
    values = {"pool": pool, "payload": announcement.payload(pool), "worker": worker_id}
    row = await (await conn.execute(_ANNOUNCE, values)).fetchone()
    assert row is not None
    _, _, lingering, alive = row
    if not lingering:
        doorbell.ring(pool, worker_id if alive else None)


async def announce_work(conn: database.Connection, pool: str, worker_id: uuid.UUID | None) -> None:
    """After a commit: say that there is work on a run, to its worker or to whoever takes it up."""
    change = Announcement.CHANGE if worker_id is None else Announcement.WORK
    await announce(conn, pool, change, worker_id)


async def wait_result(*, actor: Actor, request_id: str, timeout_s: float) -> Outcome:
    """The outcome of an operation, waited for up to `timeout_s` seconds.

    When no worker is there to do it, the wait ends after 3 s: whoever waits should
    hear of that.

    Raises:
        NotFound: no such request in the actor's team.
    """
    outcome = await wait_sized(actor=actor, request_id=request_id, timeout_s=timeout_s)
    assert not isinstance(outcome, Sized)
    return outcome


async def wait_sized(
    *, actor: Actor, request_id: str, timeout_s: float, at_most: int = 2**31 - 1
) -> Outcome | Sized:
    """As `wait_result`, but of a result above `at_most` bytes only the size.

    Raises:
        NotFound: no such request in the actor's team.
    """
    address = split_request_id(request_id)
    if address is None:
        raise NotFound(f"there is no request {request_id}")
    started = time.monotonic()
    with hub.current().waiter(DONE, request_id) as changed:
        while True:
            changed.clear()
            outcome = await _look(request_id, (at_most, *address, actor.team_id))
            patience = timeout_s
            if isinstance(outcome, Pending) and outcome.reason:
                patience = min(timeout_s, completions.NO_WORKER_AFTER_S)
            remaining = started + patience - time.monotonic()
            if not isinstance(outcome, Pending):
                _note_delivery(outcome, request_id, started)
                return outcome
            if remaining <= 0:
                return await _explained(outcome, *address)
            try:
                await asyncio.wait_for(changed.wait(), min(remaining, RECHECK_S))
            except TimeoutError:
                continue


def _note_delivery(outcome: Outcome | Sized, request_id: str, since: float) -> None:
    if isinstance(outcome, Sized):
        deliveries.asked(request_id, since)
    else:
        deliveries.delivered(request_id, since)


async def _explained(outcome: Pending, target: str, seq: int) -> Pending:
    """With the request that is waited for, if there is one."""
    if outcome.reason:
        return outcome
    missing = await gaps.before(run_id=target, seq=seq)
    return outcome if missing is None else Pending("paused_capacity", missing)


def no_worker(unserved: str) -> str:
    """What they are told who wait for a worker; see `workers.UNSERVED`."""
    return f"no worker is serving {unserved} at the moment"


async def _look(request_id: str, values: tuple[Any, ...]) -> Outcome | Sized:
    async with database.connection() as conn:
        row = await (await conn.execute(_LOOK, values, binary=True)).fetchone()
    if row is None:
        raise NotFound(f"there is no request {request_id}")
    state, error, category, content_type, size, body, kind, unserved = row
    if body is not None:
        # also while a new worker does the operation again after a crash: the answer stands
        return Finished(content_type, bytes(body), kind)
    if size is not None:
        return Sized(size)
    if state == Operation.State.FAILED:
        return Failed(error, category)
    if state == Operation.State.DONE:
        return Failed(retention.missing_result(request_id), "user")
    if unserved is not None:
        return Pending("paused_capacity", no_worker(unserved))
    return Pending("active", "")
