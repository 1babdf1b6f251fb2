"""A session's operations as a Chrome trace (JSON), which ui.perfetto.dev opens.

Every run and sampler is a process in it. An operation is a pair of nested asynchronous slices: the
outer from its arrival to its end, the inner while a worker had it. They are asynchronous because
operations overlap.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from typing import Any

import msgspec

from accounts.actors import Actor
from core import database, links
from runs.sessions import find_session

AT_ONCE = 2000

_OPERATIONS = """
SELECT o.seq, o.kind, o.state, o.cost, o.error, o.created_at, o.started_at,
       coalesce(o.finished_at, now())
FROM operations_operation o
WHERE o.target = %s AND o.seq > %s AND o.team_id = %s
ORDER BY o.seq LIMIT %s
"""


async def link_trace(*, actor: Actor, session_id: str) -> tuple[str, str]:
    """(signed part, file name) of the address that gives a session's trace.

    Raises:
        NotFound: no such session in the actor's team.
    """
    await find_session(actor=actor, session_id=session_id)
    name = f"{session_id}.pftrace"
    signed = links.sign(
        links.expiry(), kind="trace", session=session_id, team=actor.team_id, name=name
    )
    return signed, name


async def write_trace(*, session_id: str, team_id: int) -> AsyncGenerator[bytes]:
    """The trace, piece by piece; a session's length does not matter to memory."""
    members = await find_session(actor=Actor(team_id, ""), session_id=session_id)
    yield b'{"displayTimeUnit":"ms","traceEvents":['
    comma = b""
    for process, target in enumerate([*members.run_ids, *members.sampler_ids], 1):
        yield comma + _encode({"name": "process_name", "args": {"name": target}}, process, "M")
        comma = b","
        async for rows in _operations(target, team_id):
            yield b"".join(b"," + event for row in rows for event in _events(process, *row))
    yield b"]}"


async def _operations(target: str, team_id: int) -> AsyncGenerator[list[tuple[Any, ...]]]:
    after = -1
    while True:
        async with database.connection() as conn:
            cursor = await conn.execute(_OPERATIONS, (target, after, team_id, AT_ONCE))
            rows = await cursor.fetchall()
        if not rows:
            return
        yield rows
        after = rows[-1][0]


def _events(
    process: int,
    seq: int,
    kind: str,
    state: str,
    cost: int,
    error: str | None,
    created_at: datetime,
    started_at: datetime | None,
    ended_at: datetime,
) -> Iterator[bytes]:
    args = {"seq": seq, "state": state, "bytes": cost} | ({"error": error} if error else {})
    whole = {"name": kind, "cat": "operation", "id": str(seq)}
    yield _encode(whole | {"ts": _us(created_at), "args": args}, process, "b")
    if started_at is not None:
        inner = {"name": "running", "cat": "operation", "id": str(seq)}
        yield _encode(inner | {"ts": _us(started_at)}, process, "b")
        yield _encode(inner | {"ts": _us(ended_at)}, process, "e")
    yield _encode(whole | {"ts": _us(ended_at)}, process, "e")


def _encode(fields: dict[str, Any], process: int, phase: str) -> bytes:
    return msgspec.json.encode({"ph": phase, "pid": process, "tid": 1, **fields})


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
