"""Each adapter on the package itself, in a Python that has it: with scripted players, and live."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import LiveStack
from tests.recipes.environment.packages import EXTRAS, OUTSIDE, needs_compiler, run

# the first time they have to be installed
pytestmark = [pytest.mark.timeout(900), needs_compiler]
every_extra = pytest.mark.parametrize("extra", EXTRAS)

SMALL = ("problems=6", "held_out=3", "groups_per_batch=2", "group_size=2", "max_tokens=8")
RUNS = {
    "reasoning-gym": ("steps=2", "warm_steps=2", "warm_batch=4"),
    "textarena": ("steps=1", "task=KuhnPoker-v0"),
    "verifiers": ("steps=1", "task=times_seven", "options=largest=12"),
}
FIGURES = {"before", "score"}


@every_extra
def test_the_adapter_plays_what_the_package_has(extra: str, tmp_path: Path) -> None:
    file = OUTSIDE / f"of_{extra.replace('-', '_')}.py"
    words = ("-q", "--noconftest", "-c", "/dev/null", "-o", "asyncio_mode=auto")
    done = run("-m", "pytest", *words, str(file), folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.live
@every_extra
def test_the_recipe_trains_on_it(extra: str, live_stack: LiveStack, tmp_path: Path) -> None:
    module = ("-m", "tinsmith_recipes.environment.train", f"package={extra}", "log_path=run")
    server = {"url": live_stack.url, "key": live_stack.api_key}
    done = run(*module, *SMALL, *RUNS[extra], folder=tmp_path, **server)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    warm = {"after_warm_start"} if extra == "reasoning-gym" else set()
    assert set(summary["figures"]) == FIGURES | warm
    assert summary["figures"]["score"]["count"] == 3
    rows = (tmp_path / "run" / "rl" / "metrics.jsonl").read_text().splitlines()
    played = [json.loads(row) for row in rows]
    plays = 2 * 2 * (2 if extra == "textarena" else 1)  # of two groups of two, from each seat
    assert [row["env/all/total_episodes"] for row in played] == [plays] * len(played)
    assert len(played) == int(RUNS[extra][0].removeprefix("steps="))


def test_every_package_is_proven() -> None:
    assert set(RUNS) == set(EXTRAS)
    assert {f"of_{one.replace('-', '_')}.py" for one in EXTRAS} == {
        file.name for file in OUTSIDE.glob("of_*.py")
    }
