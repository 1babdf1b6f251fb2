"""The supervisor: crashed children come back, with pauses; stubborn ones end all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.embedded import Child, EmbeddedError, Supervisor, processes
from core.embedded.processes import spawn
from tests.support.waiting import eventually


def child_of(tmp_path: Path, program: str, grace_s: float = 5.0) -> Child:
    """A child that runs a Python program."""
    log = tmp_path / "child.log"

    def start() -> subprocess.Popen[bytes]:
        return spawn([sys.executable, "-c", program], cwd=tmp_path, log=log)

    return Child("child", start, ((signal.SIGTERM, grace_s),), log)


def wait_for_log(child: Child, text: str) -> None:
    """Wait until the child has written something."""
    eventually(lambda: child.log.exists() and text in child.log.read_text(), within_s=20)


def test_a_crashed_child_is_started_again_after_growing_pauses(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    child = supervisor.add(child_of(tmp_path, "print('broken', flush=True); raise SystemExit(3)"))
    eventually(lambda: supervisor.check() or child.crashes, equals=3, within_s=20)
    supervisor.stop()
    headlines = [line for line in said if line.startswith("child ended with status 3")]
    pauses = [line.split("again in ")[1].split(" s")[0] for line in headlines]
    assert pauses == ["0.5", "1", "2"]
    assert "broken" in said
    assert child.log.read_text().count("broken") == 3


def test_a_child_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    child = supervisor.add(child_of(tmp_path, "import time; time.sleep(600)"))
    assert child.process is not None
    child.process.kill()
    child.process.wait()
    good, calls = child.start, []

    def start() -> subprocess.Popen[bytes]:
        calls.append(1)
        if len(calls) == 1:
            raise EmbeddedError("no room")
        return good()

    child.start = start
    eventually(lambda: supervisor.check() or len(calls), equals=2, within_s=20)
    assert any("does not start: no room" in line for line in said)
    assert child.process.poll() is None
    supervisor.stop()
    assert child.process.poll() is not None


def test_stopping_waits_for_a_clean_end(tmp_path: Path) -> None:
    program = (
        "import signal, time\n"
        "def end(*_): time.sleep(0.3); print('clean', flush=True); raise SystemExit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    supervisor = Supervisor(pytest.fail)
    child = supervisor.add(child_of(tmp_path, program))
    wait_for_log(child, "up")
    supervisor.stop()
    assert child.process is not None
    assert child.process.returncode == 0
    assert "clean" in child.log.read_text()


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    supervisor = Supervisor(pytest.fail)
    child = supervisor.add(child_of(tmp_path, program, grace_s=0.2))
    wait_for_log(child, "up")
    supervisor.stop()
    assert child.process is not None
    assert child.process.returncode == -signal.SIGKILL


def test_logs_do_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.embedded.processes.LOG_KEEP_BYTES", 10)
    child = child_of(tmp_path, "print('x' * 100)")
    for _ in range(2):
        child.start().wait()
    assert len(child.log.read_text()) == 101
    assert child.log.with_suffix(".log.1").exists()


def test_a_log_is_kept_short_while_its_child_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOG_KEEP_BYTES", 50_000)
    program = """
import time
for number in range(60_000):
    print(f"line {number:06}", flush=True)
    if number % 500 == 0:
        time.sleep(0.01)
time.sleep(60)
"""
    supervisor = Supervisor(lambda line: None)
    child = supervisor.add(child_of(tmp_path, program))
    before = child.log.with_suffix(".log.1")
    sizes = []

    def ended() -> bool:
        supervisor.check()
        sizes.append(sum(f.stat().st_size for f in (child.log, before) if f.exists()))
        return b"line 059999" in child.log.read_bytes()

    eventually(ended, within_s=30, every_s=0.005)
    supervisor.stop()
    assert before.stat().st_size == 50_000
    # what it writes between two looks comes on top
    assert max(sizes) < 60_000 * 12 / 2
    lines = child.log.read_bytes().splitlines()
    assert lines[-1] == b"line 059999"
    assert all(line.startswith(b"line ") for line in lines)


def test_a_log_has_room_of_its_own(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda line: None)
    child = supervisor.add(
        child_of(tmp_path, "import time; print('here', flush=True); time.sleep(60)")
    )
    wait_for_log(child, "here")
    found = child.log.stat()
    supervisor.stop()
    if found.st_blocks * 512 <= 4096:
        pytest.skip("this file system keeps no room for files")
    assert found.st_blocks * 512 >= processes.LOG_ROOM_BYTES
    assert child.log.read_text() == "here\n"
