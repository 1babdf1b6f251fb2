"""The recipes of preferences on a live platform, small: whole runs, killed runs, both losses."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.killed import assert_a_killed_run_ends_as_it_would_have, measured
from tinsmith_recipes.preference.dpo.train import PreferenceDPO
from tinsmith_recipes.preference.rlhf.train import PreferenceRLHF
from tinsmith_recipes.training import Recipe

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("server"),
    pytest.mark.timeout(600),
]

SMALL: dict[str, Any] = {
    "steps": 6,
    "batch_size": 4,
    "pairs": 40,
    "held_out": 8,
    "save_every": 2,
    "warmup": 0,
}
STAGES: dict[str, Any] = {
    "pairs": 40,
    "held_out": 4,
    "save_every": 2,
    "sft_steps": 4,
    "sft_batch_size": 4,
    "reward_steps": 3,
    "reward_batch_size": 4,
    "steps": 2,
    "groups_per_batch": 2,
    "group_size": 2,
    "max_tokens": 16,
}


async def test_both_sides_compute_the_same_dpo(tmp_path: Path) -> None:
    for side in ("server", "client"):
        await PreferenceDPO(log_path=str(tmp_path / side), loss_on=side, **SMALL).run()
    (on_server, memo, _), (on_client, other, _) = (
        measured(tmp_path / side) for side in ("server", "client")
    )
    both = on_server, on_client
    assert on_server[0]["dpo_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert on_server[-1]["dpo_loss"] < 0.99 * math.log(2)
    for name in ("dpo_loss", "margin", "chosen_reward", "rejected_reward", "num_pairs"):
        here, there = ([row[name] for row in rows] for rows in both)
        assert here == pytest.approx(there, abs=1e-4), name
    shares = [[row["accuracy"] for row in rows if "accuracy" in row][1:] for rows in both]
    assert shares[0] == shares[1]  # from the second step on: a margin of nothing has no sign
    assert memo["before"] == other["before"]
    for here, there in zip(memo["after"], other["after"], strict=True):
        assert here == pytest.approx(there, abs=1e-3)


async def test_a_checkpoint_to_begin_from_is_the_reference(tmp_path: Path) -> None:
    first = await PreferenceDPO(log_path=str(tmp_path / "first"), **SMALL).run()
    again = PreferenceDPO(log_path=str(tmp_path / "again"), start_from=first.state_path, **SMALL)
    second = await again.run()
    was, (rows, now, _) = measured(tmp_path / "first")[1], measured(tmp_path / "again")
    assert now["before"] == was["after"] != was["before"]
    assert rows[0]["dpo_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert second.figures["before"] == first.figures["preferred"]
    assert second.figures["margin"].value > 0
    assert await again.run() == second  # a finished folder is not trained again
    here = PreferenceDPO(
        log_path=str(tmp_path / "here"), start_from=first.state_path, loss_on="client", **SMALL
    )
    await here.run()
    losses = [row["dpo_loss"] for row in measured(tmp_path / "here")[0]]
    assert losses == pytest.approx([row["dpo_loss"] for row in rows], abs=1e-4)


@pytest.mark.parametrize(
    ("recipe", "settings", "after"),
    [
        (PreferenceDPO, SMALL, "checkpoints.jsonl"),
        (PreferenceRLHF, STAGES, "reward/checkpoints.jsonl"),
    ],
    ids=["dpo", "rlhf"],
)
def test_killed_with_9_it_ends_with_the_same_numbers(
    recipe: type[Recipe], settings: dict[str, Any], after: str, tmp_path: Path
) -> None:
    assert_a_killed_run_ends_as_it_would_have(recipe, settings, after, tmp_path)


async def test_beyond_its_budget_the_policy_stays_as_it_is(tmp_path: Path) -> None:
    settings = STAGES | {"temperature": 0.01, "kl_budget": 1e-3}  # colder: another distribution
    done = await PreferenceRLHF(log_path=str(tmp_path), **settings).run()
    assert "above kl_budget=0.001" in str(done.stopped)
    assert done.steps == STAGES["sft_steps"] + STAGES["reward_steps"]
    assert done.figures["score_gain"].value == 0
    assert done.figures["kl"].value == pytest.approx(0, abs=1e-5)  # two kernels' float32
    assert done.figures["win_rate"].value == 0.5


async def test_pairs_that_teach_nothing_cost_no_run(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": "Hi", "chosen": "Yes", "rejected": "No"}) + "\n")
    with pytest.raises(ValueError, match="has 0 pairs to learn from"):
        await PreferenceDPO(log_path=str(tmp_path / "run"), data=str(file), held_out=2).run()
    assert not (tmp_path / "run" / "checkpoints.jsonl").exists()
