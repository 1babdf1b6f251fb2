"""What a jailed program must not change: files, processes, mounts, and who is spoken to."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SECRET = "correct-horse-battery-staple"
HONEST = "print(int(input()) * 2)"


@dataclass
class Outside:
    """A piece of this machine, to be attacked: a file with a secret, three kinds of sockets."""

    folder: Path
    port: int
    abstract: str
    heard: list[str] = field(default_factory=list)  # who was spoken to

    @property
    def file(self) -> Path:
        """The file that holds the secret."""
        return self.folder / "secret.txt"

    @property
    def unix(self) -> Path:
        """The socket in the file system."""
        return self.folder / "socket"

    def state(self) -> dict[str, object]:
        """Everything that an attempt could have changed."""
        stdlib = Path(os.__file__)
        return {
            "files": sorted(path.name for path in self.folder.iterdir()),
            "secret": hashlib.sha256(self.file.read_bytes()).hexdigest(),
            "times": (self.file.stat().st_mtime_ns, self.file.stat().st_mode),
            "library": hashlib.sha256(stdlib.read_bytes()).hexdigest(),
            "beside the library": sorted(path.name for path in stdlib.parent.iterdir()),
            "mounts": Path("/proc/self/mounts").read_text(),
            "host": socket.gethostname(),
            "user": (os.getuid(), os.geteuid(), os.getgid()),
            "temporary": {path for path in os.listdir("/tmp") if "escaped" in path},
            "heard": list(self.heard),
        }


def running() -> list[str]:
    """Our descendants that run Python in a jail or for one, but for the wardens themselves."""
    found = []
    for child in psutil.Process().children():
        if "jail.warden" in " ".join(_command(child)):
            found += [f"{one.pid} {_command(one)}" for one in child.children(recursive=True)]
    return found


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """Listen on TCP, on a path and on an abstract name until the end."""
    folder.chmod(0o755)
    tcp = socket.create_server(("127.0.0.1", 0))
    abstract = socket.socket(socket.AF_UNIX)
    abstract.bind("\0" + f"tinsmith-{os.getpid()}-{folder.name}")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(folder / "socket"))
    here = Outside(folder, tcp.getsockname()[1], f"tinsmith-{os.getpid()}-{folder.name}")
    here.file.write_text(SECRET)
    here.file.chmod(0o666)  # only the jail keeps anybody away
    listeners = {"tcp": tcp, "abstract": abstract, "unix": unix}
    threads = [
        threading.Thread(target=_listen, args=(here, name, listener))
        for name, listener in listeners.items()
    ]
    for listener, thread in zip(listeners.values(), threads, strict=True):
        listener.listen()
        thread.start()
    try:
        yield here
    finally:
        for listener in listeners.values():
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in threads:
            thread.join()


def _listen(here: Outside, name: str, listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        here.heard.append(name)
        connection.close()
