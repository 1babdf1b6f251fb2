"""Starting, finding and stopping child processes, and never anybody else's.

Children live in sessions of their own, so that Ctrl-C reaches the launcher alone, which then stops
them in order. On Linux the kernel signals them when the launcher dies without a word (kill -9).
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

PR_SET_PDEATHSIG = 1
# of each log and of the one before it
LOG_KEEP_BYTES = 20 * 1024 * 1024
LOG_ROOM_BYTES = 256 * 1024
FALLOC_FL_KEEP_SIZE = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class EmbeddedError(Exception):
    """Something on this machine keeps a service from running; the message says what to do."""


def spawn(
    argv: Sequence[str | Path],
    *,
    cwd: Path,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a child in its own session, its output appended to `log`.

    `death_signal` is what it gets when this process dies. Call from the main thread: the kernel
    means the thread that started the child when it says parent.
    """
    launcher = os.getpid()

    def before_exec() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != launcher:
                os._exit(1)

    with log.open("ab") as output:
        keep_short(log)
        return subprocess.Popen(
            [str(part) for part in argv],
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=before_exec,
            **identity(user),
        )


def identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """subprocess's arguments for running as `user`; None stays who we are."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def run_as(
    user: pwd.struct_passwd | None, argv: Sequence[str | Path], **kwargs: Any
) -> subprocess.CompletedProcess[str]:
    """Run a short command to its end as `user`, output captured."""
    return subprocess.run(
        [str(part) for part in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **identity(user),
        **kwargs,
    )


def stop(process: subprocess.Popen[bytes], steps: Sequence[tuple[int, float]]) -> None:
    """Stop a child: each step is (signal, seconds to wait); what is left is killed."""
    for number, seconds in steps:
        if process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own session: the group is its own too
        process.wait(5)


def living_in(folder: Path, names: Iterable[str]) -> list[psutil.Process]:
    """Processes called one of `names` whose working directory is `folder`, as servers have it."""
    wanted = tuple(names)
    home = os.path.realpath(folder)
    found = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            if process.info["name"].startswith(wanted) and process.cwd() == home:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_leftovers(
    find: Callable[[], list[psutil.Process]], steps: Sequence[tuple[int, float]]
) -> None:
    """Stop what a killed launcher left running; steps as in `stop`.

    Raises:
        EmbeddedError: something survives everything.
    """
    for number, seconds in [*steps, (signal.SIGKILL, 3.0)]:
        left = find()
        for process in left:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = find()
        if not left:
            return
    raise EmbeddedError(f"processes {[process.pid for process in left]} will not end")


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def keep_short(log: Path) -> None:
    """Move what a log that has grown too long holds to `<log>.1`; its writer notices nothing.

    Ahead of its end some room is kept for it, so that a full disk can still be told of.
    """
    try:
        with log.open("r+b") as file:
            found = os.fstat(file.fileno())
            if found.st_size > LOG_KEEP_BYTES:
                with suppress(OSError):
                    _copy_end(file, log.with_suffix(log.suffix + ".1"))
                file.truncate(0)
                found = os.fstat(file.fileno())
            if _libc is not None and found.st_blocks * 512 < found.st_size + LOG_ROOM_BYTES // 2:
                size = ctypes.c_long(found.st_size + LOG_ROOM_BYTES)
                _libc.fallocate(file.fileno(), FALLOC_FL_KEEP_SIZE, ctypes.c_long(0), size)
    except OSError:
        return


def _copy_end(file: IO[bytes], target: Path) -> None:
    """The last `LOG_KEEP_BYTES` of a log as a file of their own."""
    file.seek(-LOG_KEEP_BYTES, os.SEEK_END)
    with target.open("wb") as copy:
        try:
            shutil.copyfileobj(file, copy)
        except OSError:
            target.unlink()  # half of it would only take the room that is missing
            raise
