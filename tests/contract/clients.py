"""The clients that the contract is checked with, each in a Python of its own.

Public releases come from the package registry into virtual environments below `.cache/` in the
checkout, made on first use. Ours runs in the environment of the tests.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "clients"
ANSWER_WITHIN_S = 240.0


@dataclass(frozen=True)
class Release:
    """A client to run scenarios with: what to import, and what to install for it (None: ours)."""

    module: str
    requirement: str | None = None

    @property
    def name(self) -> str:
        """How tests call it."""
        return self.requirement or self.module

    def python(self) -> str:
        """The interpreter that has the client; installs it when there is none yet."""
        return sys.executable if self.requirement is None else _install(self.requirement)


# what the public client leaves to its users: chat templates need it
ALSO = ("jinja2",)

OURS = Release("tinsmith")
PUBLIC = Release("tinker", "tinker==0.38.0")
# JSON alone; JSON with protobuf where it is switched on; protobuf with the routes of last year
OLDER = tuple(Release("tinker", f"tinker=={number}") for number in ("0.30.4", "0.22.7", "0.16.1"))
RELEASES = (PUBLIC, *OLDER, OURS)


def _install(requirement: str) -> str:
    """A virtual environment with the requirement, as any user would make it; never with torch."""

    def fill(folder: Path) -> None:
        pip_install(folder, requirement, *ALSO)
        assert not list(folder.glob("lib/*/site-packages/torch")), "a client brought torch"

    return virtual_environment(requirement, fill)


def virtual_environment(name: str, fill: Callable[[Path], None]) -> str:
    """The Python of the environment of that name; `fill` installs into it when it is new."""
    folder = CACHE / name.replace("==", "-")
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE.parent / ".gitignore").write_text("*\n")
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            fill(folder)
            (folder / "complete").touch()
    return str(python)


def pip_install(folder: Path, *arguments: str) -> None:
    """`pip install` in a virtual environment."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments]
    subprocess.run(command, check=True)


class ClientError(AssertionError):
    """A scenario raised, or its process died; the message holds its traceback."""


@dataclass
class Client:
    """A process in which one client runs scenarios, one after another."""

    release: Release
    url: str
    api_key: str
    with_torch: bool = False
    folder: Path | None = None
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)
    _answers: queue.Queue[str] = field(default_factory=queue.Queue, init=False, repr=False)

    def run(self, scenario: str, **arguments: Any) -> Any:
        """What `scenario` (`module.function` below scenarios/) returns."""
        process = self._start()
        assert process.stdin is not None
        request = {"scenario": scenario, "arguments": arguments}
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        try:
            answer = self._answers.get(timeout=ANSWER_WITHIN_S)
        except queue.Empty:
            self.close()
            raise ClientError(f"{scenario} took over {ANSWER_WITHIN_S} s\n{self._log()}") from None
        if not answer:
            self.close()
            raise ClientError(f"the client's process ended in {scenario}\n{self._log()}")
        reply = json.loads(answer)
        if "traceback" in reply:
            raise ClientError(f"{scenario} with {self.release.name}:\n{reply['traceback']}")
        return reply["result"]

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        command = [self.release.python(), str(HERE / "runner.py"), self.release.module]
        if self.with_torch and self.release.requirement is not None:
            command.append(sysconfig.get_paths()["purelib"])
        self._answers = queue.Queue()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=self.folder,
            env=user_environment(self.url, self.api_key, self.folder),
        )
        threading.Thread(target=_collect, args=(self._process, self._answers), daemon=True).start()
        return self._process

    def _log(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")[-4000:]


def user_environment(url: str, api_key: str, home: Path | None = None) -> dict[str, str]:
    """What a user sets, and nothing of the tests' own; `home` keeps what the user has away."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "TINSMITH_", "DJANGO_", "DATABASE_", "VALKEY_"))
    }
    return kept | {
        "TINKER_BASE_URL": url,
        "TINKER_API_KEY": api_key,
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        **({"HOME": str(home)} if home else {}),
    }


def _collect(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")
