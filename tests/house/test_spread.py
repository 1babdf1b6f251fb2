"""How the tests are spread over several processes: what belongs together, what begins first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.support.spread import LONGEST, TOGETHER, group_of, longest_first

BEGINNINGS = [*LONGEST, *(path for group in TOGETHER.values() for path in group)]


@pytest.mark.parametrize("beginning", sorted({*BEGINNINGS} - {*TOGETHER}))
def test_what_is_named_is_there(beginning: str) -> None:
    path = REPOSITORY / beginning
    assert path.is_dir() if beginning.endswith("/") else path.is_file()


def test_every_group_has_its_place_in_the_order() -> None:
    assert {*TOGETHER} <= {*LONGEST}


def test_a_file_is_a_group_unless_it_belongs_to_one() -> None:
    mounts = {group_of(f"{path}::test_it[a::b]") for path in TOGETHER["mounts"]}
    assert mounts == {"mounts"}
    assert group_of("tests/sdk/test_types.py::test_it[x]") == "tests/sdk/test_types.py"


def test_the_longest_come_first_and_the_rest_keeps_its_order(
    request: pytest.FixtureRequest,
) -> None:
    items = request.session.items
    groups = [*dict.fromkeys(group_of(item.nodeid) for item in longest_first([*items]))]
    named = [group for group in groups if group.startswith(LONGEST)]
    assert groups[: len(named)] == named
    others = [item for item in items if not group_of(item.nodeid).startswith(LONGEST)]
    assert longest_first([*items])[len(items) - len(others) :] == others


SAY_WHERE = """
import os
import pytest

@pytest.mark.parametrize("number", range(5))
def test_it(number):
    with open({log!r}, "a") as log:
        log.write(f"{{os.environ['PYTEST_XDIST_WORKER']}} {{__name__}} {{number}}\\n")
"""


def test_a_group_runs_in_one_process_in_order(tmp_path: Path) -> None:
    """With the scheduler of the whole run, over files that say where they run."""
    log = tmp_path / "log"
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler\n"
    )
    for name in ("test_a", "test_b", "test_c", "test_d"):
        (tmp_path / f"{name}.py").write_text(SAY_WHERE.format(log=str(log)))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:django"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    env["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "platform")])
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.split() for line in log.read_text().splitlines()]
    for name in ("test_a", "test_b", "test_c", "test_d"):
        ran = [(worker, number) for worker, module, number in lines if module.endswith(name)]
        assert [number for _, number in ran] == ["0", "1", "2", "3", "4"]
        assert len({worker for worker, _ in ran}) == 1
    assert {worker for worker, _, _ in lines} == {"gw0", "gw1"}
