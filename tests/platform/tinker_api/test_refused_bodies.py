"""A refused body is freed with its answer, not when the garbage collector next looks."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpResponse

import core.endpoint
from core import lane
from core.lane import EventStream
from tests.platform.tinker_api.conftest import Api
from tests.support.waiting import eventually_async
from tinker_api.endpoint import Call, endpoint
from tinker_api.lane import WireLane

BODY_BYTES = 20 * 2**20
MAY_STAY_BYTES = 2 * 2**20


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage collection: what reference counting does not free stays."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()


async def post(app: Any, path: str, key: str, content: bytes, **headers: str) -> int:
    """The status of a POST whose body comes in chunks of 256 kB."""
    chunks = [content[at : at + 2**18] for at in range(0, len(content), 2**18)]
    chunks.reverse()
    sent: list[int] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            await asyncio.Event().wait()
        chunk = chunks.pop()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message.get("status", 0))

    given = {"x-api-key": key, "content-length": str(len(content)), **headers}
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/api/v1/{path}",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    await app(scope, receive, send)
    return sent[0]


def zeros() -> bytes:
    """A body that is no JSON."""
    return bytes(BODY_BYTES)


def long_text() -> bytes:
    """A body whose one field is as long as it may not be."""
    return b'{"request_id": "' + b"x" * BODY_BYTES + b'"}'


@pytest.mark.parametrize(
    ("path", "make", "headers", "status"),
    [
        ("create_session", zeros, {}, 400),
        ("forward_backward", zeros, {"content-type": "application/x-protobuf"}, 400),
        ("forward_backward", zeros, {"content-type": "text/plain"}, 415),
        ("cancel_future", long_text, {}, 400),
        ("retrieve_future", zeros, {}, 413),
        ("create_session", zeros, {"content-encoding": "gzip"}, 400),
        ("create_session", zeros, {"content-encoding": "br"}, 415),
        ("no/such/thing", zeros, {}, 404),
    ],
)
async def test_a_refused_body_is_freed_without_a_collection(
    api: Api, uncollected: None, path: str, make: Any, headers: dict[str, str], status: int
) -> None:
    app, key = WireLane(), api.headers["X-API-Key"]
    assert await post(app, path, key, b"x", **headers) >= 400
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(2):
        assert await post(app, path, key, make(), **headers) == status
    # a task or thread may end a moment after the answer; without collections no cycle would
    await eventually_async(lambda: tracemalloc.get_traced_memory()[0] - before < MAY_STAY_BYTES)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The log as a stream: what collects records for a report keeps their errors alive."""
    stream = io.StringIO()
    apart = logging.Logger("apart")  # noqa: LOG001  in no tree, so no collector hears it
    apart.addHandler(logging.StreamHandler(stream))
    for module in (core.endpoint, lane):
        monkeypatch.setattr(module, "log", apart)
    return stream


async def test_a_body_that_breaks_its_view_is_freed_too(
    api: Api, uncollected: None, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(call: Call) -> HttpResponse:
        body = call.body
        try:
            body.decode("ascii")
        except UnicodeDecodeError as error:
            raise RuntimeError("a mistake of ours") from error
        raise AssertionError("unreachable")

    view = endpoint(post=breaks)
    match = SimpleNamespace(func=view, args=(), kwargs={})
    monkeypatch.setattr(lane, "resolve", lambda path: match)
    app, key = WireLane(), api.headers["X-API-Key"]
    assert await post(app, "x", key, b"\xff") == 500
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(2):
        assert await post(app, "x", key, b"\xff" * BODY_BYTES) == 500
    after, _ = tracemalloc.get_traced_memory()
    assert after - before < MAY_STAY_BYTES
    assert "a mistake of ours" in written.getvalue()


async def test_a_stream_that_breaks_frees_its_body(
    api: Api, uncollected: None, written: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(content: bytes) -> Any:
        yield b"a beginning"
        raise RuntimeError(f"in the middle of {len(content)} bytes")

    async def streams(call: Call) -> HttpResponse:
        return EventStream(broken(call.body), "text/plain")

    match = SimpleNamespace(func=endpoint(post=streams), args=(), kwargs={})
    monkeypatch.setattr(lane, "resolve", lambda path: match)
    app, key = WireLane(), api.headers["X-API-Key"]

    async def breaks(size: int) -> None:
        try:
            await post(app, "x", key, bytes(size))
        except RuntimeError:
            return
        raise AssertionError("the stream did not break")

    await breaks(1)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(2):
        await breaks(BODY_BYTES)
    # the loop has yet to let go of what it has just done
    await eventually_async(lambda: tracemalloc.get_traced_memory()[0] - before < MAY_STAY_BYTES)
    assert "in the middle of" in written.getvalue()
