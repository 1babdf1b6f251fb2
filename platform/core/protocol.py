"""HTTP connections with bounds on what comes before there is a request to refuse.

uvicorn reads a head of any length for as long as it takes, and bodies that nobody wants for ever.
Here heads are bounded in bytes, lines and time, so is the framing of bodies, and what still comes
of a body after its answer; when there are too many connections, those that wait longest without a
request make room. Bodies themselves: core/bodies.py and core/pages.py.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from django.conf import settings
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES = 64 * 1024
HEAD_LINES = 256
HEAD_WITHIN_S = 10.0
# of a body whose answer has been given, the rest is read for so long, so that its client, which
# may first send everything, gets to read the answer
REST_WITHIN_S = 60.0
# after a refusal here, what still comes is dropped for so long
LINGER_S = 2.0
# chunks of one byte have five bytes of framing
FRAMING_PER_BYTE = 8
SLICE_BYTES = 16 * 1024
# beside connections a process has open the database, files, logs
OTHER_FILES = 256

_NO_REQUEST, _HEAD, _BODY = range(3)
# connections of this process without a request, those that have waited longest first
_waiting: dict[BoundedProtocol, None] = {}


class _Refused(Exception):
    """Stops the parser."""


def most_connections() -> int:
    """How many connections this process may have: the setting, if the system allows as many."""
    wanted = settings.MAX_CONNECTIONS + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(wanted, soft) - OTHER_FILES)


class _ClosedLater:
    """The transport as a request has it that is the last: it closes when its body has come."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol.transport, name)

    def close(self) -> None:
        self._protocol.close_after_body()


class BoundedProtocol(HttpToolsProtocol):
    """One connection; uvicorn takes it as `--http core.protocol:BoundedProtocol`."""

    _most_connections: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase = _NO_REQUEST
        self._head_bytes = self._head_lines = 0
        self._body_bytes = self._beside_bytes = self._delivered_bytes = 0
        self._refusal: tuple[int, str] | None = None
        self._refused = self._is_ending = self._is_upgraded = False
        self._timer: asyncio.TimerHandle | None = None

    # --- the connection ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection; with too many, the one that has waited longest is closed."""
        super().connection_made(transport)
        _waiting[self] = None
        self._set_timer(HEAD_WITHIN_S, self._end_head)
        if BoundedProtocol._most_connections is None:
            BoundedProtocol._most_connections = most_connections()
        if len(self.connections) > BoundedProtocol._most_connections:
            longest = next(iter(_waiting))
            del _waiting[longest]
            longest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._unset_timer()
        _waiting.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came in pieces, so that a head is noticed to be too long in time."""
        view = memoryview(data)
        for at in range(0, len(data), SLICE_BYTES):
            if self._refused or self._is_upgraded or self.transport.is_closing():
                return
            self._feed(view[at : at + SLICE_BYTES])
        if self._refused or self._is_upgraded or self._timer is not None:
            return
        # A head behind a request that is being answered has its time afterwards: until then it may
        # not even be read
        if self._phase != _BODY and self._all_answered():
            self._set_timer(HEAD_WITHIN_S, self._end_head)

    def _feed(self, part: memoryview) -> None:
        self._delivered_bytes = 0
        super().data_received(part)  # type: ignore[arg-type]
        self._beside_bytes += len(part) - self._delivered_bytes
        if self._phase == _HEAD and self._beside_bytes > HEAD_BYTES:
            self._refuse(431, f"the request's head is longer than {HEAD_BYTES} bytes")
        elif self._beside_bytes > HEAD_BYTES * 2 + FRAMING_PER_BYTE * self._body_bytes:
            # trailers or the framing of chunks
            self._refuse(400, "the request's body is framed by more bytes than it has")

    # --- what the parser finds --------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A head begins."""
        if self._is_ending:
            raise _Refused
        self._phase = _HEAD
        self._head_bytes = self._head_lines = 0
        self._body_bytes = self._beside_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._count_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which says nothing that we need."""
        if self._phase == _BODY:
            return
        self._head_lines += 1
        self._count_head(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A request is there."""
        self._phase = _BODY
        self._unset_timer()
        _waiting.pop(self, None)
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.transport = _ClosedLater(self)  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(body)
        self._delivered_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._phase = _NO_REQUEST
        self._unset_timer()
        super().on_message_complete()
        if self._is_ending:
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """The connection is a socket's from now on (core/sockets.py), and still counts as one."""
        if not self._all_answered():
            self.transport.close()  # an answer would come among the socket's frames
            return
        self._is_upgraded = True
        self._unset_timer()
        super().handle_websocket_upgrade()

    def on_response_complete(self) -> None:
        """The answer is sent; a body that is still coming has not much time left."""
        super().on_response_complete()
        if self.transport.is_closing() or not self._all_answered():
            return
        if self._phase == _BODY:
            self._set_timer(REST_WITHIN_S, self.transport.close)
            if self._is_ending:
                self._unset_keepalive_if_required()
            return
        _waiting[self] = None
        if self._phase == _HEAD:
            self._set_timer(HEAD_WITHIN_S, self._end_head)

    def close_after_body(self) -> None:
        """End the connection, but after an answer in the middle of its request hear that out.

        Closing at once would lose the answer of who first sends everything.
        """
        if self._phase != _BODY or not self._all_answered() or self.transport.is_closing():
            self.transport.close()
            return
        self._is_ending = True
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _all_answered(self) -> bool:
        """Whether every request whose head has come has its answer."""
        return self.cycle is None or bool(self.cycle.response_complete)

    # --- refusals ---------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not take, and say why if it is we who stopped it."""
        self._refuse(*(self._refusal or (400, msg)))

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._refusal = 431, f"the request's head is longer than {HEAD_BYTES} bytes"
        elif self._head_lines > HEAD_LINES:
            self._refusal = 431, f"the request has more than {HEAD_LINES} headers"
        if self._refusal is not None:
            raise _Refused

    def _end_head(self) -> None:
        """No head came in time; whoever sent nothing at all is told nothing."""
        if self._phase == _HEAD:
            self._refuse(408, f"the request's head took longer than {HEAD_WITHIN_S:.0f} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, said: str) -> None:
        """Say why, then hang up, a little later: cutting a connection loses what is unread."""
        self._refused = True
        if self._is_ending or not self._all_answered():
            self.transport.close()  # another answer may be half sent
            return
        text = said.encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n"
            + b"content-length: %d\r\n\r\n%b" % (len(text), text)
        )
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._set_timer(LINGER_S, self.transport.close)

    def _set_timer(self, seconds: float, then: Any) -> None:
        self._unset_timer()
        self._timer = self.loop.call_later(seconds, then)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
