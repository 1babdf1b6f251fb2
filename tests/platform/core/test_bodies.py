"""What a body counts for before it is read, and what becomes of one that lies or stops coming."""

from __future__ import annotations

import asyncio
import gzip
import os
from contextlib import closing

import pytest
import zstandard

from core import admission, bodies
from core.admission import Budget, Room
from core.bodies import Body, Message, TooSlow
from core.errors import TooManyRequests, Unauthorized
from tests.support.waiting import eventually_async

LIMIT = 8 * 2**20
CHUNK = 64 * 1024
LARGE = os.urandom(2 * 2**20)


class Upload(Room):
    """A request whose body comes in chunks; it records what it took and what was read by then."""

    def __init__(
        self,
        content: bytes,
        encoding: str = "",
        *,
        declared: bool = True,
        chunk: int = CHUNK,
        small: Budget | None = None,
    ) -> None:
        super().__init__(Budget(), self._who_asks_us, small)
        self.more_come = asyncio.Event()
        self._chunks = [content[at : at + chunk] for at in range(0, len(content), chunk)] or [b""]
        self.chunks_come = len(self._chunks)
        self.read = 0
        self.took: list[tuple[int, int]] = []
        self.took_unknown: list[int] = []
        self.settled: int | None = None
        headers = [(b"content-encoding", encoding.encode())] if encoding else []
        if declared:
            headers.append((b"content-length", str(len(content)).encode()))
        self.scope = {"headers": headers}

    async def receive(self) -> Message:
        if self.read == self.chunks_come:
            await self.more_come.wait()
        self.read += 1
        more = self.read < len(self._chunks)
        return {"type": "http.request", "body": self._chunks[self.read - 1], "more_body": more}

    async def _who_asks_us(self) -> int:
        return 1

    async def take(self, size: int) -> None:
        self.took.append((size, self.read))
        await super().take(size)

    async def take_unknown(self, most: int) -> None:
        self.took_unknown.append(most)
        await super().take_unknown(most)

    def settle(self, size: int) -> None:
        self.settled = size
        super().settle(size)

    async def come(self) -> Body:
        with closing(self):
            return await bodies.read(self.scope, self.receive, LIMIT, self)


async def test_small_bodies_wait_for_nobody() -> None:
    for upload in (
        Upload(b"x" * 2**20),
        Upload(b"x" * 2**20, declared=False),
        Upload(gzip.compress(b"x" * 100_000), "gzip"),
        Upload(zstandard.compress(os.urandom(300_000)), "zstd"),
    ):
        assert len((await upload.come()).content) >= 100_000
        assert (upload.took, upload.took_unknown) == ([], [])


async def test_a_large_body_is_let_in_after_its_first_chunk() -> None:
    upload = Upload(LARGE)
    assert (await upload.come()).content == LARGE
    assert upload.took == [(len(LARGE), 1)]


async def test_one_that_hides_its_length_counts_for_the_limit_once_it_is_large() -> None:
    upload = Upload(LARGE, declared=False)
    assert (await upload.come()).content == LARGE
    assert upload.took == [(LIMIT, 2**20 // CHUNK + 1)]


SILENT = zstandard.ZstdCompressor(write_content_size=False).compress(LARGE)
SAYING = zstandard.compress(LARGE)
ZEROS = zstandard.compress(bytes(len(LARGE)))
FRAMES = zstandard.compress(LARGE[: 2**19]) + zstandard.compress(LARGE[2**19 :])


@pytest.mark.parametrize(
    ("encoding", "packed", "counts", "unknown"),
    [
        ("zstd", SAYING, len(SAYING) + len(LARGE), False),
        ("zstd", SILENT, len(SILENT), True),
        ("gzip", gzip.compress(LARGE), len(gzip.compress(LARGE)), True),
        # small enough to be read at once, and yet not small
        ("zstd", ZEROS, len(ZEROS) + len(LARGE), False),
        # says the size of its first part only
        ("zstd", FRAMES, len(FRAMES) + 2**19, True),
    ],
)
async def test_a_packed_body_counts_for_what_it_unpacks_to(
    encoding: str, packed: bytes, counts: int, unknown: bool
) -> None:
    upload = Upload(packed, encoding)
    assert len((await upload.come()).content) == len(LARGE)
    assert upload.took == [(counts, 1)]
    assert upload.took_unknown == ([len(packed) + LIMIT] if unknown else [])
    assert upload.settled == len(LARGE)


async def test_a_packed_body_may_begin_with_the_smallest_chunks() -> None:
    upload = Upload(SAYING[:200_000], "zstd", chunk=4)
    upload._chunks.append(SAYING[200_000:])
    upload.chunks_come += 1
    assert (await upload.come()).content == LARGE


async def test_a_small_body_that_unpacks_to_much_waits_for_its_turn() -> None:
    upload = Upload(gzip.compress(bytes(4 * 2**20)), "gzip")
    assert len((await upload.come()).content) == 4 * 2**20
    assert len(upload.took_unknown) == 1


async def test_a_body_that_comes_too_slowly_gives_its_room_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "GRACE_S", 0.05)
    monkeypatch.setattr(bodies, "SLOWEST_BYTES_PER_S", len(LARGE) * 20)
    upload = Upload(LARGE)
    upload.chunks_come = 1
    with pytest.raises(TooSlow):
        await upload.come()
    assert upload.took == [(len(LARGE), 1)]


async def test_a_small_body_that_comes_too_slowly_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "GRACE_S", 0.05)
    monkeypatch.setattr(bodies, "SLOWEST_BYTES_PER_S", 2**30)
    for come in (0, 1):
        upload = Upload(b"x" * 200_000)
        upload.chunks_come = come
        with pytest.raises(TooSlow) as refused:
            await upload.come()
        assert refused.value.headers["Connection"] == "close"


async def test_small_bodies_in_pieces_are_bounded_in_number_and_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MOST_WAITING", 1)
    small = Budget(total=500_000, per_team=500_000)
    uploads = [Upload(b"x" * 200_000, small=small) for _ in range(4)]
    for upload in uploads:
        upload.chunks_come = 1
    coming = [asyncio.create_task(upload.come()) for upload in uploads]
    # two have room, one waits, none more may wait
    await eventually_async(
        lambda: [task.done() for task in coming], equals=[False, False, False, True]
    )
    with pytest.raises(TooManyRequests):
        await coming[3]
    uploads[0].chunks_come = len(uploads[0]._chunks)
    uploads[0].more_come.set()
    assert len((await coming[0]).content) == 200_000
    turn = await asyncio.wait_for(small.take(2, 50_000), 1)
    small.give_back(turn)
    for task in coming[1:3]:
        task.cancel()
    await asyncio.gather(*coming[1:3], return_exceptions=True)
    turn = await asyncio.wait_for(small.take(1, 500_000), 1)
    small.give_back(turn)


@pytest.mark.parametrize("content", [LARGE, b"x" * 200_000], ids=["large", "small"])
async def test_a_body_in_pieces_without_a_key_is_not_read(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    upload = Upload(content)

    async def nobody() -> int:
        raise Unauthorized("no key")

    monkeypatch.setattr(upload, "_who_asks", nobody)
    with pytest.raises(Unauthorized):
        await upload.come()
    assert upload.read == 1
