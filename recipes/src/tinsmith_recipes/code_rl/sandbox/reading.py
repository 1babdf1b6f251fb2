"""From a supervisor's message to an outcome, or to the reason why there is none."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

from .outcome import Ending, Limits, Outcome

_NEEDS = {
    "unshare": "user, mount, process, network, IPC and UTS namespaces",
    "mount": "mounts inside user namespaces",
    "mount_setattr": "mount_setattr (Linux 5.12)",
    "pivot_root": "pivot_root inside user namespaces",
    "umount2": "letting go of the old root inside user namespaces",
    "seccomp": "seccomp filters with user notification (Linux 5.5)",
    "pidfd_open": "pidfd_open (Linux 5.3)",
    "pidfd_getfd": "pidfd_getfd (Linux 5.6)",
    "close_range": "close_range (Linux 5.9)",
    "setgroups": "the maps of user namespaces",
    "uid_map": "the maps of user namespaces",
    "gid_map": "the maps of user namespaces",
}
_SETTINGS = (
    ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


def outcome(result: dict[str, Any], limits: Limits) -> Outcome:
    """An outcome from what the supervisor measured."""
    ending, why = _ending(result, limits)
    return Outcome(
        ending,
        why,
        result["stdout"],
        result["stderr"],
        result["seconds"],
        result["cpu_seconds"],
        result["peak_bytes"],
    )


def _ending(result: dict[str, Any], limits: Limits) -> tuple[Ending, str]:
    match result["ended_for"]:
        case "forbidden call":
            return Ending.FORBIDDEN_CALL, f"it called {result['call']}"
        case "wall time":
            return Ending.OVER_TIME, f"it had not ended after {limits.wall_seconds:g} s"
        case "output":
            return Ending.ERROR, f"it wrote more than {limits.output_bytes} bytes"
    code: int = result["code"]
    killed = code in (-signal.SIGKILL, -signal.SIGXCPU)
    if killed and result["cpu_seconds"] > limits.cpu_seconds - 0.5:
        return Ending.OVER_TIME, f"it computed for more than {limits.cpu_seconds} s"
    if killed:
        return Ending.OVER_MEMORY, "the kernel ended it, for the machine was out of memory"
    if code < 0:
        return Ending.ERROR, f"it was ended by {signal.Signals(-code).name}"
    if code == 0:
        return Ending.FINISHED, ""
    last = (result["stderr"].rstrip().splitlines() or [f"it left with exit status {code}"])[-1]
    if last.startswith("MemoryError"):
        return Ending.OVER_MEMORY, f"it asked for more than {limits.memory_bytes >> 20} MiB"
    return Ending.ERROR, last


def refusal(message: dict[str, Any]) -> str:
    """Which feature of the kernel is missing, and what may be done, from a refused step."""
    if "broken" in message:
        return f"The sandbox broke: {message['broken']}."
    step, error = str(message["refused"]), int(message["errno"])
    if step.startswith("architecture"):
        return f"The sandbox knows x86_64 and aarch64, not {step.removeprefix('architecture ')}."
    needed = _NEEDS.get(step.rsplit("/")[-1], step)
    code = errno.errorcode.get(error, "?")
    said = f"The sandbox needs {needed}, and this kernel refuses: {os.strerror(error)} ({code})."
    if error not in (errno.EPERM, errno.EACCES, errno.ENOSPC):
        return said
    return f"{said} {_advice()}"


def _advice() -> str:
    for path, refuses, setting in _SETTINGS:
        file = Path(path)
        if file.exists() and file.read_text().strip() == refuses:
            return f"An administrator may allow it: sysctl -w {setting}."
    return (
        "In a container its seccomp profile may be what forbids it (Docker: "
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined)."
    )
