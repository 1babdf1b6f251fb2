"""Tokens of samples on their way: announced while they are drawn, kept nowhere.

The log stores final results only. A worker whose sample asks for it (`report_tokens` in the body)
announces tokens a few times a second; whoever follows the request gets them, and the outcome last.
Announcements may be lost, or come twice when another worker does the sample again, so each says at
which token of its sequence it starts. The outcome alone is the truth.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncGenerator, Iterable
from typing import TYPE_CHECKING, NamedTuple

from psycopg import Connection

from operations import services
from operations.announcements import TOKENS
from operations.services import Outcome, Pending

if TYPE_CHECKING:
    from accounts.actors import Actor

# one announcement holds at most so many tokens: 8 bytes each, a third more as text
MOST_TOKENS = 600
# a follower hears of a silence this long, so that it can keep its own connection alive
SILENCE_S = 10.0
_HEADER = struct.Struct("<III")


class Progress(NamedTuple):
    """Tokens of one sequence, from its token `start` on, with their logprobs."""

    sequence: int
    start: int
    tokens: list[int]
    logprobs: list[float]


def payloads(request_id: str, progress: Iterable[Progress]) -> list[str]:
    """Announcements that fit, for what has come of a request."""
    result: list[str] = []
    packed, count = b"", 0
    for piece in progress:
        for at in range(0, len(piece.tokens), MOST_TOKENS):
            part = Progress(
                piece.sequence,
                piece.start + at,
                piece.tokens[at : at + MOST_TOKENS],
                piece.logprobs[at : at + MOST_TOKENS],
            )
            # a header takes as much room as two tokens
            if count and count + len(part.tokens) + 2 > MOST_TOKENS:
                result.append(_payload(request_id, packed))
                packed, count = b"", 0
            packed += _pack(part)
            count += len(part.tokens) + 2
    if packed:
        result.append(_payload(request_id, packed))
    return result


def _payload(request_id: str, packed: bytes) -> str:
    return f"{request_id} {base64.b64encode(packed).decode()}"


def _pack(part: Progress) -> bytes:
    count = len(part.tokens)
    return _HEADER.pack(part.sequence, part.start, count) + struct.pack(
        f"<{count}i{count}f", *part.tokens, *part.logprobs
    )


def parse(news: str) -> list[Progress]:
    """What an announcement says, its request id taken off."""
    packed = base64.b64decode(news)
    result: list[Progress] = []
    at = 0
    while at < len(packed):
        sequence, start, count = _HEADER.unpack_from(packed, at)
        at += _HEADER.size
        values = struct.unpack_from(f"<{count}i{count}f", packed, at)
        at += 8 * count
        result.append(Progress(sequence, start, list(values[:count]), list(values[count:])))
    return result


def announce(conn: Connection, announcements: list[str]) -> None:
    """Tell the followers. Not durable: the outcome will say it all again."""
    conn.execute(
        f"SELECT set_config('synchronous_commit', 'off', true),"
        f" pg_notify('{TOKENS.channel}', payload) FROM unnest(%s::text[]) AS payload",
        (announcements,),
    )


async def follow(
    queue: asyncio.Queue[str | None], *, actor: Actor, request_id: str
) -> AsyncGenerator[list[Progress] | Outcome]:
    """Tokens as they are announced, `Pending` after a silence, the outcome last.

    Args:
        queue: from `hub.queue(TOKENS, request_id)`, entered before the request was submitted.

    Raises:
        NotFound: no such request in the actor's team.
    """
    waiting = asyncio.create_task(_finished(actor, request_id))
    waiting.add_done_callback(lambda _: queue.put_nowait(None))
    try:
        while True:
            try:
                news = await asyncio.wait_for(queue.get(), SILENCE_S)
            except TimeoutError:
                yield await services.wait_result(actor=actor, request_id=request_id, timeout_s=0)
                continue
            if news is None:
                yield waiting.result()
                return
            yield parse(news)
    finally:
        waiting.cancel()


async def _finished(actor: Actor, request_id: str) -> Outcome:
    outcome: Outcome = Pending("active", "")
    while isinstance(outcome, Pending):
        outcome = await services.wait_result(
            actor=actor, request_id=request_id, timeout_s=services.RECHECK_S * 6
        )
    return outcome
