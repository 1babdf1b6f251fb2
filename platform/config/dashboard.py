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

LEAST_NODE = 20
STAMP = "built-from"
# what a build is made of; tests and what they need are not
MADE_FROM = ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "src")
NPM_CI = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
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
    node = node_version()
    if node < LEAST_NODE:
        found = f"this is {node}" if node else "none is installed"
        raise BuildError(f"it needs Node.js {LEAST_NODE} or newer, and {found}")
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
    install(folder, for_tests=False)
    _run(NPM_BUILD, folder)
    (folder / "dist" / STAMP).write_text(stamp)


def install(folder: Path, *, for_tests: bool) -> None:
    """Install the libraries that the lock file names, unless they are there.

    Raises:
        BuildError: npm fails.
    """
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


def node_version() -> int:
    """The major version of Node.js; 0: there is none."""
    if not (shutil.which("node") and shutil.which("npm")):
        return 0
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


def _text(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Two first starts at once build one after the other."""
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
        output, _ = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    if process.returncode:
        last = "\n".join(output.splitlines()[-LAST_LINES:])
        raise BuildError(f"`{' '.join(command)}` failed:\n{last}")
