"""A proxy that counts replies and can lose some: the server has acted, the client does not know."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


class LossyProxy(ThreadingHTTPServer):
    """Forwards to `upstream`; of each address's replies, every `lose_every`-th is lost at first.

    Zero loses none. `answered` counts replies by last part of the address and status.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, upstream: str, lose_every: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream)
        self.lose_every = lose_every
        self.seen: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.answered: Counter[tuple[str, int]] = Counter()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *arguments: object) -> None:
        """Say nothing of clients that have hung up."""

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def loses(self, address: str, status: int) -> bool:
        """Count a reply; whether it is to be lost, which never two in a row of one address are."""
        with self.lock:
            self.seen[address] += 1
            self.answered[address, status] += 1
            lost = bool(self.lose_every) and self.seen[address] % self.lose_every == 1
            self.lost[address] += lost
            return lost


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LossyProxy

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        upstream = self.server.upstream
        connection = HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers.items()))
            reply = connection.getresponse()
            content = reply.read()
        finally:
            connection.close()
        if self.server.loses(self.path.rpartition("/")[2], reply.status):
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _forward  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
