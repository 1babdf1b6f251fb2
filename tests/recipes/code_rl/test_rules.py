"""The filter, run here instruction by instruction, for both architectures."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tinsmith_recipes.code_rl.sandbox.jail import calls, rules

THREAD = 0x3D0F00
MACHINES = list(calls.AUDIT)


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What a filter says of a call: the kernel's packet filter, as far as ours uses it."""
    given = [*arguments, *[0] * (6 - len(arguments))]
    words = [number, calls.AUDIT[machine] if architecture is None else architecture, 0, 0]
    for argument in given:
        words += [argument & 0xFFFFFFFF, argument >> 32]
    steps, place, held = rules.instructions(machine), 0, 0
    while True:
        code, then, otherwise, operand = steps[place]
        place += 1
        match code:
            case 0x20:
                held = words[operand // 4]
            case 0x54:
                held &= operand
            case 0x15:
                place += then if held == operand else otherwise
            case 0x06:
                return operand


@pytest.mark.parametrize("machine", MACHINES)
def test_the_list_is_what_is_allowed(machine: str) -> None:
    said = {number for number in range(1024) if answer(machine, number) == rules.ALLOW}
    number = calls.numbers(machine)
    judged = {number["prlimit64"], number["fcntl"]}  # with zeros they only ask
    assert said == set(calls.allowed(machine).values()) | judged
    for name in ("socket", "execve", "kill", "ptrace", "clone", "ioctl", "prctl", "unshare"):
        assert answer(machine, number[name]) == rules.ASK


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_and_interfaces_are_asked_about(machine: str) -> None:
    for number in calls.allowed(machine).values():
        assert answer(machine, number, architecture=0x40000003) == rules.ASK
        assert answer(machine, number | 0x40000000) == rules.ASK
        assert answer(machine, number | 0x80000000) == rules.ASK


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_may_be_made_and_processes_not(machine: str) -> None:
    clone = calls.numbers(machine)["clone"]
    assert answer(machine, clone, THREAD) == rules.ALLOW
    assert answer(machine, clone, THREAD | 0x400000) == rules.ALLOW
    for flags in (
        0,
        17,
        0x01200011,
        0x4111,
        THREAD | 0x10000000,
        THREAD & ~0x10000,
        THREAD | 1 << 32,
    ):
        assert answer(machine, clone, flags) == rules.ASK
    clone3 = calls.numbers(machine)["clone3"]
    assert answer(machine, clone3) == rules.FAIL | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide(machine: str) -> None:
    number = calls.numbers(machine)
    assert answer(machine, number["ioctl"], 0, 0x5401) == rules.ALLOW
    assert answer(machine, number["ioctl"], 0, 0x5412) == rules.ASK  # TIOCSTI
    assert answer(machine, number["fcntl"], 3, 1030) == rules.ALLOW
    assert answer(machine, number["fcntl"], 3, 1024) == rules.ASK  # F_SETLEASE
    assert answer(machine, number["prctl"], 15) == rules.ALLOW
    assert answer(machine, number["prctl"], 1) == rules.ASK  # PR_SET_PDEATHSIG
    assert answer(machine, number["prlimit64"], 0, 7, 0) == rules.ALLOW
    for pointer in (1, 1 << 32):
        assert answer(machine, number["prlimit64"], 0, 7, pointer) == rules.FAIL | errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_no_jump_leaves_the_filter(machine: str) -> None:
    steps = rules.instructions(machine)
    assert len(rules.program(machine)) == 8 * len(steps) < 8 * 4096
    for place, (code, then, otherwise, _) in enumerate(steps):
        assert 0 <= then < 256
        assert 0 <= otherwise < 256
        assert place + 1 + max(then, otherwise) < len(steps) or code == 0x06


HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.exists():
        pytest.skip(f"no {header} here")
    found = dict(re.findall(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    ours = calls.numbers(machine)
    assert {name: str(number) for name, number in ours.items() if name in found} == {
        name: number for name, number in found.items() if name in ours
    }
    assert len(ours.keys() & found.keys()) > 150
