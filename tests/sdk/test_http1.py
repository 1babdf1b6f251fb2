"""HTTP/1.1 against a server that says exactly what a test tells it to say."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.sdk.stub import Stub
from tests.support.waiting import eventually_async
from tinsmith._http import http1, proxied

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nX-A: 2\r\n\r\nok"

# of no value: for a server on the loopback interface, only in this test
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUHyugVZpLtU1k1TCEwHdDLbMJczUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzAyMDQwM1oYDzIxMjYxMDMw
MDIwNDAzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARhDqGLUUHKT0oVbdnAEUCzq5w2Y8q//sCbbgWrwB4rCI6nKmkITogS
EA1wDBP5OEAKrnvSSKWt9Q3oAH+pgsAPo28wbTAdBgNVHQ4EFgQU4Dom2l2QhsGW
zGj2DOyOCTUVBRYwHwYDVR0jBBgwFoAU4Dom2l2QhsGWzGj2DOyOCTUVBRYwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgEdfsXrBSTLuWzs2QAGXLD19qsE7B0xyEnO17WnF60rsCIC3L
UHKrG4UlXe/uWzoUwvKlvSKlxd1uv3JCF76OGAoI
-----END CERTIFICATE-----
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbteiOuf72G/N5rH1
dZf648T454e6D515Wp2pOtLVQsOhRANCAARhDqGLUUHKT0oVbdnAEUCzq5w2Y8q/
/sCbbgWrwB4rCI6nKmkITogSEA1wDBP5OEAKrnvSSKWt9Q3oAH+pgsAP
-----END PRIVATE KEY-----
"""


class Script:
    """What was received, and what to say to it; None hangs up, a number waits so many seconds."""

    def __init__(self) -> None:
        self.answers: list[list[bytes | float | None]] = []
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                self.requests.append(head + await reader.readexactly(length))
                for part in self.answers.pop(0) if self.answers else [OK]:
                    if part is None:
                        return
                    if isinstance(part, float):
                        await asyncio.sleep(part)
                    else:
                        writer.write(part)
                        await writer.drain()
        except (EOFError, OSError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def connected(
    *, tls: ssl.SSLContext | None = None, prefix: str = ""
) -> AsyncIterator[tuple[Script, http1.Direct]]:
    """A server and a client of it."""
    script = Script()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    client = http1.Direct(f"{scheme}://127.0.0.1:{port}{prefix}", {"X-API-Key": "k"})
    try:
        yield script, client
    finally:
        await client.close()
        server.close()


async def get(client: http1.Direct, timeout_s: float = 5.0) -> http1.Response:
    return await client.send("GET", "/x", {"Accept": "a/b"}, b"", timeout_s)


async def test_a_request_is_what_it_should_be_and_connections_are_kept() -> None:
    async with connected(prefix="/pre") as (script, client):
        response = await client.send("POST", "/a b/ü?c=d", {"X-B": "1"}, b"body", 5.0)
        assert (response.status, response.body) == (200, b"ok")
        assert response.headers["x-a"] == "1, 2"
        await get(client)
        lines = script.requests[0].split(b"\r\n")
        assert lines[0] == b"POST /pre/a%20b/%C3%BC?c=d HTTP/1.1"
        assert b"X-API-Key: k" in lines
        assert b"Content-Length: 4" in lines
        assert lines[-1] == b"body"
        assert b"Content-Length" not in script.requests[1]
        assert script.connections == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: 1\r\n\r\n"
            ),
            b"abc0123456789",
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x"),
        (b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
            % len(gzip.compress(b"z" * 99))
            + gzip.compress(b"z" * 99),
            b"z" * 99,
        ),
    ],
    ids=["chunked", "until the end", "1.0", "interim", "no content", "gzip"],
)
async def test_every_way_to_say_where_a_body_ends(answer: bytes, body: bytes) -> None:
    async with connected() as (script, client):
        script.answers = [[answer[:20], 0.01, answer[20:], *([None] if b"close" in answer else [])]]
        assert (await get(client)).body == body
        assert (await get(client)).body == b"ok"


async def test_a_connection_closed_while_idle_costs_nothing() -> None:
    async with connected() as (script, client):
        script.answers = [[OK, None]]
        await get(client)
        await eventually_async(lambda: not any(one.is_usable for one in client._idle))
        await get(client)
        script.answers = [[None]]  # closed at the very moment of the request
        await get(client)
        assert (script.connections, len(script.requests)) == (3, 4)


async def test_what_a_server_says_unasked_is_no_answer() -> None:
    async with connected() as (script, client):
        script.answers = [[OK, b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"]]
        await get(client)
        await eventually_async(lambda: not any(one.is_usable for one in client._idle))
        assert (await get(client)).status == 200
        assert script.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        [None],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", None],
        [b"SSH-2.0-OpenSSH\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nX: " + b"y" * (1 << 21)],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"],
    ],
    ids=["nothing", "cut short", "no HTTP", "endless head", "bad chunk", "bad gzip"],
)
async def test_a_broken_answer_is_an_error_and_its_connection_is_gone(
    answer: list[bytes | float | None],
) -> None:
    async with connected() as (script, client):
        script.answers = [answer]
        with pytest.raises(http1.TransportError) as caught:
            await get(client)
        assert not isinstance(caught.value, http1.Stale)
        assert (await get(client)).body == b"ok"


async def test_silence_ends_a_request_but_slow_progress_does_not() -> None:
    async with connected() as (script, client):
        script.answers = [[0.5, OK]]
        begun = time.monotonic()
        with pytest.raises(http1.Timeout, match=r"within 0\.1 s"):
            await get(client, 0.1)
        assert time.monotonic() - begun < 0.4
        script.answers = [[0.15, OK[:-2], 0.15, OK[-2:]]]
        assert (await get(client, 0.25)).body == b"ok"


async def test_a_cancelled_request_does_not_leave_its_answer_to_the_next() -> None:
    async with connected() as (script, client):
        script.answers = [[0.1, OK.replace(b"ok", b"NO")]]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(get(client), 0.05)
        assert (await get(client)).body == b"ok"
        assert script.connections == 2


async def test_large_bodies_go_both_ways() -> None:
    large = bytes(range(256)) * 40_000
    async with connected() as (script, client):
        script.answers = [[b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(large), large]]
        response = await client.send("POST", "/", {}, large, 5.0)
        assert response.body == large
        assert script.requests[0].endswith(large)


async def test_headers_cannot_be_smuggled_in() -> None:
    async with connected() as (script, client):
        with pytest.raises(ValueError, match="line break"):
            await client.send("GET", "/", {"X": "a\r\nY: b"}, b"", 1.0)
        with pytest.raises(ValueError, match="line break"):
            http1.Direct("http://x", {"X": "a\nb"})
        await client.send("GET", "/a\r\nX: y", {}, b"", 1.0)
        assert script.requests[0].startswith(b"GET /a%0D%0AX:%20y HTTP/1.1\r\n")


async def test_a_closed_client_does_not_connect_again() -> None:
    async with connected() as (script, client):
        script.answers = [[OK], [1.0, OK]]
        await get(client)
        under_way = asyncio.ensure_future(get(client))
        await eventually_async(lambda: len(script.requests) == 2)
        await client.close()
        for waiting in (under_way, get(client)):
            with pytest.raises(http1.TransportError):
                await waiting
        assert script.connections == 1


async def test_tls_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(CERTIFICATE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    async with connected(tls=context) as (script, client):
        with pytest.raises(http1.ConnectError, match="not trusted"):
            await get(client)
        assert script.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    async with connected(tls=context) as (script, client):
        assert (await get(client)).body == b"ok"
        assert (await get(client)).body == b"ok"
        assert script.connections == 1


async def test_a_thousand_requests_wait_at_the_same_time() -> None:
    async with connected() as (script, client):
        script.answers = [[0.3, OK] for _ in range(500)]
        replies = await asyncio.gather(*[get(client) for _ in range(500)])
        assert all(reply.body == b"ok" for reply in replies)
        assert script.connections == 500


def test_a_proxy_is_asked_when_the_environment_names_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert not proxied.is_needed("http://server.example")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:3128")
    assert proxied.is_needed("http://server.example")
    assert not proxied.is_needed("https://server.example")
    monkeypatch.setenv("no_proxy", ".example")
    assert not proxied.is_needed("http://server.example")


async def test_requests_go_through_the_proxy(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", stub.url)
    monkeypatch.setenv("no_proxy", "")
    client = proxied.Proxied("http://server.example", {"X-API-Key": "k"})
    response = await client.send("GET", "/api/v1/get_server_capabilities", {}, b"", 5.0)
    assert response.status == 404  # the stub is no proxy, but it was asked, for the whole address
    assert stub.calls[0].path == "http://server.example/api/v1/get_server_capabilities"
    assert stub.calls[0].headers["x-api-key"] == "k"
    await client.close()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    client = proxied.Proxied("http://server.example", {})
    with pytest.raises(http1.ConnectError, match="through the proxy"):
        await client.send("GET", "/", {}, b"", 5.0)
    await client.close()
