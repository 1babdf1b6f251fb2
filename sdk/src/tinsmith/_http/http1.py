"""HTTP/1.1 straight over asyncio: as much of it as talking JSON and protobuf to one server takes.

A training step is four small requests, and a general client spends as much time on one as the
server does: 1.2 ms of CPU with httpx, 0.1 ms here. Proxies are left to httpx, see ``proxied``.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote, urlsplit

CONNECT_TIMEOUT_S = 5.0
GREETING_S = 2.0
IDLE_S = 30.0  # a connection unused for longer is not used again
MAX_HEAD = 1 << 16
READ_BUFFER = 1 << 20


class TransportError(Exception):
    """The exchange did not come to an end."""


class ConnectError(TransportError):
    """There is nobody at the address."""


class WrongAddress(ConnectError):
    """There is something else than a server of ours at the address: asking again is no use."""


class Timeout(TransportError):
    """The server took too long."""


class Stale(TransportError):
    """A connection that had been idle was closed before it answered: worth one more try at once."""


@dataclass(frozen=True)
class Response:
    """A whole reply; header names are lower-case.

    ``sent_before``: the request went out on a stale connection first, and may have arrived so.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    sent_before: bool = False


class Backend(Protocol):
    """What sends requests: `Direct` here, ``proxied.Proxied`` through a proxy."""

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        timeout_s: float,
    ) -> Response:
        """One attempt; raises TransportError."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _NoHttp(ValueError):
    """The first line of a reply is none."""


_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"})
_TLS_ALERT = b"\x15\x03"  # how TLS refuses what is no TLS


class _Connection:
    """One socket. An exchange that fails or is cancelled closes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._expired = False
        self.used = False
        self.since = time.monotonic()

    @property
    def is_usable(self) -> bool:
        """Whether the server has not hung up, as far as one can tell."""
        if self._writer.is_closing() or self._reader.at_eof():
            return False
        # Bytes that nobody asked for are a proxy's farewell, not the next answer
        unasked = self._reader._buffer  # type: ignore[attr-defined]
        return not unasked and time.monotonic() - self.since < IDLE_S

    def close(self) -> None:
        """Close without ceremony."""
        self._writer.transport.abort()

    def _expire(self) -> None:
        self._expired = True
        self.close()

    async def exchange(self, request: bytes, content: bytes, timeout_s: float) -> Response:
        """Send a request and read its reply. The time limit is for silence, not for the whole."""
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout_s, self._expire)
        begun = False
        try:
            self._writer.write(request + content if len(content) < READ_BUFFER else request)
            if len(content) >= READ_BUFFER:
                self._writer.write(content)
            await self._writer.drain()
            head = await self._read_head()
            begun = True
            timer.cancel()
            timer = loop.call_later(timeout_s, self._expire)
            response, keep = await self._read_reply(head)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            self.close()
            if self._expired:
                raise Timeout(f"no answer within {timeout_s:g} s") from error
            said = b"" if begun else getattr(error, "partial", b"")
            if said[:2] == _TLS_ALERT:
                raise WrongAddress("it speaks TLS: write https:// instead of http://") from error
            if isinstance(error, _NoHttp) or not b"HTTP/1.".startswith(said[:7]):
                raise WrongAddress("what answers there does not speak HTTP/1.1") from error
            words = str(error) or type(error).__name__
            raise (Stale if self.used and not begun else TransportError)(words) from error
        except BaseException:
            self.close()
            raise
        finally:
            timer.cancel()
        self.used = True
        self.since = time.monotonic()
        if not keep:
            self.close()
        return response

    async def _read_head(self) -> list[bytes]:
        """Status line and headers; interim replies are skipped."""
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            lines = head[:-4].split(b"\r\n")
            if not lines[0].startswith(b"HTTP/1."):
                raise _NoHttp("what answers there does not speak HTTP/1.1")
            if lines[0][9:10] != b"1":
                return lines

    async def _read_reply(self, head: list[bytes]) -> tuple[Response, bool]:
        """(the reply, whether the connection may be used again)."""
        status = int(head[0][9:12])
        headers: dict[str, str] = {}
        for line in head[1:]:
            name, _, value = line.decode("latin-1").partition(":")
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        keep = headers.get("connection", "").lower() != "close" and head[0][:8] == b"HTTP/1.1"
        if status in (204, 304):
            body = b""
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            body = await self._read_chunks()
        elif "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body, keep = await self._reader.read(-1), False
        if headers.get("content-encoding", "").lower() == "gzip":
            body = _gunzip(body)
        return Response(status, headers, body), keep

    async def _read_chunks(self) -> bytes:
        parts: list[bytes] = []
        while True:
            line = await self._reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                while await self._reader.readuntil(b"\r\n") != b"\r\n":
                    pass  # trailers
                return b"".join(parts)
            parts.append(await self._reader.readexactly(size))
            await self._reader.readexactly(2)


class Direct:
    """Connections to one server, kept open between requests."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        """``headers`` go with every request."""
        parts = urlsplit(base_url)
        self._host = parts.hostname or ""
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path
        self._common = _lines({"Host": parts.netloc.rpartition("@")[2], **headers})
        self._context: ssl.SSLContext | None = None
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._closed = False
        self._answered = False

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        timeout_s: float,
    ) -> Response:
        """One attempt, on a kept connection or on a new one; raises TransportError."""
        target = quote(self._prefix + path, safe="/:?&=%,~@!$'()*+;")
        length = f"Content-Length: {len(content)}\r\n" if method != "GET" else ""
        request = f"{method} {target} HTTP/1.1\r\n{self._common}{_lines(headers)}{length}\r\n"
        raw = request.encode("latin-1")
        stale = False
        while not self._closed:
            connection = self._take() or await self._connect()
            self._all.add(connection)
            try:
                response = await connection.exchange(raw, content, timeout_s)
            except Stale:
                stale = True
                continue  # ends with a new connection, which is never stale
            except TransportError as error:
                await self._explain(error)
                raise
            finally:
                if connection.is_usable and connection.used:
                    self._idle.append(connection)
                else:
                    self._all.discard(connection)
            self._answered = True
            return replace(response, sent_before=True) if stale else response
        raise TransportError("the client was closed")

    async def close(self) -> None:
        """Close all connections; exchanges under way fail."""
        self._closed = True
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._idle.clear()

    def _take(self) -> _Connection | None:
        """The connection used last, so that those not needed grow old."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            connection.close()
            self._all.discard(connection)
        return None

    async def _explain(self, error: TransportError) -> None:
        """Raise WrongAddress where a server never answers, because it speaks TLS alone."""
        if self._answered or self._tls or isinstance(error, Timeout | WrongAddress):
            return
        if await self._speaks_tls():
            raise WrongAddress("it speaks TLS: write https:// instead of http://") from error

    async def _speaks_tls(self) -> bool:
        """Whether what says nothing to plain HTTP answers a TLS greeting."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        opening = asyncio.open_connection(self._host, self._port, ssl=context)
        try:
            _, writer = await asyncio.wait_for(opening, GREETING_S)
        except (OSError, asyncio.TimeoutError):
            return False
        writer.transport.abort()
        return True

    async def _connect(self) -> _Connection:
        if self._tls and self._context is None:
            self._context = await asyncio.to_thread(_tls_context)
        opening = asyncio.open_connection(
            self._host, self._port, ssl=self._context, limit=READ_BUFFER
        )
        try:
            return _Connection(*await asyncio.wait_for(opening, CONNECT_TIMEOUT_S))
        except asyncio.TimeoutError:
            raise Timeout(f"no connection within {CONNECT_TIMEOUT_S:g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise WrongAddress(
                f"its certificate is not trusted: {error.verify_message}. SSL_CERT_FILE names "
                "whom to trust"
            ) from error
        except ssl.SSLError as error:
            if error.reason in _NO_TLS:
                raise WrongAddress("it speaks no TLS: write http:// instead of https://") from error
            raise ConnectError(error.reason or str(error)) from error
        except OSError as error:
            raise ConnectError(error.strerror or str(error)) from error


def _lines(headers: Mapping[str, str]) -> str:
    """Header lines; raises ValueError for what would break out of one."""
    for name, value in headers.items():
        if any(bad in name + value for bad in "\r\n\0"):
            raise ValueError(f"the header {name!r} holds a line break")
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def _gunzip(body: bytes) -> bytes:
    try:
        return zlib.decompress(body, wbits=31)
    except zlib.error as error:
        raise ValueError(f"a compressed reply cannot be read: {error}") from None


def _tls_context() -> ssl.SSLContext:
    """Trusts whom httpx trusts: SSL_CERT_FILE or SSL_CERT_DIR, else the usual authorities."""
    import httpx

    return httpx.create_ssl_context()
