"""The dashboard's sources: format, types and components, where Node.js is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

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
    dashboard.ensure(FRONTEND, print)
    packed = (FRONTEND / "dist" / "assets").glob("*.js.gz")
    assert 50_000 < sum(file.stat().st_size for file in packed) < 200_000
