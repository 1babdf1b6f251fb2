"""Programs that try to get out, to take too much or to stay. Each prints ESCAPED if it did."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.recipes.code_rl.attempts import GREEDY, HARMLESS
from tests.recipes.code_rl.conftest import Attempt
from tests.recipes.code_rl.outside import SECRET, Outside
from tinsmith_recipes.code_rl.sandbox import Ending, Limits, Sandbox
from tinsmith_recipes.code_rl.sandbox.jail import calls

SHORT = Limits(cpu_seconds=1)
IMPATIENT = Limits(wall_seconds=1)


def told(name: str, here: Outside) -> str:
    return HARMLESS[name][0].format(
        file=str(here.file), unix=str(here.unix), abstract=here.abstract, port=here.port
    )


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_easy_outside_fails_inside(
    name: str, attempt: Attempt, here: Outside
) -> None:
    outcome = await attempt(told(name, here))
    assert "ESCAPED" not in outcome.stdout
    assert SECRET not in outcome.stdout + outcome.stderr
    assert (outcome.ending, HARMLESS[name][2] in outcome.why) == (HARMLESS[name][1], True), outcome


def test_the_attempts_are_real(here: Outside) -> None:
    """Without a sandbox each of them succeeds, else it would prove nothing."""
    script = "\n".join(
        f"try: exec({told(name, here)!r}, {{}})\nexcept BaseException as error: "
        f"print({name!r}, repr(error))"
        for name in HARMLESS
        if name != "exec"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.count("ESCAPED") == len(HARMLESS) - 1, done.stdout + done.stderr
    assert here.file.read_text() != SECRET
    assert sorted(here.heard) == ["abstract", "tcp", "unix"]


# Raw system calls: what Python has no function for, and what only the machine's privileged may do.
RAW = [
    "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2", "move_mount", "fsopen",
    "open_tree", "unshare", "setns", "pivot_root", "chroot", "setuid", "setgid", "setresuid",
    "setgroups", "capset", "seccomp", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key",
    "request_key", "io_uring_setup", "io_uring_enter", "memfd_secret", "pidfd_open", "pidfd_getfd",
    "name_to_handle_at", "open_by_handle_at", "mknodat", "shmget", "msgget", "mq_open", "splice",
    "sethostname", "init_module", "kexec_load", "reboot", "swapon", "syslog", "personality",
    "execveat", "socketpair", "inotify_init1", "signalfd4", "timer_create", "setsid", "openat2",
    "sched_setaffinity", "landlock_create_ruleset", "kill", "tkill", "ftruncate", "unlinkat",
]  # fmt: skip


UNKNOWN = [500, 511, 100_000]


async def test_raw_calls_are_named_and_end_the_program(sandbox: Sandbox, here: Outside) -> None:
    numbers = {name: calls.numbers(calls.MACHINE)[name] for name in RAW}
    numbers |= {f"system call {number}": number for number in UNKNOWN}
    before = here.state()

    async def make(number: int) -> str:
        call = f"ctypes.CDLL(None).syscall({number}, 0, 0, 0)"
        outcome = await sandbox.run(f"import ctypes; {call}; print('ESCAPED')")
        return outcome.why if outcome.ending is Ending.FORBIDDEN_CALL else str(outcome)

    said = await asyncio.gather(*map(make, numbers.values()))
    assert dict(zip(numbers, said, strict=True)) == {name: f"it called {name}" for name in numbers}
    assert here.state() == before


MACHINE_CODE = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex({code!r}))
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
print(ctypes.CFUNCTYPE(ctypes.c_long)(address)(), 'ESCAPED')
"""
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")


@x86_only
@pytest.mark.parametrize(
    ("code", "called"),
    [
        # mov eax, 20 (getpid of the 32-bit interface); int 0x80; ret
        ("b814000000cd80c3", "system call 20 of another architecture"),
        # mov eax, 0x40000027 (getpid, allowed, by the x32 interface); syscall; ret
        ("b8270000400f05c3", "system call 39 of the x32 interface"),
        # mov eax, 41 (socket); xor edi, edi; syscall; ret
        ("b82900000031ff0f05c3", "socket"),
    ],
)
async def test_other_interfaces_to_the_kernel_are_closed(
    code: str, called: str, attempt: Attempt
) -> None:
    outcome = await attempt(MACHINE_CODE.format(code=code))
    assert (outcome.ending, outcome.why) == (Ending.FORBIDDEN_CALL, f"it called {called}")


@x86_only
async def test_machine_code_itself_runs(attempt: Attempt) -> None:
    """What the test above relies on: mov eax, 39 (getpid); syscall; ret."""
    outcome = await attempt(MACHINE_CODE.format(code="b8270000000f05c3"))
    assert outcome.stdout == "1 ESCAPED\n"


@pytest.mark.parametrize("name", GREEDY)
async def test_what_takes_too_much_is_ended(name: str, attempt: Attempt) -> None:
    program, ending, why = GREEDY[name]
    outcome = await attempt(program, IMPATIENT if "after 1 s" in why else SHORT)
    assert (outcome.ending, why in outcome.why) == (ending, True), outcome
    assert len(outcome.stdout) <= SHORT.output_bytes
    assert len(outcome.stderr) <= SHORT.output_bytes
    assert outcome.peak_bytes < SHORT.memory_bytes


async def test_threads_are_bounded(attempt: Attempt) -> None:
    program = (
        "import threading\nstop = threading.Event()\nmade = []\n"
        "def wait(): stop.wait()\n"
        "try:\n"
        "    for _ in range(1000):\n"
        "        made.append(threading.Thread(target=wait))\n"
        "        made[-1].start()\n"
        "except RuntimeError as error:\n"
        "    print(len(made), error)\n"
        "stop.set()"
    )
    outcome = await attempt(program, Limits(threads=5))
    assert outcome.stdout == "5 can't start new thread\n"  # the fifth beside the main one failed


WALK = """
import os
tried = done = 0
for folder, folders, files in os.walk('/'):
    for path in [folder + '/escaped', *(folder + '/' + name for name in files[:3])]:
        if path == '/dev/null':
            continue
        tried += 1
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT))
            done += 1
        except OSError:
            pass
    if tried > 20_000:
        break
print(tried > 100, done)
"""


async def test_nothing_can_be_written_anywhere(attempt: Attempt) -> None:
    outcome = await attempt(WALK)
    assert outcome.stdout == "True 0\n", outcome


async def test_only_what_an_interpreter_needs_can_be_seen(attempt: Attempt) -> None:
    program = (
        "import os, sys\n"
        "print(sorted(os.listdir('/')), sorted(os.listdir('/dev')), sorted(os.listdir('/box')))\n"
        "print(sorted(os.environ), os.getcwd(), os.uname().nodename, os.getuid(), os.getpid())\n"
        "hidden = [p for p in sys.path if 'packages' in p]\n"
        "print(hidden, os.path.exists('/root/.bashrc'), os.path.exists('/home'))"
    )
    top, who, packages = (await attempt(program)).stdout.splitlines()
    expected = {"box", "dev", "usr", "lib", "lib64", Path(sys.base_prefix).parts[1]}
    assert set(eval(top.split("] [")[0] + "]")) <= expected
    assert "['null'] ['first.py', 'input', 'program.py']" in top
    assert who == (
        "['HOME', 'LANG', 'LD_LIBRARY_PATH', 'PYTHONHASHSEED', 'PYTHONIOENCODING', 'PYTHONUTF8'] "
        "/box box 1000 1"
    )
    assert packages == "[] False False"


async def test_installed_packages_are_hidden(attempt: Attempt) -> None:
    program = (
        "import os\nfound = [folder + '/' + name for folder, folders, _ in os.walk('/') "
        "for name in folders if name in ('site-packages', 'dist-packages') "
        "and os.listdir(folder + '/' + name)]\nprint(found)"
    )
    assert (await attempt(program)).stdout == "[]\n"


async def test_links_lead_nowhere(attempt: Attempt) -> None:
    """Links of this machine that point out of the view, and the root's own parent."""
    program = (
        "import os\nout = 0\n"
        "for folder, folders, files in os.walk('/usr/lib'):\n"
        "    for name in folders + files:\n"
        "        path = folder + '/' + name\n"
        "        if os.path.islink(path) and os.readlink(path).startswith('/etc'):\n"
        "            out += os.path.exists(path)\n"
        "root = os.open('/', os.O_RDONLY)\n"
        "for _ in range(20): root = os.open('..', os.O_RDONLY, dir_fd=root)\n"
        "print(out, sorted(os.listdir('/')) == sorted(os.listdir(root)))"
    )
    assert (await attempt(program)).stdout == "0 True\n"


async def test_no_descriptor_is_inherited(tmp_path: object, attempt: Attempt) -> None:
    reading, writing = os.pipe()
    for descriptor in (reading, writing):
        os.set_inheritable(descriptor, True)
    try:
        program = (
            "import os\nfound = []\nfor one in range(1024):\n"
            "    try:\n        os.fstat(one)\n        found.append(one)\n"
            "    except OSError: pass\nprint(found)"
        )
        assert (await attempt(program)).stdout == "[0, 1, 2]\n"
    finally:
        os.close(reading)
        os.close(writing)


async def test_modules_that_open_libraries_can_be_imported(attempt: Attempt) -> None:
    program = (
        "import asyncio, bz2, ctypes, decimal, hashlib, lzma, multiprocessing, socket, sqlite3\n"
        "import ssl, subprocess, sysconfig, tempfile, uuid, zlib, zoneinfo\n"
        "print(sqlite3.connect(':memory:').execute('select 6 * 7').fetchone())\n"
        "try: sqlite3.connect('/box/escaped.db').execute('create table t (x)')\n"
        "except sqlite3.OperationalError as error: print(error)\n"
        "try: tempfile.mkstemp()\nexcept OSError as error: print(error.errno)"
    )
    outcome = await attempt(program)
    assert outcome.stdout.splitlines() == ["(42,)", "unable to open database file", "2"], outcome
