"""Building the dashboard: once for every state of its sources, where Node.js is there.

A wheel has its build inside and no sources. Needs the standard library alone, for building a wheel
uses it too (frontend/hatch_build.py).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# what Vite runs on: from 20.19 on, but of 21 and 22 from 22.12 on
LEAST_NODE = (20, 19)
NODES_BETWEEN = ((21, 0), (22, 12))
NEEDED = "Node.js 20.19, or 22.12 or newer"
WITHIN_S = 300.0
STAMP = "built-from"
# what a build is made of; tests and what they need are not
MADE_FROM = ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "src")
NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
NPM_CI += ["--fetch-timeout=20000", "--fetch-retries=1"]
WITHOUT_TESTS = ["--omit=dev"]
NPM_BUILD = ["npm", "run", "--silent", "build"]
LAST_LINES = 20


class BuildError(Exception):
    """The dashboard cannot be built; the message says why."""


def ensure(folder: Path, say: Callable[[str], None]) -> None:
    """Build what is in a folder with the dashboard's sources, unless it is built already.

    Raises:
        BuildError: it cannot be built. An older build, if there is one, is left as it is.
    """
    if not (folder / "package.json").exists() or is_built(folder):
        return
    if not can_build():
        node = ".".join(map(str, node_version()))
        raise BuildError(
            f"it needs {NEEDED}, and {f'this is {node}' if node else 'none is installed'}"
        )
    with _alone(folder):
        if is_built(folder):
            return
        say("building the dashboard …")
        build(folder)


def build(folder: Path) -> None:
    """Install what the lock file names, if that has changed, and build.

    Raises:
        BuildError: npm fails.
    """
    stamp = stamp_of(folder)
    _install(folder, for_tests=False)
    _run(NPM_BUILD, folder)
    (folder / "dist" / STAMP).write_text(stamp)


def install(folder: Path, *, for_tests: bool) -> None:
    """Install the libraries that the lock file names, unless they are there.

    Raises:
        BuildError: npm fails.
    """
    with _alone(folder):
        _install(folder, for_tests=for_tests)


def _install(folder: Path, *, for_tests: bool) -> None:
    here = folder / "node_modules" / STAMP
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    whole = f"{wanted} for tests"
    if _text(here) == whole or (_text(here) == wanted and not for_tests):
        return
    _run([*NPM_CI, *([] if for_tests else WITHOUT_TESTS)], folder)
    here.write_text(whole if for_tests else wanted)


def is_built(folder: Path) -> bool:
    """Whether the build is of these sources."""
    return _text(folder / "dist" / STAMP) == stamp_of(folder)


def stamp_of(folder: Path) -> str:
    """Names one state of the sources."""
    digest = hashlib.sha256()
    for name in MADE_FROM:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and ".test." not in file.name:
                digest.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()


def can_build() -> bool:
    """Whether there is a Node.js that the build runs on."""
    node, (first_without, first_again) = node_version(), NODES_BETWEEN
    return node >= LEAST_NODE and not first_without <= node < first_again


def node_version() -> tuple[int, ...]:
    """Major and minor version of Node.js; empty: there is none."""
    if not (shutil.which("node") and shutil.which("npm")):
        return ()
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else ()


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two first starts at once install and build one after the other."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _run(command: list[str], folder: Path) -> None:
    """Run npm; whoever is interrupted ends it with all that it has started."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=WITHIN_S)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            took = f"`{' '.join(command)}` took longer than {WITHIN_S:.0f} s"
            raise BuildError(took) from None
        raise
    if process.returncode:
        last = "\n".join(output.splitlines()[-LAST_LINES:])
        raise BuildError(f"`{' '.join(command)}` failed:\n{last}")
