"""Weights & Biases: what of a run reaches its offline files; what is said where it is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveStack
from tests.contract.clients import pip_install, virtual_environment
from tinsmith_recipes.rubric.train import Rubric
from tinsmith_recipes.training.folder import RunFolder

WANDB = "wandb==0.31.0"
READER = Path(__file__).with_name("wandb_records.py")
SMALL: dict[str, Any] = {
    "steps": 2,
    "groups_per_batch": 2,
    "group_size": 2,
    "held_out": 2,
    "max_tokens": 8,
    "judge_steps": 2,
    "save_every": 1,
    "wandb_project": "kettles",
}
# W&B's own Python, with the recipes and what they need out of that of the tests
PROGRAM = f"""
import runpy, site
site.addsitedir({sysconfig.get_paths()["purelib"]!r})
runpy.run_module({Rubric.__module__!r}, run_name="__main__")
"""


def wandb_python() -> str:
    """The interpreter that has W&B."""
    return virtual_environment(WANDB, lambda folder: pip_install(folder, WANDB))


@pytest.fixture(scope="module")
def python() -> str:
    return wandb_python()


@pytest.mark.live
@pytest.mark.timeout(600)
def test_settings_rows_and_figures_of_every_stage_reach_it(
    python: str, live_stack: LiveStack, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = [f"{name}={value}" for name, value in SMALL.items()]
    environment = {
        **os.environ,
        "TINSMITH_BASE_URL": live_stack.url,
        "TINSMITH_API_KEY": live_stack.api_key,
        "WANDB_MODE": "offline",
        "HTTPS_PROXY": "http://127.0.0.1:9",  # nothing listens there
    }
    command = [python, "-c", PROGRAM, *words, f"log_path={folder}"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    judge, run = sorted(
        json.loads(subprocess.check_output([python, READER, folder], text=True)),
        key=lambda one: str(one["name"]),
        reverse=True,
    )
    assert (run["name"], judge["name"]) == ("rubric", "rubric judge")
    for told, kept in ((run, RunFolder.of(folder)), (judge, RunFolder.of(folder / "judge"))):
        assert (told["project"], told["group"], told["exit"]) == ("kettles", "run", 0)
        assert told["id"] == kept.state["wandb"]
        assert told["config"].items() >= {"recipe": "rubric", **SMALL}.items()
        assert [_measured(row) for row in told["rows"]] == _by_step(kept.metrics)
        assert kept.summary is not None
        figures = {name: figure.value for name, figure in kept.summary.figures.items()}
        assert told["summary"].items() >= figures.items()
    assert run["id"] != judge["id"]
    assert (run["config"]["stage"], judge["config"]["stage"]) == (None, "judge")


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what W&B adds."""
    named = {"step": row["_step"], **row}
    return {name: value for name, value in named.items() if not name.startswith("_")}


def _by_step(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the same step as one, as W&B keeps them."""
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["step"], {}).update(row)
    return list(found.values())


async def test_without_it_a_run_that_asks_for_it_does_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_spec("wandb") is None, f"{sys.executable} has it"
    monkeypatch.delenv("TINSMITH_BASE_URL", raising=False)
    with pytest.raises(ValueError, match=r"^wandb_project needs wandb: pip install '.*\[wandb\]'$"):
        await Rubric(log_path=str(tmp_path / "run"), **SMALL).run()
    assert not (tmp_path / "run").exists()
