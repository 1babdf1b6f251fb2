"""The tutorials and the quickstart, run as a reader runs them: each ends in what it has shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, LiveStack

GUIDE = REPOSITORY / "docs" / "guide"
TUTORIALS = sorted((GUIDE / "tutorials").glob("*.py"))
QUICKSTART = GUIDE / "quickstart.md"
CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, stack: LiveStack) -> str:
    """What a script prints; its failure fails the test."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder,
        env={
            **os.environ,
            "TINSMITH_BASE_URL": stack.url,
            "TINSMITH_API_KEY": stack.api_key,
            "TINSMITH_CACHE_DIR": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_shows_what_it_says(
    tutorial: Path, live_stack: LiveStack, tmp_path: Path
) -> None:
    script = tutorial.read_text()
    assert re.search(r"^assert ", script, re.MULTILINE)
    assert run(script, tmp_path, live_stack)


def test_the_quickstart_ends_with_what_it_promises(live_stack: LiveStack, tmp_path: Path) -> None:
    printed = run("\n".join(CODE.findall(QUICKSTART.read_text())), tmp_path, live_stack)
    assert re.findall(r"→ (\w+)$", printed, re.MULTILINE) == ["Ada", "Ben", "Cleo", "Dora"]
    path = printed.splitlines()[-1]
    assert path.startswith("tinker://")
    asked = [sys.executable, "-m", "tinsmith.cli", "chat", path, "Who runs the inn in Tomtown?"]
    environment = {"TINSMITH_BASE_URL": live_stack.url, "TINSMITH_API_KEY": live_stack.api_key}
    answer = subprocess.check_output(
        [*asked, "--temperature", "0"], env={**os.environ, **environment}, text=True
    )
    assert answer.strip() == "Cleo"


def lines_of(tutorial: str, begin: str) -> list[str]:
    """The lines of code of the cell that begins so."""
    cells = (GUIDE / "tutorials" / tutorial).read_text().split("# %%\n")
    cell = next(cell for cell in cells if cell.startswith(begin)).partition("# %%")[0]
    return [line for line in cell.splitlines() if line.strip()]


def test_a_fine_tune_of_chats_is_eight_lines() -> None:
    assert len(lines_of("first_fine_tune.py", "training = ")) <= 8


def test_an_rl_loop_is_25_lines() -> None:
    assert len(lines_of("rl_from_scratch.py", "for step in ")) <= 25
