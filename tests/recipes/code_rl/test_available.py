"""Where the kernel lacks something, the sandbox says what. The kernel itself is made to lack it."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

from tinsmith_recipes.code_rl.sandbox import available
from tinsmith_recipes.code_rl.sandbox.jail import calls

SAY = "from tinsmith_recipes.code_rl.sandbox import available; print(available().reason)"
# Puts this process under a filter that answers one call with an error, then asks.
WITHOUT = """
import ctypes, struct
from tinsmith_recipes.code_rl.sandbox.jail import kernel
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, {number}), (0x06, 0, 0, 0x50000 | {error})]
steps += [(0x06, 0, 0, 0x7fff0000)]
program = b"".join(struct.pack("HBBI", *step) for step in steps)
held = ctypes.create_string_buffer(program, len(program))
head = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(held))
kernel.call("prctl", 38, 1, 0, 0, 0)
kernel.call("seccomp", 1, 0, head)
"""
# A user namespace of its own in which there may be no other.
NONE_BELOW = """
import os
from tinsmith_recipes.code_rl.sandbox.jail import kernel
user, group = os.getuid(), os.getgid()
kernel.call("unshare", kernel.NEW_USER)
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"{user} {user} 1")
open("/proc/self/gid_map", "w").write(f"{group} {group} 1")
open("/proc/sys/user/max_user_namespaces", "w").write("0")
"""


def said(before: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", before + SAY], capture_output=True, text=True, timeout=60
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    found = available()
    if not found:
        pytest.skip(f"NOT TESTED, programs cannot be kept apart here: {found.reason}")


def test_here_it_is() -> None:
    assert said("") == ""


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        ("mount_setattr", errno.ENOSYS, "mount_setattr (Linux 5.12)"),
        ("pidfd_getfd", errno.ENOSYS, "pidfd_getfd (Linux 5.6)"),
        ("close_range", errno.ENOSYS, "close_range (Linux 5.9)"),
        ("seccomp", errno.EINVAL, "seccomp filters with user notification (Linux 5.5)"),
        ("unshare", errno.EPERM, "user, mount, process, network, IPC and UTS namespaces"),
        ("mount", errno.EACCES, "mounts inside user namespaces"),
        ("pivot_root", errno.EPERM, "pivot_root inside user namespaces"),
    ],
)
def test_what_is_missing_is_named(call: str, error: int, words: str) -> None:
    before = WITHOUT.format(number=calls.numbers(calls.MACHINE)[call], error=error)
    sentence = said(before)
    assert sentence.startswith(f"The sandbox needs {words}, and this kernel refuses: "), sentence
    assert errno.errorcode[error] in sentence
    assert ("In a container" in sentence) == (error in (errno.EPERM, errno.EACCES))


def test_namespaces_that_are_switched_off_are_named_with_the_setting() -> None:
    sentence = said(NONE_BELOW)
    assert "No space left on device (ENOSPC)" in sentence
    assert "sysctl -w user.max_user_namespaces=" in sentence
