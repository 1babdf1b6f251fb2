"""In which order a sampler's samples were finished, for clients that wait for all with one poll.

Each finished sample gets the next number of its sampler, under a lock on the sampler's lane that is
held until the commit: whoever sees a number sees all below it. So a number is a cursor.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import Connection

from accounts import rights
from accounts.rights import Right
from core import database, hub
from core.errors import BadRequest, NotFound
from core.ids import split_request_id
from operations import deliveries, workers
from operations.announcements import DONE

if TYPE_CHECKING:
    from accounts.actors import Actor

# a client that samples from a shared sampler has a block of so many numbers of its own
CLONE_BLOCK = 1_000_000_000
MOST_AT_ONCE = 1000
# who waits for a worker that is not there is told after this long
NO_WORKER_AFTER_S = 3.0

NUMBER = """
WITH locked AS (
    SELECT target, completions FROM operations_lane WHERE target = ANY(%(targets)s)
    ORDER BY target FOR NO KEY UPDATE
), numbered AS (
    SELECT o.id, o.target,
           l.completions + row_number() OVER (PARTITION BY o.target ORDER BY o.id) AS number
    FROM operations_operation o JOIN locked l ON l.target = o.target
    WHERE o.id = ANY(%(ids)s) AND o.completion IS NULL
), moved AS (
    UPDATE operations_lane l SET completions = last.number
    FROM (SELECT target, max(number) AS number FROM numbered GROUP BY target) last
    WHERE l.target = last.target
)
UPDATE operations_operation o SET completion = n.number FROM numbered n WHERE o.id = n.id
"""

_FINISHED = """
SELECT o.target || ':' || o.seq, o.state, o.completion, octet_length(r.body)
FROM operations_operation o LEFT JOIN operations_result r ON r.operation_id = o.id
WHERE o.target = %s AND o.completion > %s
ORDER BY o.completion LIMIT %s
"""

_SAMPLER = f"""
SELECT {workers.UNSERVED}
FROM operations_lane l JOIN catalog_basemodel b ON b.id = l.base_model_id
WHERE l.target = %s AND l.team_id = %s AND NOT l.ordered
"""

_FORGET = """
DELETE FROM operations_result r USING operations_operation o
WHERE r.operation_id = o.id AND o.target = %s AND o.seq = ANY(%s) AND o.completion IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished sample: the size of its result in bytes, None when it failed."""

    request_id: str
    size: int | None


@dataclass(frozen=True, slots=True)
class News:
    """What a client's poll finds.

    Attributes:
        found: its samples that were finished after the cursor.
        cursor: where the next poll goes on.
        unserved: what no worker is there for, if that is why nothing was found.
    """

    found: list[Completion]
    cursor: int
    unserved: str | None = None


def number(conn: Connection, samples: list[tuple[int, str]]) -> None:
    """Give samples that have just been finished, (operation id, sampler id), their numbers."""
    if samples:
        ids, targets = zip(*samples, strict=True)
        conn.execute(NUMBER, {"ids": list(ids), "targets": list(set(targets))})


async def wait(*, actor: Actor, sampler_id: str, clone: int, after: int, timeout_s: float) -> News:
    """Samples of one client that were finished after the cursor.

    Waits until there is one, up to `timeout_s` seconds; without a worker up to `NO_WORKER_AFTER_S`.

    Raises:
        NotFound: no such sampler in the actor's team.
    """
    started = time.monotonic()
    news = News([], after)
    with hub.current().waiter(DONE, sampler_id) as changed:
        while True:
            changed.clear()
            before, news = news.cursor, await _look(actor, sampler_id, clone, news.cursor)
            patience = min(timeout_s, NO_WORKER_AFTER_S) if news.unserved else timeout_s
            remaining = started + patience - time.monotonic()
            if news.found or remaining <= 0:
                for item in news.found:
                    deliveries.asked(item.request_id, started)
                return news
            if news.cursor > before:
                continue  # those were other clients'; more may follow
            try:
                await asyncio.wait_for(changed.wait(), min(remaining, hub.RECHECK_S))
            except TimeoutError:
                continue


async def _look(actor: Actor, sampler_id: str, clone: int, after: int) -> News:
    async with database.connection() as conn:
        unserved = await _require_sampler(conn, actor, sampler_id)
        rows = await (await conn.execute(_FINISHED, (sampler_id, after, MOST_AT_ONCE))).fetchall()
    found = [
        Completion(request_id, size if state == "done" else None)
        for request_id, state, _, size in rows
        if int(request_id.rpartition(":")[2]) // CLONE_BLOCK == clone
    ]
    return News(found, rows[-1][2] if rows else after, unserved)


async def forget(*, actor: Actor, sampler_id: str, request_ids: list[str]) -> None:
    """Delete the results of samples that their client says it has.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such sampler in the actor's team. BadRequest: a sample of another sampler.
    """
    rights.require(actor, Right.FORGET_RESULTS)
    seqs = []
    for request_id in request_ids:
        address = split_request_id(request_id)
        if address is None or address[0] != sampler_id:
            raise BadRequest(f"{request_id!r} is no request to the sampler {sampler_id}")
        seqs.append(address[1])
    async with database.connection() as conn:
        await _require_sampler(conn, actor, sampler_id)
        await conn.execute(_FORGET, (sampler_id, seqs))


async def join(*, actor: Actor, sampler_id: str) -> int:
    """A number for one more client of a sampler, from 1 on, which no other gets.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such sampler in the actor's team.
    """
    rights.require(actor, Right.JOIN_SAMPLER)
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                """
                UPDATE operations_lane SET joined = joined + 1
                WHERE target = %s AND team_id = %s AND NOT ordered
                RETURNING joined
                """,
                (sampler_id, actor.team_id),
            )
        ).fetchone()
    if row is None:
        raise NotFound(f"there is no sampler {sampler_id}")
    return int(row[0])


async def _require_sampler(conn: database.Connection, actor: Actor, sampler_id: str) -> str | None:
    """What no worker is there for, if any; raises NotFound for another team's sampler."""
    row = await (await conn.execute(_SAMPLER, (sampler_id, actor.team_id))).fetchone()
    if row is None:
        raise NotFound(f"there is no sampler {sampler_id}")
    unserved: str | None = row[0]
    return unserved
