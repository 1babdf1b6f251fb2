"""The loop on a live platform: killed runs, episodes that fail, every kind of environment."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.recipes.training.rl.live_recipe import LiveRL
from tests.support.killed import measured
from tests.support.waiting import eventually
from tinsmith_recipes.training import Summary
from tinsmith_recipes.training.folder import RunFolder

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("server"),
    pytest.mark.timeout(600),  # a busy machine is no fault
]

REWARD = "env/all/reward/total"


async def trained(folder: Path, **settings: Any) -> tuple[Summary, list[dict[str, Any]]]:
    summary = await LiveRL(log_path=str(folder), **settings).run()
    return summary, measured(folder)[0]


def kill_in_the_middle(folder: Path, **settings: Any) -> None:
    """Run the recipe in a process of its own, and kill it once a checkpoint is written down."""
    words = [f"{name}={value}" for name, value in settings.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", LiveRL.__module__, f"log_path={folder}", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    kept = folder / "checkpoints.jsonl"
    eventually(lambda: kept.exists() and kept.read_text().count("\n") >= 1, within_s=300)
    assert not (folder / "summary.json").exists()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def test_a_killed_run_ends_with_the_numbers_of_an_undisturbed_one(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"loss_fn": "ppo", "substeps": 2, "kl_penalty": 0.01}
    _, undisturbed = await trained(tmp_path / "a", **settings)
    await asyncio.to_thread(kill_in_the_middle, tmp_path / "b", **settings)
    assert 0 < RunFolder.of(tmp_path / "b").checkpoints[-1].step < 6
    _, gone_on = await trained(tmp_path / "b", **settings)
    assert gone_on == undisturbed
    assert [row["step"] for row in undisturbed] == list(range(6))
    assert undisturbed[-1]["optim/kl_sample_train_v2"] > 0  # the second substep is off-policy
    assert undisturbed[0]["kl_policy_base"] == pytest.approx(0, abs=1e-5)
    assert abs(undisturbed[-1]["kl_policy_base"]) > 1e-5


async def test_sampling_ahead_loses_and_doubles_no_group(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps_off_policy": 2}
    await asyncio.to_thread(kill_in_the_middle, tmp_path, **settings)
    begun_at = RunFolder.of(tmp_path).checkpoints[-1].step
    _, found = await trained(tmp_path, **settings)
    assert [row["step"] for row in found] == list(range(6))
    stale = [row["async/steps_off_policy_max"] for row in found]
    assert max(stale) == 2
    assert stale[begun_at] == 0  # what was in flight is played again
    pages = [(tmp_path / "transcripts" / f"{step:06d}.html").read_text() for step in range(6)]
    groups = [[int(n) for n in re.findall(r"group (\d+) ", page)] for page in pages]
    assert groups == [[step * 4 + n for n in range(4) for _ in range(4)] for step in range(6)]


async def test_rewards_rise(tmp_path: Path) -> None:
    _, found = await trained(tmp_path, steps=8, learning_rate=3e-3, group_size=8, post_kl=True)
    assert found[-1][REWARD] > found[0][REWARD] + 0.1
    assert found[0]["optim/kl_sample_train_v2"] < 1e-6  # on-policy, sampler and learner agree
    assert found[0]["kl_pre_post_v2"] > 1e-6
    assert found[0]["env/names/letters"] == found[0]["env/all/letters"] > 1


async def test_parts_handed_in_as_they_come_are_the_same_step(tmp_path: Path) -> None:
    _, whole = await trained(tmp_path / "a", steps=2)
    _, parts = await trained(tmp_path / "b", steps=2, minibatches=4)
    for name in (REWARD, "optim/loss", "optim/unclipped_grad_norm", "tokens/trained"):
        assert [row[name] for row in parts] == pytest.approx([row[name] for row in whole], rel=1e-3)


async def test_what_fails_costs_itself_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, found = await trained(tmp_path, plays="mixed", steps=3)
    said = capsys.readouterr().err
    assert said.count("an episode of Fails failed and is left out: OSError: the tool is brok") == 1
    assert "live_recipe.py:" in said
    for row in found:
        assert row["env/all/total_failed"] == 16 - row["env/all/total_episodes"] >= 4
        assert row["groups/too_small"] >= 1
        assert row["groups/constant"] >= 1
        assert not row["progress/skipped"]


async def test_a_step_that_says_nothing_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary, found = await trained(tmp_path, plays="alike", steps=3)
    assert [row["progress/skipped"] for row in found] == [1, 1, 1]
    assert [row["groups/constant"] for row in found] == [4, 4, 4]
    assert not any("optim/loss" in row or "optim/unclipped_grad_norm" in row for row in found)
    assert capsys.readouterr().err.count("within each group all episodes earned the same") == 1
    assert summary.steps == 3


async def test_a_step_whose_every_episode_fails_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every episode of step 0 failed; the first: OSError: the"):
        await trained(tmp_path, plays="broken")


async def test_every_kind_of_environment(tmp_path: Path) -> None:
    _, (row,) = await trained(tmp_path, plays="all", steps=1, max_tokens=4)
    talk, duel, endless, stepped = 4, 8, 4, 4
    assert row["env/all/total_episodes"] == talk + duel + endless + stepped
    assert row["env/all/overflowed"] == endless / 20
    assert row["env/all/reward/compared"] == (0 + 1 + 2 + 3) / 20
    assert row["groups/constant"] == 1  # all that are endless earn the same
    # sampled tokens of all others are trained on, each once
    assert row["optim/sampled_tokens"] <= row["tokens/sampled"]
    page = (tmp_path / "transcripts" / "000000.html").read_text()
    assert "Say it twice." in page
    assert "the context was full" in page


async def test_too_far_from_the_sampler_ends_the_run_if_so_configured(tmp_path: Path) -> None:
    far: dict[str, Any] = {"learning_rate": 5e-3, "substeps": 4, "kl_limit": 0.0}
    summary, found = await trained(tmp_path, on_high_kl="stop", **far)
    assert summary.stopped is not None
    assert "KL between sampler and learner is" in summary.stopped
    assert summary.steps == len(found) < 6  # what was trained is written down


async def test_too_far_from_the_sampler_is_sampled_again_if_so_configured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    far: dict[str, Any] = {"learning_rate": 5e-3, "substeps": 4, "kl_limit": 0.0}
    _, found = await trained(tmp_path, max_steps_off_policy=2, **far)
    assert len(found) == 6
    stale = [
        after["async/steps_off_policy_max"]
        for before, after in pairwise(found)
        if before.get("optim/kl_sample_train_v2", 0) > 0  # a skipped step measures none
    ]
    assert stale, "no step went far"
    assert max(stale) == 0  # nothing old is used after one that did
    said = capsys.readouterr().err
    assert said.count("was sampled ahead is sampled again") == 1
    assert said.count("is healthy") == 1
