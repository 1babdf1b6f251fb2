"""The system calls that Python does not have, through libc's `syscall`."""

from __future__ import annotations

import ctypes
import os
import struct

from .calls import MACHINE, numbers

NEW_USER, NEW_MOUNTS, NEW_PIDS = 0x10000000, 0x00020000, 0x20000000
NEW_NET, NEW_IPC, NEW_UTS = 0x40000000, 0x08000000, 0x04000000

BIND, RECURSIVE, PRIVATE = 0x1000, 0x4000, 0x40000  # mount(2)
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8  # mount_setattr(2)

_ATTRIBUTES_RECURSIVE = 0x8000
_AT_FDCWD = -100
_DETACH = 2
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _KEEP_CAPABILITIES, _NO_NEW_PRIVILEGES = 1, 4, 8, 38
_SYS_ADMIN = 21
_CAPABILITIES_VERSION_3 = 0x20080522
_SET_FILTER, _NEW_LISTENER = 1, 8

# PyDLL: after a fork and before an exec no lock is to be taken
_libc = ctypes.PyDLL(None, use_errno=True)
_numbers = numbers(MACHINE) if MACHINE in {"x86_64", "aarch64"} else {}


class Refused(Exception):
    """The kernel does not let us take a step: its name, and the errno."""

    def __init__(self, step: str, error: int) -> None:
        super().__init__(f"{step}: {os.strerror(error)}")
        self.step = step
        self.error = error


def call(name: str, *arguments: int | bytes) -> int:
    """Make a system call; raises `Refused` with its name."""
    given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    result: int = _libc.syscall(ctypes.c_long(_numbers[name]), *given)
    if result < 0:
        raise Refused(name, ctypes.get_errno())
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    texts = [text.encode() for text in (source, target, kind)]
    call("mount", *texts, flags, options.encode())


def restrict_mount(target: str, flags: int, *, recursive: bool = False) -> None:
    """Add flags to a mount; with `recursive` to those below it, too."""
    attributes = struct.pack("QQQQ", flags, 0, 0, 0)
    where = _ATTRIBUTES_RECURSIVE if recursive else 0
    call("mount_setattr", _AT_FDCWD, target.encode(), where, attributes, len(attributes))


def change_root(target: str) -> None:
    """Make a mount the root, and let go of the old one."""
    os.chdir(target)
    call("pivot_root", b".", b".")
    call("umount2", b".", _DETACH)
    os.chdir("/")


def die_with_parent() -> None:
    """Be killed when the process that forked this one ends."""
    call("prctl", _SET_DEATH_SIGNAL, 9, 0, 0, 0)


def stay_inspectable() -> None:
    """Keep our own /proc files ours after a change of user."""
    call("prctl", _SET_DUMPABLE, 1, 0, 0, 0)


def become_nobody(user: int) -> None:
    """Leave root for good; only the right to make namespaces stays, until that is done."""
    call("prctl", _KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    _set_capabilities(1 << _SYS_ADMIN)


def give_up_privileges() -> None:
    """No capability is left, and no program that is run can bring one back."""
    _set_capabilities(0)
    call("prctl", _NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _set_capabilities(which: int) -> None:
    header = struct.pack("Ii", _CAPABILITIES_VERSION_3, 0)
    low, high = which & 0xFFFFFFFF, which >> 32
    call("capset", header, struct.pack("6I", low, low, 0, high, high, 0))


def install_filter(program: bytes) -> int:
    """Put this thread under a seccomp filter; gives the descriptor that hears what it asks."""
    steps = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    return call("seccomp", _SET_FILTER, _NEW_LISTENER, head)


def steal_descriptor(pidfd: int, number: int) -> int:
    """A copy of another process's descriptor."""
    return call("pidfd_getfd", pidfd, number, 0)
