"""WebSockets with bounds on clients that do not read.

uvicorn waits for ever for a client to take what was sent, also when it closes. Here a client that
takes nothing for a while is cut off, and while it takes nothing it is not heard either, lest the
answers to its pings heap up. What comes before there is a socket: core/protocol.py.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

READS_WITHIN_S = 20.0


class BoundedSocket(WebSocketsSansIOProtocol):
    """One socket; uvicorn takes it as `--ws core.sockets:BoundedSocket`."""

    _patience: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client does not take what it is sent: give it some time."""
        super().pause_writing()
        self._patience = self.loop.call_later(READS_WITHIN_S, self.transport.abort)
        if not self.read_paused and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._forget_patience()
        if not self.read_paused and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget_patience()
        super().connection_lost(exc)

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
