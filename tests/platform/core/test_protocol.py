"""What a stranger may send before there is a request, over sockets to a server process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import REPOSITORY
from tests.support.waiting import eventually

APPLICATION = '''
"""Answers every request after its body, or as the path says."""
import asyncio

from core import protocol
from core.pages import Pages

protocol.HEAD_WITHIN_S = 1.0
protocol.REST_WITHIN_S = 1.0

async def read(receive):
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return size
        size, more = size + len(message["body"]), message["more_body"]
    return size

async def answer(scope, receive, send):
    size = 0 if scope["path"] == "/at-once" else await read(receive)
    await asyncio.sleep(2.0 if scope["path"] == "/later" else 0)
    text = b"%d bytes, %d headers" % (size, len(scope["headers"]))
    headers = [(b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})

pages = Pages(answer)

async def application(scope, receive, send):
    await (pages if scope["path"] == "/page" else answer)(scope, receive, send)
'''


@dataclass(frozen=True)
class Server:
    """A web process that runs nothing of ours but the protocol."""

    port: int
    process: psutil.Process

    def connect(self) -> socket.socket:
        """A new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def say(self, *parts: bytes) -> bytes:
        """What comes back until the server hangs up; it may do so before it has read everything."""
        with self.connect() as link:
            try:
                for part in parts:
                    link.sendall(part)
            except OSError:
                pass
            return everything(link)

    def memory(self) -> int:
        """What the process holds, in bytes."""
        return self.process.memory_info().rss


def everything(link: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    came = b""
    try:
        while part := link.recv(65536):
            came += part
    except ConnectionResetError:
        pass
    return came


def start(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """The server on a socket that it is given."""
    (folder / "application_under_test.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "uvicorn", "application_under_test:application"]
    command += ["--app-dir", str(folder), "--port", variables.pop("PORT")]
    command += ["--loop", "uvloop", "--http", "core.protocol:BoundedProtocol", "--ws", "none"]
    command += ["--lifespan", "off", "--log-level", "warning", "--no-access-log"]
    paths = os.pathsep.join([str(REPOSITORY / "platform"), str(REPOSITORY)])
    env = {**os.environ, "PYTHONPATH": paths, "DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.Popen(command, cwd=folder, env={**env, **variables})


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def serve(folder: Path, **variables: str) -> Iterator[Server]:
    """A server until the test is done."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = start(folder, PORT=str(port), **variables)
    try:
        eventually(lambda: answers(port) or process.poll() is not None, within_s=30)
        assert process.poll() is None
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests of this file."""
    yield from serve(tmp_path_factory.mktemp("server"))


HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def get(more: bytes = b"", path: bytes = b"/") -> bytes:
    """A request."""
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + more + b"\r\n"


def test_an_ordinary_head_is_taken(server: Server) -> None:
    headers = b"".join(b"X-%d: %b\r\n" % (n, b"v" * 300) for n in range(200))
    assert len(headers) > 60_000
    assert b"200 OK" in server.say(get(CLOSE + headers))


HEADS: dict[str, tuple[int, Callable[[], Iterator[bytes]]]] = {}


def head(status: int) -> Callable[[Callable[[], Iterator[bytes]]], Callable[[], Iterator[bytes]]]:
    """Register what a stranger sends, and how it is refused."""

    def register(make: Callable[[], Iterator[bytes]]) -> Callable[[], Iterator[bytes]]:
        HEADS[make.__name__] = status, make
        return make

    return register


@head(431)
def one_header_of_48_mb() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: x\r\nX: "
    for _ in range(48):
        yield b"y" * 2**20
    yield b"\r\n\r\n"


@head(431)
def an_address_of_8_mb() -> Iterator[bytes]:
    yield b"GET /"
    for _ in range(8):
        yield b"y" * 2**20
    yield b" HTTP/1.1\r\nHost: x\r\n\r\n"


@head(431)
def two_million_header_lines() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: x\r\n"
    for _ in range(2000):
        yield b"a: b\r\n" * 1000
    yield b"\r\n"


@head(431)
def a_header_name_of_8_mb() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nHost: x\r\n"
    for _ in range(8):
        yield b"y" * 2**20
    yield b": z\r\n\r\n"


@head(431)
def three_hundred_headers() -> Iterator[bytes]:
    yield get(b"a: b\r\n" * 300)


@head(431)
def one_byte_too_many() -> Iterator[bytes]:
    yield get(b"X: " + b"y" * 65_600 + b"\r\n")


@pytest.mark.parametrize("name", HEADS)
def test_a_head_without_bounds_is_refused_and_costs_nothing(server: Server, name: str) -> None:
    status, make = HEADS[name]
    server.say(get(CLOSE))
    before = server.memory()
    for _ in range(3):
        came = server.say(*make())
        # whoever goes on sending may be cut off before they read why
        assert not came or came.startswith(b"HTTP/1.1 %d " % status), came[:100]
    assert server.memory() - before < 10 * 2**20
    assert b"200 OK" in server.say(get(CLOSE))


def test_why_a_head_is_refused_is_said(server: Server) -> None:
    assert b"the request has more than 256 headers" in server.say(*three_hundred_headers())
    assert b"head is longer than 65536 bytes" in server.say(*one_byte_too_many())


def test_the_second_request_of_a_connection_is_bounded_too(server: Server) -> None:
    with server.connect() as link:
        link.sendall(get())
        assert b"200 OK" in link.recv(65536)
        link.sendall(get(b"a: b\r\n" * 300))
        assert b"431" in everything(link)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_head_that_never_ends_is_given_up(server: Server, begun: bytes) -> None:
    stopped = threading.Event()
    with server.connect() as link:
        link.sendall(begun)

        def send_more() -> None:
            # a byte now and then does not buy time
            while begun.strip() and not stopped.wait(0.1):
                try:
                    link.sendall(b"X" if begun.endswith(b"HT") else b"A: b\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=send_more)
        dripping.start()
        try:
            came = everything(link)
        finally:
            stopped.set()
            dripping.join()
    assert came == b"" or b" 408 " in came or b" 400 " in came, came


def test_trailers_and_the_framing_of_chunks_are_bounded(server: Server) -> None:
    begun = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    before = server.memory()
    trailers = [b"5\r\nhello\r\n0\r\n", b"T: ", *[b"y" * 2**20] * 16, b"\r\n\r\n"]
    assert b"200" not in server.say(begun, *trailers)
    extensions = [b"5;", *[b"y" * 2**20] * 16, b"\r\nhello\r\n0\r\n\r\n"]
    assert b"200" not in server.say(begun, *extensions)
    assert server.memory() - before < 10 * 2**20


def test_chunks_of_one_byte_and_short_trailers_are_taken(server: Server) -> None:
    begun = b"POST / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n"
    came = server.say(begun, b"1\r\nx\r\n" * 100_000, b"0\r\nT: t\r\n\r\n")
    assert b"100000 bytes, 3 headers" in came


def test_what_follows_an_answer_is_not_read_for_ever(server: Server) -> None:
    with server.connect() as link:
        link.sendall(b"POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        assert b"200 OK" in link.recv(65536)
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            drip(link)


def drip(link: socket.socket) -> None:
    """Send a little now and then, for far longer than a server should listen."""
    for _ in range(200):
        link.sendall(b"x" * 1000)
        time.sleep(0.05)


def test_a_body_after_its_answer_may_come_to_its_end(server: Server) -> None:
    with server.connect() as link:
        link.sendall(b"POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert b"200 OK" in link.recv(65536)
        link.sendall(b"x" * 1_000_000)
        link.sendall(get(CLOSE))
        assert b"200 OK" in everything(link)


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 30000000\r\n\r\n%b", CHUNKED + b"%b0\r\n\r\n"]
)
def test_an_early_answer_reaches_who_asked_to_close_and_sends_everything_first(
    server: Server, framed: bytes
) -> None:
    """As urllib does, and nginx towards what stands behind it."""
    piece = b"x" * 1_000_000
    frame = b"f4240\r\n" + piece + b"\r\n" if CHUNKED in framed else piece
    for _ in range(5):
        with server.connect() as link:
            link.sendall(b"POST /at-once HTTP/1.1\r\nHost: x\r\n" + CLOSE)
            link.sendall(framed % (frame * 30))
            came = everything(link)
        assert came.startswith(b"HTTP/1.1 200 OK"), came
        assert b"connection: close" in came


def test_nothing_is_taken_after_the_last_request(server: Server) -> None:
    post = b"POST /at-once HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Content-Length: 9\r\n\r\n"
    with server.connect() as link:
        link.sendall(post)
        assert b"200 OK" in link.recv(65536)
        link.sendall(b"123456789" + get())
        assert b"200 OK" not in everything(link)


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    came = server.say(b"".join(post % size + b"x" * size for size in (3, 70_000, 0, 5)), get(CLOSE))
    assert [part.split(b" bytes")[0] for part in came.split(b"\r\n\r\n")[1:]] == [
        b"3",
        b"70000",
        b"0",
        b"5",
        b"0",
    ]


@pytest.mark.parametrize("cut", [0, 8, 40, 100])
def test_a_pipelined_request_has_its_time_once_it_is_its_turn(server: Server, cut: int) -> None:
    """Whatever of it is there by then: nothing, half a head, a head."""
    post = b"POST /second HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Content-Length: 3\r\n\r\nabc"
    head = post.index(b"abc")
    with server.connect() as link:
        link.sendall(get(path=b"/later") + post[: min(cut, head)])
        answer = b""
        while not answer.endswith(b"0 bytes, 1 headers"):
            came = link.recv(65536)
            assert came, answer
            answer += came
        if cut >= head:
            # its body may take longer than what is left of a refused one
            link.settimeout(1.5)
            with pytest.raises(TimeoutError):
                link.recv(1)
            link.settimeout(20)
        link.sendall(post[min(cut, head) :])
        assert b"3 bytes" in everything(link)


def test_half_a_head_behind_an_answer_is_given_up(server: Server) -> None:
    with server.connect() as link:
        link.sendall(get(path=b"/later") + b"GET / HT")
        assert b" 408 " in everything(link)


class TestPages:
    """Bodies of pages, which need no key."""

    def test_a_small_body_is_taken(self, server: Server) -> None:
        post = b"POST /page HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Content-Length: 200000\r\n\r\n"
        assert b"200000 bytes" in server.say(post, b"x" * 100_000, b"x" * 100_000)

    @pytest.mark.parametrize(
        ("length", "frame"),
        [
            (b"Content-Length: 50000000\r\n\r\n", b"%b"),
            (b"Transfer-Encoding: chunked\r\n\r\n", b"100000\r\n%b\r\n"),
        ],
    )
    def test_a_large_one_is_refused_and_not_kept(
        self, server: Server, length: bytes, frame: bytes
    ) -> None:
        before = server.memory()
        post = b"POST /page HTTP/1.1\r\nHost: x\r\n" + CLOSE + length
        came = server.say(post, *[frame % (b"x" * 2**20)] * 50)
        assert not came or came.startswith(b"HTTP/1.1 413 "), came[:100]
        assert server.memory() - before < 10 * 2**20


def test_with_too_many_connections_those_without_a_request_make_room(tmp_path: Path) -> None:
    for server in serve(tmp_path, TINSMITH_MAX_CONNECTIONS="20"):
        with server.connect() as busy:
            busy.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"Content-Length: 3\r\n\r\n")
            time.sleep(0.2)
            idle = [server.connect() for _ in range(60)]
            assert b"200 OK" in server.say(get(CLOSE))
            busy.sendall(b"abc")
            assert b"3 bytes" in everything(busy)
            for link in idle:
                link.close()
