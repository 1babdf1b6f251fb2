"""The seccomp filter of a jail: an allow-list, as a program for the kernel's packet filter.

What is not allowed is put before the supervisor, which names it and ends the jail; with no
supervisor left it fails. Nothing depends on a library: the filter is some hundred instructions.
"""

from __future__ import annotations

import errno
import struct

from .calls import AUDIT, allowed, numbers

ALLOW = 0x7FFF0000
ASK = 0x7FC00000  # SECCOMP_RET_USER_NOTIF
FAIL = 0x00050000  # SECCOMP_RET_ERRNO, with the error in the low bits

_LOAD, _EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data

# What pthread_create asks for: memory, files, signals and all else shared, no namespace.
_THREAD = 0x003D0F00
_NO_MATTER = 0x00400000  # CLONE_DETACHED, which means nothing to the kernel: musl sets it
# TCGETS, TCGETS2, TIOCGWINSZ: is this a terminal? FIOCLEX, FIONCLEX: close on exec
_HARMLESS_IOCTLS = (0x5401, 0x802C542A, 0x5413, 0x5451, 0x5450)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: no lock and no lease
_HARMLESS_FCNTLS = (0, 1, 2, 3, 4, 1030)
_PR_SET_NAME = 15
# Asked for by libraries that have another way: threads with clone, selectors with poll.
_NOT_THERE = ("clone3", "epoll_create1")

Instruction = tuple[int, int, int, int]


def instructions(machine: str) -> list[Instruction]:
    """(code, jump if true, jump if false, operand) for `x86_64` or `aarch64`."""
    number = numbers(machine)
    steps: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        *_unless(AUDIT[machine], ASK),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for value in allowed(machine).values():
        steps += _when(value, [(_RETURN, 0, 0, ALLOW)])
    for name in _NOT_THERE:
        steps += _when(number[name], [(_RETURN, 0, 0, FAIL | errno.ENOSYS)])
    steps += _when(number["clone"], _thread_only())
    steps += _when(number["fcntl"], _first_word_among(1, _HARMLESS_FCNTLS))
    steps += _when(number["ioctl"], _first_word_among(1, _HARMLESS_IOCTLS))
    steps += _when(number["prctl"], _first_word_among(0, (_PR_SET_NAME,)))
    steps += _when(number["prlimit64"], _asking_only())
    return [*steps, (_RETURN, 0, 0, ASK)]


def program(machine: str) -> bytes:
    """The filter as an array of struct sock_filter."""
    return b"".join(struct.pack("HBBI", *step) for step in instructions(machine))


def _when(value: int, then: list[Instruction]) -> list[Instruction]:
    return [(_EQUAL, 0, len(then), value), *then]


def _unless(value: int, answer: int) -> list[Instruction]:
    return [(_EQUAL, 1, 0, value), (_RETURN, 0, 0, answer)]


def _word(argument: int, high: bool = False) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument + 4 * high)


def _thread_only() -> list[Instruction]:
    steps = [_word(0, high=True), *_unless(0, ASK), _word(0)]
    steps += [(_AND, 0, 0, ~_NO_MATTER & 0xFFFFFFFF), *_unless(_THREAD, ASK)]
    return [*steps, (_RETURN, 0, 0, ALLOW)]


def _first_word_among(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    steps = [_word(argument)]
    for value in values:
        steps += _when(value, [(_RETURN, 0, 0, ALLOW)])
    return [*steps, (_RETURN, 0, 0, ASK)]


def _asking_only() -> list[Instruction]:
    refuse = FAIL | errno.EPERM
    steps = [_word(2), *_unless(0, refuse), _word(2, high=True), *_unless(0, refuse)]
    return [*steps, (_RETURN, 0, 0, ALLOW)]
