"""Each wall by itself: what a program is to the kernel, and what holds it without the filter."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.recipes.code_rl.attempts import HARMLESS
from tests.recipes.code_rl.outside import SECRET, Outside, running
from tests.support.waiting import eventually_async
from tinsmith_recipes.code_rl.sandbox import Limits, Sandbox, SandboxUnavailable, client
from tinsmith_recipes.code_rl.sandbox.jail import calls

NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts")


async def _program() -> psutil.Process | None:
    for one in psutil.Process().children(recursive=True):
        if "/box/program.py" in one.cmdline():
            return one
    return None


async def test_what_a_program_is_to_the_kernel(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.run("import time; time.sleep(99)"))
    program: psutil.Process = await eventually_async(_program)
    proc = Path(f"/proc/{program.pid}")
    await eventually_async(lambda: (proc / "wchan").exists())
    rows = (row.partition(":") for row in (proc / "status").read_text().splitlines())
    status = {name: value.split() for name, _, value in rows}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[kind][0], 16) == 0
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"]
    assert status["NSpid"] == [str(program.pid), "1"]
    assert status["Uid"][0] != "0"
    if os.geteuid() == 0:
        assert status["Groups"] == []
    for name in NAMESPACES:
        assert os.readlink(proc / "ns" / name) != os.readlink(f"/proc/self/ns/{name}")
    # a Python that is still starting reads files; what it was given it would keep
    await eventually_async(lambda: sorted(os.listdir(proc / "fd")), equals=["0", "1", "2"])
    assert len((proc / "mountinfo").read_text().splitlines()) < 15
    assert all(" ro," in row for row in (proc / "mountinfo").read_text().splitlines())
    assert (proc / "environ").read_bytes().count(b"\0") == 6
    task.cancel()


# What the filter forbids and the other walls hold alone: it is open here but for the first exec.
OPEN = "import struct; from jail import rules; rules.program = lambda machine: {gate!r}; "


@pytest.fixture
async def without_filter(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sandbox]:
    """A sandbox whose filter lets everything through."""
    execve = calls.numbers(calls.MACHINE)["execve"]
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, execve), (0x06, 0, 0, 0x7FC00000)]
    steps += [(0x06, 0, 0, 0x7FFF0000)]
    gate = b"".join(struct.pack("HBBI", *step) for step in steps)
    start = client._START.replace("from jail.warden", OPEN.format(gate=gate) + "from jail.warden")
    monkeypatch.setattr(client, "_START", start)
    try:
        async with Sandbox(concurrency=1) as ready:
            yield ready
    except SandboxUnavailable as reason:
        pytest.skip(f"NOT TESTED, programs cannot be kept apart here: {reason}")


@pytest.mark.parametrize(
    ("name", "stopped_by"),
    [
        ("inet", "Network is unreachable"),
        ("unix", "No such file or directory"),
        ("abstract", "Connection refused"),
        ("secret", "No such file or directory"),
        ("temporary file", "No such file or directory"),
        ("link", "No such file or directory"),
        ("shell", ""),
    ],
)
async def test_without_the_filter(
    name: str, stopped_by: str, without_filter: Sandbox, here: Outside
) -> None:
    before = here.state()
    program = HARMLESS[name][0].format(
        file=str(here.file), unix=str(here.unix), abstract=here.abstract, port=here.port
    )
    outcome = await without_filter.run(program)
    assert stopped_by in outcome.why
    assert SECRET not in outcome.stdout
    if name != "shell":  # a shell may be asked for: there is none
        assert "ESCAPED" not in outcome.stdout
    assert here.state() == before


async def test_without_the_filter_processes_are_bounded_and_die(without_filter: Sandbox) -> None:
    program = (
        "import os, time\nmade = 0\n"
        "while True:\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid()\n"
        "            time.sleep(99)\n"
        "        made += 1\n"
        "    except OSError as error:\n"
        "        print(made, error.errno)\n"
        "        break"
    )
    outcome = await without_filter.run(program, limits=Limits(threads=6))
    assert outcome.stdout == "5 11\n"  # EAGAIN: with the first process there are six
    await eventually_async(running, equals=[])


async def test_without_the_filter_there_are_no_rights(without_filter: Sandbox) -> None:
    number = calls.numbers(calls.MACHINE)
    program = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def tried(name, number, *arguments):\n"
        "    ctypes.set_errno(0)\n"
        "    done = libc.syscall(number, *arguments)\n"
        "    print(name, done >= 0 or os.strerror(ctypes.get_errno()))\n"
        f"tried('mount', {number['mount']}, b'tmpfs', b'/box', b'tmpfs', 0, b'')\n"
        f"tried('writable', {number['mount']}, b'', b'/', b'', 32 | 4096, b'')\n"
        f"tried('chroot', {number['chroot']}, b'/box')\n"
        f"tried('setuid', {number['setuid']}, 0)\n"
        f"tried('host name', {number['sethostname']}, b'x', 1)\n"
        f"tried('reboot', {number['reboot']}, 0xfee1dead, 672274793, 0)\n"
        f"tried('bpf', {number['bpf']}, 5, b'\\0' * 128, 128)\n"
        "for one in (0, -1, 2):\n"
        "    try: os.kill(one, 9)\n"
        "    except OSError as error: print(error.strerror)\n"
        "print(os.getppid(), os.listdir('/proc') if os.path.exists('/proc') else 'no /proc')\n"
    )
    outcome = await without_filter.run(program)
    refused = "Operation not permitted"
    assert outcome.stdout.splitlines() == [
        *(f"{name} {refused}" for name in ("mount", "writable", "chroot")),
        "setuid Invalid argument",
        *(f"{name} {refused}" for name in ("host name", "reboot", "bpf")),
        "No such process",  # of 0 and -1, itself alone, which it cannot kill; of 2, nobody
        "No such process",
        "0 no /proc",
    ], outcome
