"""Reading a request's body: never more than the limit, large ones in turns, packed ones opened.

A body above the limit is refused by its declared length, before it is read, or as soon as it grows
too long. For a large one the key is looked at first and room is waited for (core/admission.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from core import encodings
from core.admission import LARGE_BYTES
from core.errors import ApiError, BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
# waits until there is room for so many bytes of the caller's
Hold = Callable[[int], Awaitable[None]]

# of a body that is refused, this much is read: the ids stand at its beginning
BEGINNING_BYTES = 64 * 1024
BEGINNING_WITHIN_S = 1.0
# packed bodies up to this are read before it is known how large they are
SMALL_PACKED_BYTES = encodings.IN_PLACE_BYTES // 16
CHUNK_WITHIN_S = 30.0


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class TooSlow(ApiError):
    """A body stopped coming while it held room that others wait for."""

    status = 408


@dataclass(frozen=True, slots=True)
class Body:
    """What was read; with a refusal it is the beginning of a body that is too large."""

    content: bytes
    refusal: str | None = None


def header(scope: Scope, wanted: bytes) -> str:
    """A header's value, empty when there is none."""
    values = (value for name, value in scope["headers"] if name == wanted)
    return next(values, b"").decode("latin-1")


async def read(scope: Scope, receive: Receive, limit: int, hold: Hold) -> Body:
    """The body of a request, unpacked.

    Raises:
        ClientGone: before it was complete. BadRequest, UnsupportedMediaType: it is not packed as it
            says. TooSlow: it stopped coming. And what `hold` raises.
    """
    encoding = header(scope, b"content-encoding").strip().lower()
    encoding = "" if encoding == "identity" else encoding
    length = header(scope, b"content-length")
    declared = int(length) if length.isdigit() else 0
    if declared > limit:
        beginning = await _unpack_beginning(await _beginning(receive), encoding)
        return Body(beginning, _refusal(declared, limit))
    reading = _Reading(declared, encoding, limit, hold)
    while reading.more and reading.size <= limit:
        await reading.take(receive)
    if reading.size > limit:
        beginning = await _unpack_beginning(reading.chunks[0], encoding)
        return Body(beginning, _refusal(reading.size, limit))
    return await reading.unpack()


class _Reading:
    """One body on its way in."""

    def __init__(self, declared: int, encoding: str, limit: int, hold: Hold) -> None:
        self._declared, self._encoding, self._limit, self._hold = declared, encoding, limit, hold
        self._holding = False
        self.chunks: list[bytes] = []
        self.size, self.more = 0, True

    async def take(self, receive: Receive) -> None:
        """The next chunk, and room for the whole as soon as it is clear that it is large."""
        try:
            async with asyncio.timeout(CHUNK_WITHIN_S if self._holding else None):
                chunk, self.more = await _next_chunk(receive)
        except TimeoutError:
            raise TooSlow(f"nothing came of the body for {CHUNK_WITHIN_S:.0f} s") from None
        self.chunks.append(chunk)
        self.size += len(chunk)
        known = max(self._declared, self.size)
        if known > (SMALL_PACKED_BYTES if self._encoding else LARGE_BYTES):
            await self._make_room(self._declared or self._limit)

    async def _make_room(self, size: int) -> None:
        """Hold room for a body of `size` bytes and for what it unpacks to, if that is much."""
        if self._encoding:
            size += self._unpacks_to()
        if not self._holding and size > LARGE_BYTES:
            await self._hold(size)
            self._holding = True

    def _unpacks_to(self) -> int:
        """As the body says itself; the limit if it says nothing."""
        said = encodings.unpacked_size(self.chunks[0], self._encoding)
        return self._limit if said is None else min(said, self._limit)

    async def unpack(self) -> Body:
        """What came, unpacked up to the limit or to the size that it says it has."""
        body = b"".join(self.chunks)
        if not self._encoding:
            return Body(body)
        if len(body) <= SMALL_PACKED_BYTES:
            # even this may unpack to a lot, so small pieces first
            first = min(self._limit, encodings.IN_PLACE_BYTES)
            opened, complete = encodings.unpack(body, self._encoding, first)
            if complete:
                return Body(opened)
            await self._make_room(len(body))
        size = self._unpacks_to()
        opened, complete = await asyncio.to_thread(encodings.unpack, body, self._encoding, size)
        if complete:
            return Body(opened)
        if size < self._limit:
            raise BadRequest(f"the body unpacks to more than the {size} bytes that it says")
        return Body(opened[:BEGINNING_BYTES], _refusal(len(opened), self._limit))


async def _unpack_beginning(beginning: bytes, encoding: str) -> bytes:
    """The beginning of a body that is too large; it was cut, so it may end anywhere."""
    if not encoding:
        return beginning[:BEGINNING_BYTES]
    try:
        opened, _ = encodings.unpack(beginning[:BEGINNING_BYTES], encoding, BEGINNING_BYTES)
    except BadRequest:
        return b""
    return opened[:BEGINNING_BYTES]


def _refusal(size: int, limit: int) -> str:
    return (
        f"the request body has {size} bytes or more, this server takes {limit}; "
        "send the data in several requests"
    )


async def _next_chunk(receive: Receive) -> tuple[bytes, bool]:
    """(bytes, whether more follow)."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


async def _beginning(receive: Receive) -> bytes:
    """The first bytes of a body, if they come at once."""
    try:
        chunk, _ = await asyncio.wait_for(_next_chunk(receive), BEGINNING_WITHIN_S)
    except TimeoutError:
        return b""
    return chunk
