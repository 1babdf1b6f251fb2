"""What a body counts for before it is read, and what becomes of one that lies or stops coming."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Iterator

import pytest
import zstandard

from core import bodies
from core.bodies import Body, Message, TooSlow
from core.errors import BadRequest, Unauthorized

LIMIT = 8 * 2**20
CHUNK = 64 * 1024
LARGE = os.urandom(2 * 2**20)


class Upload:
    """A request whose body comes in chunks; it records what it held and what was read by then."""

    def __init__(self, content: bytes, encoding: str = "", *, declared: bool = True) -> None:
        self._chunks = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)] or [b""]
        self.chunks_come = len(self._chunks)
        self.read = 0
        self.held: list[tuple[int, int]] = []
        headers = [(b"content-encoding", encoding.encode())] if encoding else []
        if declared:
            headers.append((b"content-length", str(len(content)).encode()))
        self.scope = {"headers": headers}

    async def receive(self) -> Message:
        if self.read == self.chunks_come:
            await asyncio.Event().wait()
        self.read += 1
        more = self.read < len(self._chunks)
        return {"type": "http.request", "body": self._chunks[self.read - 1], "more_body": more}

    async def hold(self, size: int) -> None:
        self.held.append((size, self.read))

    async def come(self) -> Body:
        return await bodies.read(self.scope, self.receive, LIMIT, self.hold)


async def test_small_bodies_wait_for_nobody() -> None:
    for upload in (
        Upload(b"x" * 2**20),
        Upload(b"x" * 2**20, declared=False),
        Upload(gzip.compress(b"x" * 100_000), "gzip"),
        Upload(zstandard.compress(os.urandom(300_000)), "zstd"),
    ):
        assert len((await upload.come()).content) >= 100_000
        assert upload.held == []


async def test_a_large_body_is_let_in_after_its_first_chunk() -> None:
    upload = Upload(LARGE)
    assert (await upload.come()).content == LARGE
    assert upload.held == [(len(LARGE), 1)]


async def test_one_that_hides_its_length_counts_for_the_limit_once_it_is_large() -> None:
    upload = Upload(LARGE, declared=False)
    assert (await upload.come()).content == LARGE
    assert upload.held == [(LIMIT, 2**20 // CHUNK + 1)]


def packed_bodies() -> Iterator[tuple[str, bytes, int]]:
    packed = zstandard.compress(LARGE)
    yield "zstd", packed, len(packed) + len(LARGE)
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(LARGE)
    yield "zstd", silent, len(silent) + LIMIT
    packed = gzip.compress(LARGE)
    yield "gzip", packed, len(packed) + LIMIT
    # small enough to be read at once, and yet not small
    zeros = zstandard.compress(bytes(len(LARGE)))
    yield "zstd", zeros, len(zeros) + len(LARGE)


@pytest.mark.parametrize(("encoding", "packed", "counts"), list(packed_bodies()))
async def test_a_packed_body_counts_for_what_it_unpacks_to(
    encoding: str, packed: bytes, counts: int
) -> None:
    upload = Upload(packed, encoding)
    assert len((await upload.come()).content) == len(LARGE)
    assert upload.held == [(counts, 1)]


async def test_a_packed_body_that_says_less_than_it_holds_is_refused() -> None:
    first = zstandard.compress(os.urandom(30_000))
    upload = Upload(first + zstandard.compress(LARGE), "zstd")
    with pytest.raises(BadRequest, match="more than the 30000 bytes that it says"):
        await upload.come()


async def test_a_body_that_stops_coming_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "CHUNK_WITHIN_S", 0.05)
    upload = Upload(LARGE)
    upload.chunks_come = 1
    with pytest.raises(TooSlow):
        await upload.come()
    assert upload.held == [(len(LARGE), 1)]


async def test_a_large_body_without_a_key_is_not_read() -> None:
    upload = Upload(LARGE)

    async def hold(size: int) -> None:
        raise Unauthorized("no key")

    with pytest.raises(Unauthorized):
        await bodies.read(upload.scope, upload.receive, LIMIT, hold)
    assert upload.read == 1
