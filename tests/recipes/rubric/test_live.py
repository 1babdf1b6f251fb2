"""The judge and the judged on a live platform, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinsmith_recipes.rubric.train import Rubric
from tinsmith_recipes.training.folder import RunFolder

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("server")]

SMALL: dict[str, Any] = {
    "steps": 2,
    "groups_per_batch": 2,
    "group_size": 2,
    "held_out": 2,
    "max_tokens": 24,
    "judge_steps": 4,
    "save_every": 1,
}


async def test_a_judge_is_taught_and_judges(tmp_path: Path) -> None:
    done = await Rubric(log_path=str(tmp_path), **SMALL).run()
    assert {"before", "after", "judge_right", "before_score", "score"} == set(done.figures)
    assert done.figures["before"].count == 2 * 8
    judge = RunFolder.of(tmp_path / "judge").summary
    assert judge is not None
    assert judge.steps == 4
    rows = RunFolder.of(tmp_path).metrics
    assert [row["env/all/unread"] for row in rows] == [0, 0]  # it says yes or no from the start


async def test_any_model_judges_by_any_rubric(tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(f'{{"prompt": "Say \'{word}\'."}}\n' for word in ("tin", "pan", "can")))
    settings = SMALL | {"data": str(file), "held_out": 1, "judge": "tinsmith/nano-llama3"}
    recipe = Rubric(log_path=str(tmp_path / "run"), rubric="Is it a day? 0 to 10.", **settings)
    done = await recipe.run()
    assert {"before_score", "score"} == set(done.figures)
    assert done.figures["score"].count == 8
