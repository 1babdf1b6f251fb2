"""Into namespaces of one's own: once as the warden, then again for every program."""

from __future__ import annotations

import os

from . import kernel, view

USER = 1000  # who we are inside; a jailed program does not learn the researcher's number
NOBODY = 65533  # who we are outside if we were started as root; daemons use 65534
_PROGRAM = kernel.NEW_MOUNTS | kernel.NEW_PIDS | kernel.NEW_NET | kernel.NEW_IPC | kernel.NEW_UTS
_KILL_FIRST = "800"  # if the machine runs out of memory; 1000 is the most


def enter_as_warden(shown: view.View) -> int:
    """See the jail's file system only, and be nobody; gives a descriptor of /proc.

    The descriptor is what maps of later user namespaces are written through; it closes at exec.
    """
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    _write(proc, "oom_score_adj", _KILL_FIRST)
    if _may_become_nobody():
        # as root until the view stands: the interpreter may lie in a home that is only root's
        kernel.call("unshare", kernel.NEW_MOUNTS)
        view.enter(shown)
        kernel.become_nobody(NOBODY)
        kernel.stay_inspectable()
        _enter_user_namespace(proc, kernel.NEW_MOUNTS)
    else:
        _enter_user_namespace(proc, kernel.NEW_MOUNTS)
        view.enter(shown)
    return proc


def _may_become_nobody() -> bool:
    """Root, unless it is the root of a user namespace in which there is nobody else."""
    with open("/proc/self/uid_map") as users, open("/proc/self/gid_map") as groups:
        maps = [[line.split() for line in file] for file in (users, groups)]
    there = all(any(int(a) <= NOBODY < int(a) + int(n) for a, _, n in rows) for rows in maps)
    with open("/proc/self/setgroups") as setgroups:
        return os.geteuid() == 0 and there and setgroups.read().strip() == "allow"


def enter_as_supervisor(proc: int) -> None:
    """New namespaces for one program; the next child is the first process of its own."""
    _enter_user_namespace(proc, _PROGRAM)


def _enter_user_namespace(proc: int, others: int) -> None:
    user, group = os.geteuid(), os.getegid()
    kernel.call("unshare", kernel.NEW_USER | others)
    _write(proc, "setgroups", "deny")
    _write(proc, "uid_map", f"{USER} {user} 1")
    _write(proc, "gid_map", f"{USER} {group} 1")


def _write(proc: int, name: str, text: str) -> None:
    try:
        file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
        try:
            os.write(file, text.encode())
        finally:
            os.close(file)
    except OSError as error:
        raise kernel.Refused(f"/proc/self/{name}", error.errno or 0) from error
