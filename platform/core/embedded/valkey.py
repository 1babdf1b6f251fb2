"""A Valkey server of our own, on a private socket, nothing kept on disk: it carries doorbells."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from pathlib import Path

from core.embedded.binaries import find_valkey
from core.embedded.folder import DataFolder
from core.embedded.processes import EmbeddedError, end_leftovers, living_in, spawn, stop, tail

START_WITHIN_S = 30.0
_STOP = ((signal.SIGTERM, 5.0),)


class ValkeyServer:
    """The server of a data folder."""

    stop_steps = _STOP

    def __init__(self, folder: DataFolder) -> None:
        self.folder = folder
        self.home = folder.path / "valkey"
        self.log = folder.log("valkey")

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder.sockets / "valkey" / "valkey.sock"

    @property
    def url(self) -> str:
        """Its address."""
        return f"unix://{self.socket}"

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server; see `wait`."""
        program = find_valkey()
        self.home.mkdir(mode=0o700, exist_ok=True)
        names = ("valkey-server", "redis-server")
        end_leftovers(lambda: living_in(self.home, names), _STOP)
        self.socket.unlink(missing_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return spawn([program, *arguments], cwd=self.home, log=self.log)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server answers.

        Raises:
            EmbeddedError: it ended, or does not answer.
        """
        deadline = time.monotonic() + START_WITHIN_S
        while not self._answers():
            if process.poll() is not None:
                raise EmbeddedError(f"Valkey ended:\n{tail(self.log)}")
            if time.monotonic() > deadline:
                raise EmbeddedError(f"Valkey does not answer:\n{tail(self.log)}")
            time.sleep(0.03)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Shut down."""
        stop(process, _STOP)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(2)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False
