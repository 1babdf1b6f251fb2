"""Bounds on WebSockets below the application: their heads, their messages, who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
import websockets
from websockets.asyncio.client import connect

from core import protocol, sockets
from core.protocol import BoundedProtocol
from core.sockets import BoundedSocket
from tests.support.waiting import eventually_async

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + KEY + b"\r\n"
# a frame of a client's, masked with zeros
PING = b"\x89\x80\0\0\0\0"


class Application:
    """Answers requests when it is told to, and repeats what sockets say."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.ended = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection."""
        if scope["type"] == "http":
            await self.may_answer.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"answered"})
            return
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        self.ended += 1


@pytest.fixture
async def served() -> AsyncIterator[tuple[Application, int]]:
    """The application and its port."""
    application = Application()
    config = uvicorn.Config(
        application,
        host="127.0.0.1",
        port=0,
        http=BoundedProtocol,
        ws=BoundedSocket,
        ws_max_size=1024,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually_async(lambda: server.started, within_s=20)
    yield application, server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


@asynccontextmanager
async def link(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of a client that knows nothing of protocols."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_the_heads_time_is_not_the_sockets(
    served: tuple[Application, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_WITHIN_S", 0.2)
    application, port = served
    async with connect(f"ws://127.0.0.1:{port}/", compression=None) as socket:
        # this one's head never ends: its end tells that the time is over
        async with link(port) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\n")
            assert b" 408 " in await asyncio.wait_for(reader.read(), 10)
        await socket.send("still there")
        assert await asyncio.wait_for(socket.recv(), 10) == "still there"
        assert application.ended == 0


async def test_a_head_without_bounds_becomes_no_socket(served: tuple[Application, int]) -> None:
    _, port = served
    async with link(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 300 + UPGRADE)
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 431 ")


async def test_no_socket_begins_before_an_answer_is_given(served: tuple[Application, int]) -> None:
    application, port = served
    async with link(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\n" + UPGRADE)
        assert await asyncio.wait_for(reader.read(), 10) == b""
    application.may_answer.set()
    async with link(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + UPGRADE)
        assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 101 ")


async def test_messages_are_small(served: tuple[Application, int]) -> None:
    _, port = served
    async with connect(f"ws://127.0.0.1:{port}/", compression=None) as socket:
        await socket.send("x" * 1024)
        assert len(await socket.recv()) == 1024
        await socket.send("x" * 1025)
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), 10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_who_pings_and_reads_nothing_is_cut_off(
    served: tuple[Application, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "READS_WITHIN_S", 0.5)
    application, port = served
    async with link(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + UPGRADE)
        await reader.readline()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe|[Ll]ost"):
            await ping_for_ever(writer)
    await eventually_async(lambda: application.ended == 1)


async def ping_for_ever(writer: asyncio.StreamWriter) -> None:
    """Ask for answers as fast as the server takes it."""
    while True:
        writer.write(PING * 10_000)
        await asyncio.wait_for(writer.drain(), 20)


async def test_sockets_count_as_connections(
    served: tuple[Application, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedProtocol, "_most_connections", 2)
    _, port = served
    async with (
        connect(f"ws://127.0.0.1:{port}/", compression=None) as first,
        connect(f"ws://127.0.0.1:{port}/", compression=None) as second,
    ):
        async with link(port) as (reader, _writer):
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 10) == b""
        for socket in (first, second):
            await socket.send("here")
            assert await socket.recv() == "here"
