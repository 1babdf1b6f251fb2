"""Programs that a model writes, tested while it trains; a run that is killed loses nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.killed import assert_a_killed_run_ends_as_it_would_have, measured
from tinsmith_recipes.code_rl.sandbox import Sandbox
from tinsmith_recipes.code_rl.train import CodeRL

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("server"),
    pytest.mark.timeout(600),
]

SMALL: dict[str, Any] = {
    "show_steps": 2,
    "steps": 3,
    "groups_per_batch": 2,
    "group_size": 2,
    "held_out": 3,
    "max_tokens": 16,
    "save_every": 1,
}


def test_killed_with_9_it_ends_with_the_same_numbers(sandbox: Sandbox, tmp_path: Path) -> None:
    after = "practise/checkpoints.jsonl"
    undisturbed = assert_a_killed_run_ends_as_it_would_have(CodeRL, SMALL, after, tmp_path)
    rows, _, _ = measured(undisturbed / "practise")
    assert [row["step"] for row in rows] == [0, 1, 2]
