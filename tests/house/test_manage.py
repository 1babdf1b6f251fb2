"""manage.py before there is a virtual environment: what it decides with the standard library."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from config.standalone import options
from tests.conftest import REPOSITORY
from tests.support.waiting import eventually


@pytest.fixture
def manage(tmp_path: Path) -> ModuleType:
    """manage.py, believing to lie in a temporary folder with pyproject files and a .venv."""
    spec = importlib.util.spec_from_file_location("manage", REPOSITORY / "manage.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in module.MADE_FROM:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
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


def test_it_installs_when_a_pyproject_or_a_lock_changes_and_only_then(manage: ModuleType) -> None:
    assert not manage._is_installed("")
    for changed in ("sdk/pyproject.toml", "platform/config/requirements/base.txt"):
        mark_installed(manage, "")
        assert manage._is_installed("")
        assert not manage._is_installed("dev")
        Path(manage.HERE, changed).write_text("more\n")
        assert not manage._is_installed("")


def installed_with(manage: ModuleType, monkeypatch: pytest.MonkeyPatch, extra: str) -> list[str]:
    """The installer's commands, which are not run."""
    commands: list[str] = []
    monkeypatch.setattr(manage, "_run", lambda what, command: commands.append(" ".join(command)))
    manage._install(extra)
    return commands


@pytest.mark.parametrize("extra", ["", "dev"])
def test_it_installs_what_the_lock_files_name_and_nothing_else(
    manage: ModuleType, monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    libraries, torch, ours = installed_with(manage, monkeypatch, extra)
    assert "--no-deps --require-hashes" in libraries
    files = [f"-r {manage.HERE}/platform/config/requirements/base.txt"]
    files += ["-r " + files[0][3:].replace("base", "dev")] if extra else []
    assert libraries.endswith(" ".join(files))
    assert torch.endswith(f" {manage.TORCH}")
    assert "--no-deps --no-build-isolation -e" in ours


def test_a_first_install_shows_that_it_goes_on_where_there_is_no_terminal(
    manage: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(manage, "SHOW_EVERY_S", 1)
    manage._run("PyTorch", ["sleep", "2.5"])
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == ["  PyTorch … 1 s", "  PyTorch … 2 s"]


def test_an_install_that_is_broken_off_ends_its_installer(tmp_path: Path) -> None:
    """SIGTERM, as a supervisor sends it, reaches what is installing."""
    shutil.copy(REPOSITORY / "manage.py", tmp_path)
    pid = tmp_path / "pid"
    program = (
        "import os, manage\n"
        "manage._works = lambda python: True\nos.makedirs('.venv')\nrun = manage._run\n"
        f"manage._run = lambda *_: run('x', ['sh', '-c', 'echo $$ > {pid}; sleep 60'])\n"
        "manage._install('')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    installer = int(eventually(lambda: pid.exists() and pid.read_text().strip()))
    process.terminate()
    assert process.wait(10) != 0
    assert not psutil.pid_exists(installer)


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


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A checkout in which nothing is installed, and in which nothing can be."""
    shutil.copy(REPOSITORY / "manage.py", tmp_path)
    standalone = tmp_path / "platform" / "config" / "standalone"
    standalone.mkdir(parents=True)
    config = REPOSITORY / "platform" / "config"
    for name in ("__init__.py", "env.py", "standalone/__init__.py", "standalone/options.py"):
        shutil.copy(config / name, standalone.parent / name)
    (tmp_path / ".venv").touch()
    return tmp_path


def run_bare(bare: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """manage.py under a Python that has the standard library alone."""
    python = os.path.realpath(sys.executable)
    return subprocess.run(
        [python, "-S", str(bare / "manage.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin"},
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["up", "--help"], ["--data-dir", "--host", "--port", "--ready-file", "--model"]),
        (["demo", "--help"], ["--once", "--data-dir"]),
        (["help", "demo"], ["--once"]),
        (["test", "--help"], ["ruff, mypy", "pytest"]),
        (["test", "tests/sdk", "-h"], ["pytest"]),
        (["--help"], ["manage.py demo", "manage.py up", "manage.py test"]),
        ([], ["manage.py demo"]),
    ],
    ids=" ".join,
)
def test_help_installs_nothing(bare: Path, arguments: list[str], expected: list[str]) -> None:
    done = run_bare(bare, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for text in expected:
        assert text in done.stdout
    assert not (bare / ".venv").is_dir()


def test_help_shows_our_commands_first_and_djangos_shortly() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"TINSMITH_NO_VENV": "1", "PATH": "/usr/bin:/bin"},
    )
    order = ["manage.py demo", "manage.py up", "manage.py test", "create_api_key", "dumpdata"]
    places = [done.stdout.index(text) for text in order]
    assert places == sorted(places)
    assert "Make an API key for a team" in done.stdout
    assert len(done.stdout.splitlines()) < 40


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dmeo"], "there is no command 'dmeo'; did you mean demo?"),
        (["up", "--prot", "1"], "there is no option --prot; did you mean --port?"),
        (["up", "--readyfile=x"], "there is no option --readyfile; did you mean --ready-file?"),
        (["up", "--xyz"], "there is no option --xyz; there are --data-dir, --help, --host"),
        (["up", "--once"], "there is no option --once"),
        (["up", "8000"], "'8000' belongs to no option"),
        (["up", "--port", "99999"], "'99999' is not a port: use 0 to 65535"),
        (["up", "--port", "2²"], "'2²' is not a port"),
        (["up", "--port"], "expected one argument"),
        (["up", "--host="], "--host is empty"),
        (["up", "--host", "nowhere.invalid"], "cannot listen on nowhere.invalid:8000"),
        (["up", "--host", "192.0.2.1", "--port", "0"], "cannot listen on 192.0.2.1:0"),
        (["up", "--model", "nameless"], "write NAME=PATH_OR_HUB_ID"),
        (["up", "--model", "a=b/c", "--model", "a=d/e"], "--model a=…: the name is given twice"),
        (["up", "--model", "a=/nowhere/b"], "there is no folder /nowhere/b"),
        (["up", "--model", "a={bare}"], "the folder holds no config.json"),
        (["up", "--data-dir="], "it is empty"),
        (
            ["up", "--data-dir", "{bare}/manage.py"],
            "--data-dir {bare}/manage.py: it is not a folder",
        ),
        (["up", "--data-dir", "{bare}/manage.py/x"], "{bare}/manage.py above it is not a folder"),
        (["up", "--ready-file", "{bare}/no/ready.json"], "there is no folder {bare}/no"),
        (["demo", "--ready-file", "{bare}"], "--ready-file {bare} is a folder: name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_told_before_anything_is_installed(
    bare: Path, arguments: list[str], said: str
) -> None:
    done = run_bare(bare, *[word.replace("{bare}", str(bare)) for word in arguments])
    assert said.replace("{bare}", str(bare)) in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode in (1, 2)
    assert not (bare / ".venv").is_dir()
    assert not (bare / "data").exists()


def test_no_other_command_is_taken_for_a_misspelt_one_of_ours(manage: ModuleType) -> None:
    from django.core.management import get_commands

    for command in {*get_commands(), "version"} - {*manage.OURS}:
        assert not difflib.get_close_matches(command, manage.OURS, 1), command


def test_what_this_user_may_not_write_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of folders as another user meets them; root may write everywhere."""
    closed = tmp_path / "closed"
    closed.mkdir()
    monkeypatch.setattr(options.os, "access", lambda path, mode: Path(path) != closed)
    for given in (
        ["--data-dir", str(closed)],
        ["--data-dir", str(closed / "x" / "data")],
        ["--data-dir", str(tmp_path), "--ready-file", str(closed / "ready.json")],
    ):
        with pytest.raises(SystemExit):
            options.read("up", [*given, "--port", "0"])
        assert "cannot be written by this user" in capsys.readouterr().err


def test_the_ready_file_may_lie_in_a_data_folder_that_is_yet_to_be_made(tmp_path: Path) -> None:
    data = tmp_path / "data"
    given = ["--data-dir", str(data), "--ready-file", str(data / "ready.json"), "--port", "0"]
    assert options.read("up", given).ready_file == data / "ready.json"
    assert not data.exists()


def test_an_environment_that_cannot_be_used_is_told_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "check"],
        capture_output=True,
        text=True,
        check=False,
        env={"TINSMITH_NO_VENV": "1", "PATH": "/usr/bin:/bin", "DATABASE_URL": "mysql://x"},
    )
    assert done.stderr == "manage.py: DATABASE_URL starts with 'mysql': use postgresql://\n"
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("cores", "words"), [(1, []), (2, ["-n", "2"]), (4, ["-n", "4"]), (96, ["-n", "4"])]
)
def test_a_whole_run_uses_the_cores_but_not_more_memory_than_machines_have(
    manage: ModuleType, cores: int, words: list[str]
) -> None:
    assert manage._in_processes(cores) == words


def test_coverage_counts_processes_that_tests_start(tmp_path: Path) -> None:
    test = tmp_path / "test_of_a_child.py"
    test.write_text(
        "import subprocess, sys\n"
        "def test_it():\n"
        "    program = 'from config.standalone import options\\n'\n"
        '    program += \'options.read("up", ["--port=0"])\'\n'
        "    subprocess.run([sys.executable, '-c', program], check=True)\n"
    )
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COV_")}
    env = {name: value for name, value in ours.items() if not name.startswith("COVERAGE_")}
    env |= {"COVERAGE_FILE": str(tmp_path / "measured"), "TINSMITH_NO_VENV": "1"}
    env["PYTHONPATH"] = str(REPOSITORY / "platform")
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "test", "--coverage", str(test), "-q"],
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (options_line,) = [line for line in done.stdout.splitlines() if "standalone/options.py" in line]
    assert int(options_line.split()[-1].rstrip("%")) > 40
    assert "TOTAL" in done.stdout
