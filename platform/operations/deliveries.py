"""When clients asked for outcomes, got them, or were turned away by a limit: noted, written later.

A fetch costs no write: each web process gathers what happened for half a second and writes it with
one statement, whose commit is not durable. A process that dies loses what it held, nothing else
depends on it. Moments are by this process's monotonic clock until they are written, then by
PostgreSQL's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from core import database
from core.ids import split_request_id
from operations.turns import NOT_DURABLE

log = logging.getLogger(__name__)

PAUSE_S = 0.5
MOST_WAITING = 20_000

# in the order of their ids, as everybody locks operations
_WRITE = """
WITH noted AS (
    SELECT o.id, d.asked, d.delivered
    FROM unnest(%s::text[], %s::bigint[], %s::float8[], %s::float8[])
         AS d(target, seq, asked, delivered)
    JOIN operations_operation o ON o.target = d.target AND o.seq = d.seq
    WHERE o.delivered_at IS NULL
    ORDER BY o.id FOR NO KEY UPDATE OF o
)
UPDATE operations_operation o
SET asked_at = coalesce(o.asked_at, now() - make_interval(secs => n.asked)),
    delivered_at = now() - make_interval(secs => n.delivered)
FROM noted n WHERE o.id = n.id
"""


_WRITE_LIMITED = """
INSERT INTO operations_delay (target, cause, began_at, ended_at)
SELECT l.target, 'limited', now() - make_interval(secs => d.first),
       now() - make_interval(secs => d.last)
FROM unnest(%s::text[], %s::int[], %s::float8[], %s::float8[]) AS d(target, team_id, first, last)
JOIN operations_lane l ON l.target = d.target AND l.team_id = d.team_id
"""


@dataclass(slots=True)
class _Notes:
    """What has not been written yet; moments by `time.monotonic()`."""

    # request id → from when on its client asked, and when it was answered
    delivered: dict[str, tuple[float, float]] = field(default_factory=dict)
    # run or sampler, with who asked → the first and the last time that it was turned away
    limited: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.delivered or self.limited)

    def full(self) -> bool:
        """Whether no more is taken."""
        return max(len(self.delivered), len(self.limited)) >= MOST_WAITING


_notes = _Notes()
# of outcomes that a client was told of and will fetch
_asked: dict[str, float] = {}
_writer: asyncio.Task[None] | None = None
_under_way = 0
dropped = 0


def asked(request_id: str, since: float) -> None:
    """A client asks for an outcome since then, and is told that there is one; the first counts."""
    _asked.setdefault(request_id, since)
    if len(_asked) > MOST_WAITING:
        del _asked[next(iter(_asked))]


def delivered(request_id: str, since: float) -> None:
    """A client that asked since then is given the outcome now; the first time counts."""
    if _has_room() and request_id not in _notes.delivered:
        since = min(since, _asked.pop(request_id, since))
        _notes.delivered[request_id] = (since, time.monotonic())
        _see_to_it()


def limited(target: str, team_id: int) -> None:
    """A team's request to a run or sampler was turned away by a limit, to be sent again."""
    if "\0" not in target and _has_room():
        now = time.monotonic()
        first, _ = _notes.limited.get((target, team_id), (now, now))
        _notes.limited[target, team_id] = (first, now)
        _see_to_it()


def waiting() -> int:
    """How many notes are not written yet."""
    return len(_notes.delivered) + len(_notes.limited) + _under_way


def forget() -> None:
    """Forget all notes."""
    global _notes
    _notes = _Notes()
    _asked.clear()


def _has_room() -> bool:
    global dropped
    if _notes.full():
        dropped += 1
        return False
    return True


def _see_to_it() -> None:
    """Have what was noted written in a moment, by a task of the loop that runs here."""
    global _writer
    loop = asyncio.get_running_loop()
    if _writer is None or _writer.done() or _writer.get_loop() is not loop:
        _writer = loop.create_task(_write_later())


async def _write_later() -> None:
    while _notes:
        await asyncio.sleep(PAUSE_S)
        await write_now()


async def write_now() -> None:
    """Write what has been noted; what PostgreSQL does not take is lost."""
    global _notes, _under_way, dropped
    notes, _notes = _notes, _Notes()
    fetched = [
        (*address, *moments)
        for name, moments in notes.delivered.items()
        if (address := split_request_id(name)) is not None
    ]
    limits = [(*whose, *moments) for whose, moments in notes.limited.items()]
    _under_way += len(fetched) + len(limits)
    try:
        async with database.connection() as conn:
            now = time.monotonic()
            async with conn.transaction():
                await conn.execute(NOT_DURABLE)
                for statement, rows in ((_WRITE, fetched), (_WRITE_LIMITED, limits)):
                    if rows:
                        await conn.execute(statement, _columns(rows, now))
    except Exception as error:
        dropped += len(fetched) + len(limits)
        log.warning("%d notes of deliveries are lost: %s", len(fetched) + len(limits), error)
    finally:
        _under_way -= len(fetched) + len(limits)


def _columns(rows: list[tuple[str, int, float, float]], now: float) -> list[list[Any]]:
    """Rows as columns, their moments as how long ago they were."""
    names, numbers, first, second = zip(*rows, strict=True)
    return [
        list(names),
        list(numbers),
        [now - moment for moment in first],
        [now - moment for moment in second],
    ]
