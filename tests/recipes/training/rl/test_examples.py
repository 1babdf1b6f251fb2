"""The examples that people copy: short, and they do what they say."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY
from tinsmith_recipes import rl_basic, rl_loop, sl_basic, sl_loop
from tinsmith_recipes.training import Summary, rl

SOURCES = REPOSITORY / "recipes" / "src" / "tinsmith_recipes"
README = REPOSITORY / "recipes" / "README.md"


def own_environment() -> str:
    """The example in the section on environments of one's own."""
    section = README.read_text().split("## RL on your own environment")[1]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0]


@pytest.mark.parametrize(
    ("module", "most"), [("rl_basic", 60), ("sl_basic", 60), ("rl_loop", 160), ("sl_loop", 160)]
)
def test_they_are_short(module: str, most: int) -> None:
    assert len((SOURCES / f"{module}.py").read_text().splitlines()) <= most


def test_own_environments_take_few_lines() -> None:
    lines = [line for line in own_environment().splitlines() if line.strip()]
    assert len(lines) <= 25


@pytest.mark.parametrize("module", ["rl_loop", "sl_loop"])
def test_flat_loops_use_the_sdk_alone(module: str) -> None:
    tree = ast.parse((SOURCES / f"{module}.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith("tinsmith_recipes")]


@pytest.fixture
def server(server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.live
@pytest.mark.parametrize("loop", [rl_loop, sl_loop])
async def test_a_flat_loop_goes_on_where_it_ended(
    loop: ModuleType,
    server: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"STEPS": 3, "SAVE_EVERY": 2, "QUESTIONS": 2, "BATCH_SIZE": 4}.items():
        if hasattr(loop, name):
            monkeypatch.setattr(loop, name, value)
    await loop.main()
    first = capsys.readouterr().out
    assert re.findall(r"step +(\d+)", first) == ["0", "1", "2"]
    assert "tinsmith chat tinker://" in first
    rows = loop.KEPT.read_text().splitlines()
    loop.KEPT.write_text(rows[0] + "\n")  # as if killed after its first checkpoint
    await loop.main()
    again = capsys.readouterr().out
    line = re.compile(r"step +2 .*")
    assert line.findall(again) == line.findall(first)
    assert "step   1" not in again


@pytest.mark.live
async def test_the_basic_recipes_run(server: None) -> None:
    small = {"steps": 2, "groups_per_batch": 2, "group_size": 4}
    learnt = await rl_basic.RLBasic(log_path="rl", **small).run()
    assert set(learnt.figures) == {"before", "after"}
    fitted = await sl_basic.SLBasic(log_path="sl", steps=4, batch_size=8).run()
    assert fitted.figures["after"].value < fitted.figures["before"].value


@pytest.mark.live
async def test_the_example_of_an_own_environment_runs(server: None) -> None:
    """As it stands, but with fewer steps."""
    program, ran = own_environment().rsplit("print(", 1)
    names: dict[str, object] = {"__name__": "example"}
    await asyncio.to_thread(exec, program, names)
    assert "learn(environments" in ran
    summary = await rl.learn(
        names["environments"],  # type: ignore[arg-type]
        steps=2,
        groups_per_batch=8,
        group_size=4,
        log_path="own",
    )
    assert isinstance(summary, Summary)
    assert set(summary.figures) == {"first_reward", "last_reward"}
