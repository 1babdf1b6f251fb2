"""A program from its fork to its exec: bounded, without rights, and under the filter."""

from __future__ import annotations

import os
import resource
import signal
from dataclasses import dataclass

from . import kernel
from .view import BOX

FIRST, PROGRAM, INPUT = "first.py", "program.py", "input"
LINE = 3  # the descriptor on which the supervisor is told
_OPEN_FILES = 32


@dataclass(frozen=True)
class Bounds:
    """What one program may use; seconds of processor time are whole ones, sizes in bytes."""

    cpu_seconds: int
    wall_seconds: float
    memory_bytes: int
    output_bytes: int
    threads: int


@dataclass(frozen=True)
class Python:
    """How the interpreter is started in the jail."""

    path: str
    libraries: str
    first: str  # the text of `inside.py`

    def command(self) -> list[str]:
        """No `site`, no folder on the path but the standard library's, nothing written."""
        return [self.path, "-S", "-P", "-s", "-B", f"{BOX}/{FIRST}", f"{BOX}/{PROGRAM}"]

    def environment(self) -> dict[str, str]:
        """All of it. Sets and dicts come in the same order every time, so that rewards repeat."""
        return {
            "HOME": BOX,  # or libraries would ask who we are, over a socket
            "LD_LIBRARY_PATH": self.libraries,
            "LANG": "C.UTF-8",
            "PYTHONHASHSEED": "0",
            "PYTHONUTF8": "1",
            "PYTHONIOENCODING": "utf-8:surrogateescape",
        }


def take_streams(out: int, err: int, line: int) -> None:
    """Output, errors, and the line on which the supervisor is told, which closes at exec."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    if line != LINE:
        os.dup2(line, LINE, inheritable=False)


def become(python: Python, bounds: Bounds, gate: bytes) -> None:
    """Turn this process, the first of its process namespace, into the program.

    The supervisor is told the number of the descriptor that hears what the filter (`gate`) asks.
    Raises `Refused` or OSError; returns never.
    """
    kernel.die_with_parent()
    kernel.call("close_range", LINE + 1, 0x7FFFFFFF, 0)
    os.dup2(os.open(f"{BOX}/{INPUT}", os.O_RDONLY), 0)
    os.setsid()
    kernel.call("sethostname", b"box", 3)
    os.chdir(BOX)
    for signalled in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; exec would keep that
        signal.signal(signalled, signal.SIG_DFL)
    _limit(bounds)
    kernel.give_up_privileges()
    heard_at = kernel.install_filter(gate)
    os.write(LINE, f"{heard_at}\n".encode())
    os.execve(python.path, python.command(), python.environment())


def _limit(bounds: Bounds) -> None:
    limits = {
        resource.RLIMIT_AS: bounds.memory_bytes,
        resource.RLIMIT_CPU: bounds.cpu_seconds,
        resource.RLIMIT_NPROC: bounds.threads + 1,  # the supervisor is in the same user namespace
        resource.RLIMIT_NOFILE: _OPEN_FILES,
        resource.RLIMIT_STACK: 8 << 20,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 1,  # what the kernel takes for none, even where a handler gets cores
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    for which, bound in limits.items():
        _, most = resource.getrlimit(which)
        bound = bound if most == resource.RLIM_INFINITY else min(bound, most)
        resource.setrlimit(which, (bound, bound))
