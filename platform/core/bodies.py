"""Reading a request's body: never more than the limit, large ones in turns, packed ones opened.

A body above the limit is refused by its declared length, before it is read, or as soon as it grows
too long. For one that is large, or does not come in one piece, the key is looked at first and room
is waited for (core/admission.py); then it has to come at some pace.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, ClassVar

from core import encodings
from core.admission import LARGE_BYTES, Room
from core.errors import ApiError, BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# of a body that is refused, this much is read: the ids stand at its beginning
BEGINNING_BYTES = 64 * 1024
BEGINNING_WITHIN_S = 1.0
# packed bodies up to this are read before it is known how large they are
SMALL_PACKED_BYTES = encodings.IN_PLACE_BYTES // 16
# a body must come within this and what it needs at the slowest rate
GRACE_S = 30.0
SLOWEST_BYTES_PER_S = 128 * 1024


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class TooSlow(ApiError):
    """A body comes too slowly for the room it holds, which others wait for."""

    status = 408
    # the rest of it is not waited for
    headers: ClassVar[Mapping[str, str]] = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Body:
    """What was read; with a refusal it is the beginning of a body that is too large."""

    content: bytes
    refusal: str | None = None


def header(scope: Scope, wanted: bytes) -> str:
    """A header's value, empty when there is none."""
    values = (value for name, value in scope["headers"] if name == wanted)
    return next(values, b"").decode("latin-1")


async def read(scope: Scope, receive: Receive, limit: int, room: Room) -> Body:
    """The body of a request, unpacked; a large one has room until that is closed.

    Raises:
        ClientGone: before it was complete. BadRequest, UnsupportedMediaType: it is not packed as it
            says. TooSlow: it stopped coming. And what the room raises.
    """
    encoding = header(scope, b"content-encoding").strip().lower()
    encoding = "" if encoding == "identity" else encoding
    length = header(scope, b"content-length")
    declared = int(length) if length.isdigit() else 0
    if declared > limit:
        beginning = await _beginning(receive)
        return _refuse(beginning, encoding, declared, limit)
    reading = _Reading(declared, encoding, limit, room)
    while reading.more and reading.size <= limit:
        await reading.take(receive)
    if reading.size > limit:
        return _refuse(reading.beginning(), encoding, reading.size, limit)
    body = await reading.unpack()
    room.settle(len(body.content))
    return body


class _Reading:
    """One body on its way in."""

    def __init__(self, declared: int, encoding: str, limit: int, room: Room) -> None:
        self._declared, self._encoding, self._limit, self._room = declared, encoding, limit, room
        self._read = io.BytesIO()
        self._deadline = _deadline(LARGE_BYTES)
        self._has_room = self._has_small_room = False
        self.size, self.more = 0, True

    def beginning(self) -> bytes:
        """What came first."""
        return bytes(self._read.getbuffer()[:BEGINNING_BYTES])

    async def take(self, receive: Receive) -> None:
        """The next chunk, and room for the whole as soon as it is clear that it is large."""
        try:
            async with asyncio.timeout_at(self._deadline):
                chunk, self.more = await next_chunk(receive)
        except TimeoutError:
            raise TooSlow("the body comes too slowly; others wait for the room it takes") from None
        self._read.write(chunk)
        self.size += len(chunk)
        if self._has_room:
            return
        if (size := self._expected()) > LARGE_BYTES:
            self._has_room = True
            await self._room.take(size)
            self._deadline = _deadline(size)
        elif self.size and self.more and not self._has_small_room:
            self._has_small_room = True
            await self._room.take_small(self._declared or LARGE_BYTES)
            self._deadline = _deadline(LARGE_BYTES)

    def _expected(self) -> int:
        """How large it will be, as far as one can tell, together with what it unpacks to."""
        size = self._declared or (self._limit if self.size > LARGE_BYTES else self.size)
        if not self._encoding:
            return size
        told = self.size >= encodings.TELLING_BYTES or not self.more
        return size + (self._says() or 0) if told else 0

    def _says(self) -> int | None:
        """What a packed body unpacks to by its own words, up to the limit."""
        said = encodings.unpacked_size(self.beginning(), self._encoding)
        return None if said is None else min(said, self._limit)

    async def unpack(self) -> Body:
        """What came, unpacked up to the limit."""
        body = self._read.getvalue()
        if not self._encoding:
            return Body(body)
        if len(body) <= SMALL_PACKED_BYTES:
            # even this may unpack to a lot, so small pieces first
            first = min(self._limit, encodings.IN_PLACE_BYTES)
            opened, complete = encodings.unpack(body, self._encoding, first)
            if complete:
                return Body(opened)
        if (said := self._says()) is not None:
            opened, complete = await self._unpack_up_to(said)
            if complete or said == self._limit:
                return self._unpacked(opened, complete=complete)
            del opened
        await self._room.take_unknown(len(body) + self._limit)
        opened, complete = await self._unpack_up_to(self._limit)
        return self._unpacked(opened, complete=complete)

    async def _unpack_up_to(self, size: int) -> tuple[bytes, bool]:
        body = self._read.getvalue()
        return await asyncio.to_thread(encodings.unpack, body, self._encoding, size)

    def _unpacked(self, opened: bytes, *, complete: bool) -> Body:
        if complete:
            return Body(opened)
        return Body(opened[:BEGINNING_BYTES], _too_large(len(opened), self._limit))


def _deadline(size: int) -> float:
    """When a body of `size` bytes must be there, by the event loop's clock."""
    return asyncio.get_running_loop().time() + GRACE_S + size / SLOWEST_BYTES_PER_S


def _refuse(beginning: bytes, encoding: str, size: int, limit: int) -> Body:
    """A body that is too large: its beginning, which was cut, so it may end anywhere."""
    opened = beginning[:BEGINNING_BYTES]
    if encoding:
        try:
            opened, _ = encodings.unpack(opened, encoding, BEGINNING_BYTES)
        except BadRequest:
            opened = b""
    return Body(opened[:BEGINNING_BYTES], _too_large(size, limit))


def _too_large(size: int, limit: int) -> str:
    return (
        f"the request body has {size} bytes or more, this server takes {limit}; "
        "send the data in several requests"
    )


async def next_chunk(receive: Receive) -> tuple[bytes, bool]:
    """(bytes, whether more follow). Raises ClientGone."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


async def _beginning(receive: Receive) -> bytes:
    """The first bytes of a body, if they come at once."""
    try:
        chunk, _ = await asyncio.wait_for(next_chunk(receive), BEGINNING_WITHIN_S)
    except TimeoutError:
        return b""
    return chunk
