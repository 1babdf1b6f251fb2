"""The dashboard's sources: format, types and components, where Node.js is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from config import dashboard
from tests.conftest import REPOSITORY

FRONTEND = REPOSITORY / "frontend"
TYPES = FRONTEND / "src" / "api" / "schema.d.ts"


@pytest.fixture(scope="module")
def tools() -> Path:
    """The folder with its libraries, those for tests too."""
    if not dashboard.can_build():
        pytest.skip("no Node.js here")
    dashboard.install(FRONTEND, for_tests=True)
    return FRONTEND


def run(folder: Path, *command: str) -> None:
    """Run a tool, which must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.timeout(600)
def test_format_lint_and_types(tools: Path) -> None:
    run(tools, "npm", "run", "--silent", "check")


@pytest.mark.timeout(600)
def test_components(tools: Path) -> None:
    run(tools, "npm", "run", "--silent", "test")


@pytest.mark.timeout(600)
def test_the_types_are_those_of_the_api(tools: Path, tmp_path: Path) -> None:
    made = tmp_path / "schema.d.ts"
    run(tools, "npx", "openapi-typescript", "openapi.json", "-o", str(made))
    assert made.read_text() == TYPES.read_text(), "run `npm run types` in frontend"


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


@pytest.mark.timeout(600)
def test_what_a_browser_loads_is_small(tools: Path) -> None:
    """Of every page: what the dashboard begins with, the pages around it, and its own."""
    dashboard.ensure(FRONTEND, print)
    manifest = json.loads((FRONTEND / "dist" / ".vite" / "manifest.json").read_text())
    begins = loaded(manifest, "index.html")
    pages = {name for name, chunk in manifest.items() if chunk.get("isDynamicEntry")}
    assert len(pages) > 3
    sizes = {name: size(begins | around(manifest, name)) for name in pages}
    print("\n".join(f"{sizes[name]:9,d} {name}" for name in sorted(pages, key=sizes.__getitem__)))
    assert 50_000 < size(begins) < 150_000
    assert max(sizes.values()) < 200_000


def loaded(manifest: dict[str, Any], name: str) -> set[str]:
    """The scripts of a chunk and of all that it imports."""
    found: set[str] = set()
    waiting = {name}
    while waiting:
        chunk = manifest[waiting.pop()]
        if chunk["file"] not in found:
            found.add(chunk["file"])
            waiting |= set(chunk.get("imports", ()))
    return {file for file in found if file.endswith(".js")}


def around(manifest: dict[str, Any], page: str) -> set[str]:
    """The scripts of a page that is loaded when opened, and of the pages that it stands in."""
    scripts = loaded(manifest, page)
    for name, chunk in manifest.items():
        if page in chunk.get("dynamicImports", ()) and chunk.get("isDynamicEntry"):
            scripts |= around(manifest, name)
    return scripts


def size(scripts: set[str]) -> int:
    """Bytes of scripts, compressed."""
    return sum((FRONTEND / "dist" / f"{script}.gz").stat().st_size for script in scripts)
