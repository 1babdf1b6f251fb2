"""Pages need no key: so many at once, small bodies that come soon, and slow readers wait alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from core import pages
from core.pages import Pages


class Visitor:
    """One request to pages, its parts sent when the test says so."""

    def __init__(self, app: Pages, *, length: int | None = None) -> None:
        self.parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.reads = asyncio.Event()
        self.reads.set()
        headers = [] if length is None else [(b"content-length", str(length).encode())]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        self.task = asyncio.create_task(app(scope, self.parts.get, self._send))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        await self.reads.wait()

    def say(self, body: bytes = b"", *, more: bool = False) -> None:
        """Send a part of the body."""
        self.parts.put_nowait({"type": "http.request", "body": body, "more_body": more})

    @property
    def status(self) -> int | None:
        """The answer's status, None before there is one."""
        return self.sent[0]["status"] if self.sent else None


class Django:
    """What stands behind: it answers when it is let, and counts what it does at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.at_once = self.most = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        body = (await receive())["body"]
        await self.go.wait()
        self.at_once -= 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def soon() -> None:
    """Let everything go as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_so_many_at_once_so_many_wait_and_the_rest_is_told_to_come_again() -> None:
    django = Django()
    app = Pages(django)
    visitors = [Visitor(app) for _ in range(pages.AT_ONCE + pages.MOST_WAITING + 3)]
    for visitor in visitors:
        visitor.say(b"x")
    await soon()
    refused = [visitor for visitor in visitors if visitor.status == 503]
    assert len(refused) == 3
    assert dict(refused[0].sent[0]["headers"])[b"retry-after"]
    django.go.set()
    await asyncio.gather(*(visitor.task for visitor in visitors))
    assert django.most == pages.AT_ONCE
    assert sum(visitor.status == 200 for visitor in visitors) == len(visitors) - 3


async def test_who_reads_slowly_keeps_nobody_from_a_page() -> None:
    django = Django()
    django.go.set()
    app = Pages(django)
    slow = [Visitor(app) for _ in range(pages.AT_ONCE)]
    for visitor in slow:
        visitor.reads.clear()
        visitor.say()
    await soon()
    quick = Visitor(app)
    quick.say()
    await asyncio.wait_for(quick.task, 1)
    assert quick.status == 200
    for visitor in slow:
        assert not visitor.task.done()
        visitor.task.cancel()


async def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BODY_WITHIN_S", 0.05)
    app = Pages(Django())
    silent, dripping = Visitor(app, length=10), Visitor(app, length=10)
    dripping.say(b"x", more=True)
    await asyncio.gather(silent.task, dripping.task)
    assert (silent.status, dripping.status) == (408, 408)
    assert dict(silent.sent[0]["headers"])[b"connection"] == b"close"


async def test_bodies_in_pieces_are_few() -> None:
    django = Django()
    django.go.set()
    app = Pages(django)
    dripping = [Visitor(app) for _ in range(pages.BODIES_AT_ONCE + 1)]
    for visitor in dripping:
        visitor.say(b"x", more=True)
    await soon()
    assert [visitor.status for visitor in dripping].count(503) == 1
    whole = Visitor(app)
    whole.say(b"all at once")
    await asyncio.wait_for(whole.task, 1)
    assert whole.status == 200
    dripping[0].say(b"y")
    await asyncio.wait_for(dripping[0].task, 1)
    assert dripping[0].sent[1]["body"] == b"xy"
    for visitor in dripping[1:]:
        visitor.task.cancel()


@pytest.mark.parametrize("length", [None, pages.BODY_BYTES + 1])
async def test_a_large_body_is_refused(length: int | None) -> None:
    django = Django()
    visitor = Visitor(Pages(django), length=length)
    for _ in range(pages.BODY_BYTES // 1024 + 1):
        visitor.say(b"x" * 1024, more=True)
    await asyncio.wait_for(visitor.task, 1)
    assert visitor.status == 413
    assert django.most == 0
