"""Starting, finding and stopping child processes, and never anybody else's.

Children live in sessions of their own, so that Ctrl-C reaches the launcher alone, which then stops
them in order. On Linux the kernel signals them when the launcher dies without a word (kill -9).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

PR_SET_PDEATHSIG = 1
LOG_KEEP_BYTES = 20 * 1024 * 1024
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
    _rotate(log)
    launcher = os.getpid()

    def before_exec() -> None:
        if _libc is not None:
            _libc.prctl(PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != launcher:
                os._exit(1)

    with log.open("ab") as output:
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
        with contextlib.suppress(ProcessLookupError):
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


def _rotate(log: Path) -> None:
    try:
        if log.stat().st_size > LOG_KEEP_BYTES:
            log.replace(log.with_suffix(log.suffix + ".1"))
    except OSError:
        pass
