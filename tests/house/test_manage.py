"""manage.py before there is a virtual environment: what it decides with the standard library."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture
def manage(tmp_path: Path) -> ModuleType:
    """manage.py, believing to lie in a temporary folder with pyproject files and a .venv."""
    spec = importlib.util.spec_from_file_location("manage", REPOSITORY / "manage.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.PROJECTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("[project]\n")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    module.HERE = str(tmp_path)
    module.VENV = str(tmp_path / ".venv")
    module.VENV_PYTHON = str(tmp_path / ".venv" / "bin" / "python")
    return module


def mark_installed(manage: ModuleType, extra: str) -> None:
    """Write the stamp that a finished installation leaves."""
    Path(manage._stamp_file(extra)).write_text(manage._stamp())


def test_it_installs_when_a_pyproject_changes_and_only_then(manage: ModuleType) -> None:
    assert not manage._is_installed("")
    mark_installed(manage, "")
    assert manage._is_installed("")
    assert not manage._is_installed("dev")
    sdk = Path(manage.HERE, "sdk", "pyproject.toml")
    sdk.write_text("[project]\ndependencies = ['more']\n")
    assert not manage._is_installed("")


def test_a_moved_checkout_is_installed_again(manage: ModuleType, tmp_path: Path) -> None:
    mark_installed(manage, "")
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    manage.HERE, manage.VENV = str(moved), str(moved / ".venv")
    manage.VENV_PYTHON = str(moved / ".venv" / "bin" / "python")
    assert not manage._is_installed("")


def test_a_virtual_environment_whose_python_is_gone_does_not_count(manage: ModuleType) -> None:
    mark_installed(manage, "")
    python = Path(manage.VENV_PYTHON)
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert not manage._is_installed("")
    assert not manage._works(manage.VENV_PYTHON)


def test_it_needs_the_standard_library_alone() -> None:
    tree = ast.parse((REPOSITORY / "manage.py").read_text())
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in top if isinstance(node, ast.Import) for alias in node.names}
    assert all(isinstance(node, ast.Import) for node in top)
    assert names <= set(sys.stdlib_module_names)


def test_torch_is_pinned_alike_everywhere(manage: ModuleType) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert manage.TORCH in project["dependencies"]
    assert f"pip install {manage.TORCH}" in (REPOSITORY / "compose.yaml").read_text()


@pytest.mark.parametrize("command", ["up", "demo"])
def test_help_says_what_there_is(command: str) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"TINSMITH_NO_VENV": "1", "PATH": "/usr/bin:/bin"},
    )
    for option in ("--data-dir", "--host", "--port", "--ready-file", "--model"):
        assert option in done.stdout
    assert ("--once" in done.stdout) == (command == "demo")
