"""Honest programs, many at once, and what happens when a run is given up or a process dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.recipes.code_rl.conftest import Attempt
from tests.recipes.code_rl.outside import HONEST, running
from tests.support.waiting import eventually, eventually_async
from tinsmith_recipes.code_rl.sandbox import Ending, Limits, Sandbox, SandboxUnavailable
from tinsmith_recipes.code_rl.sandbox.outcome import MIB


async def test_a_program_reads_and_writes(sandbox: Sandbox) -> None:
    outcome = await sandbox.run("import sys\nprint(sys.stdin.read().upper())", "héllo\nworld")
    assert (outcome.ending, outcome.why, outcome.stdout) == (
        Ending.FINISHED,
        "",
        "HÉLLO\nWORLD\n",
    )
    assert 0 < outcome.cpu_seconds < 2
    assert outcome.peak_bytes > MIB


async def test_it_runs_as_under_a_plain_interpreter(sandbox: Sandbox) -> None:
    """`__main__`, threads, exit, /dev/null, recursion, text that is no UTF-8."""
    program = (
        "import os, sys, threading\n"
        "class A: pass\n"
        "def f(n): return n if n == 0 else f(n - 1)\n"
        "threads = [threading.Thread(target=f, args=(5,)) for _ in range(4)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
        "print('lost', file=open(os.devnull, 'w'))\n"
        "sys.stdout.buffer.write(b'\\xff')\n"
        "if __name__ == '__main__': print(A.__module__, f(900), __file__)\n"
        "exit()\n"
        "print('never')"
    )
    outcome = await sandbox.run(program)
    assert (outcome.finished, outcome.stdout) == (True, "�__main__ 0 /box/program.py\n")


async def test_the_same_program_gives_the_same_order(sandbox: Sandbox) -> None:
    """Rewards must repeat: sets of texts come in one order."""
    program = "print({str(n) for n in range(100)})"
    outcomes = await asyncio.gather(*(sandbox.run(program) for _ in range(4)))
    assert len({outcome.stdout for outcome in outcomes}) == 1


@pytest.mark.parametrize(
    ("program", "why", "last"),
    [
        ("def f(:", "SyntaxError: invalid syntax", "    def f(:\n          ^\n"),
        ("1 / 0", "ZeroDivisionError: division by zero", 'program.py", line 1, in <module>'),
        ("import sys; sys.exit(3)", "it left with exit status 3", ""),
        ("raise SystemExit('bad input')", "bad input", "bad input"),
        ("import os; os._exit(9)", "it left with exit status 9", ""),
        ("import ctypes; ctypes.string_at(0)", "it was ended by SIGSEGV", ""),
        ("import numpy", "ModuleNotFoundError: No module named 'numpy'", ""),
        ("\ud800", "SyntaxError: invalid syntax", ""),
    ],
)
async def test_errors_are_told_by_their_last_lines(
    program: str, why: str, last: str, sandbox: Sandbox
) -> None:
    outcome = await sandbox.run(program)
    assert (outcome.ending, outcome.why.startswith(why)) == (Ending.ERROR, True), outcome
    assert last in outcome.last_lines() + "\n"
    assert "first.py" not in outcome.stderr


async def test_files_lie_beside_a_program(sandbox: Sandbox) -> None:
    outcome = await sandbox.run("print(open('notes.txt').read())", files={"notes.txt": "hello"})
    assert outcome.stdout == "hello\n"


async def test_many_run_at_once_and_none_disturbs_another(sandbox: Sandbox) -> None:
    bombs = [
        "while True: pass",
        "import os\nos.fork()",
        "x = [0] * 10 ** 9",
        "print('x' * 10 ** 6)",
    ]
    programs = [*bombs, *[HONEST] * 20]
    short = Limits(cpu_seconds=1)

    async def run(place: int, program: str) -> str:
        outcome = await sandbox.run(program, str(place), short)
        return outcome.stdout if outcome.finished else outcome.ending

    said = await asyncio.gather(*(run(place, program) for place, program in enumerate(programs)))
    assert said[:4] == ["over time", "forbidden call", "over memory", "error"]
    assert said[4:] == [f"{2 * place}\n" for place in range(4, 24)]


async def test_no_more_run_at_once_than_was_said(sandbox: Sandbox) -> None:
    tasks = [asyncio.create_task(sandbox.run("input(); import time; time.sleep(99)"))]
    tasks += [asyncio.create_task(sandbox.run("import time; time.sleep(99)")) for _ in range(5)]
    programs = lambda: sum("first.py" in one for one in running())  # noqa: E731
    await eventually_async(lambda: programs() == 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await eventually_async(running, equals=[])


async def test_a_run_that_is_given_up_ends_its_program(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.run("import time; time.sleep(99)"))
    await eventually_async(lambda: any("first.py" in one for one in running()))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually_async(running, equals=[])
    assert (await sandbox.run(HONEST, "1")).stdout == "2\n"


async def test_a_killed_warden_costs_what_runs_and_no_more(sandbox: Sandbox) -> None:
    task = asyncio.create_task(sandbox.run("import time; time.sleep(99)"))
    await eventually_async(lambda: any("first.py" in one for one in running()))
    children = psutil.Process().children(recursive=True)
    warden = next(one for one in children if "jail.warden" in " ".join(one.cmdline()))
    started = [warden, *warden.children(recursive=True)]
    warden.kill()
    with pytest.raises(SandboxUnavailable, match="a supervisor ended before it answered"):
        await task
    await eventually_async(lambda: [one.pid for one in started if one.is_running()], equals=[])
    assert (await sandbox.run(HONEST, "1")).stdout == "2\n"


def test_when_the_recipe_is_killed_nothing_is_left(tmp_path: Path) -> None:
    script = (
        "import asyncio\n"
        "from tinsmith_recipes.code_rl.sandbox import Sandbox\n"
        "async def main():\n"
        "    async with Sandbox() as sandbox: await sandbox.run('import time; time.sleep(99)')\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as recipe:
        started = psutil.Process(recipe.pid)

        def family() -> list[psutil.Process]:
            try:
                found = started.children(recursive=True)
            except psutil.NoSuchProcess:
                pytest.skip("NOT TESTED, programs cannot be kept apart here")
            return found if len(found) == 3 else []  # warden, supervisor, program

        all_three = eventually(family)
        recipe.send_signal(signal.SIGKILL)
    eventually(lambda: [one.pid for one in all_three if one.is_running()], equals=[])


async def test_closing_leaves_no_process(sandbox: Sandbox) -> None:
    await sandbox.close()
    children = psutil.Process().children()
    assert [one for one in children if "jail.warden" in " ".join(one.cmdline())] == []
    assert (await sandbox.run(HONEST, "1")).stdout == "2\n"  # it starts again when it is asked


async def test_too_much_text_is_refused(attempt: Attempt, sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="1 MiB is the most"):
        await sandbox.run("#" * (1 << 20))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cpu_seconds": 0}, "whole number from 1"),
        ({"cpu_seconds": 1.5}, "whole number from 1"),
        ({"memory_bytes": MIB}, "at least 64 MiB"),
        ({"wall_seconds": 0}, "above 0"),
        ({"output_bytes": -1}, "above 0"),
        ({"threads": 0}, "above 0"),
    ],
)
def test_what_is_no_bound_is_refused(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Limits(**settings)  # type: ignore[arg-type]


def test_it_runs_for_people_who_are_not_root() -> None:
    """Where the tests run as root, and this Python can be read by others or another can."""
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by such a person")
    folder = Path(sys.modules[Sandbox.__module__].__file__ or "").parents[1]
    script = (
        "import asyncio, shutil, sys, tempfile; sys.path.insert(0, sys.argv[1])\n"
        "from sandbox import Sandbox, available\n"
        "print(available())\n"
    )
    import shutil
    import tempfile

    with tempfile.TemporaryDirectory() as copy:
        Path(copy).chmod(0o755)
        shutil.copytree(folder / "sandbox", Path(copy) / "sandbox")
        python = next(
            (p for p in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(p).exists()), ""
        )
        done = subprocess.run(
            [python or sys.executable, "-c", script, copy],
            user=54321,
            group=54321,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd="/",
        )
    if not python or "StrEnum" in done.stderr:
        pytest.skip(f"NOT TESTED as another user: {done.stderr}")
    assert done.stdout == "Availability(reason='')\n", done.stdout + done.stderr
