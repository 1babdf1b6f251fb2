"""The numbers of a step, by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tinsmith_recipes.training.rl import Environment, Episode, Group, Outcome, Policy, Sampled
from tinsmith_recipes.training.rl import metrics as names


@dataclass(frozen=True)
class Nothing(Environment):
    tags: tuple[str, ...] = ()

    async def play(self, policy: Policy) -> Outcome:
        return Outcome(0.0)


def group(number: int, rewards: list[float], *tags: str, failed: int = 0, step: int = 0) -> Group:
    env = Nothing(tags)
    turn = Sampled([1, 2, 3], [4, 5], np.zeros(2), "stop")
    cut = Sampled([1, 2, 3, 4, 5, 6], [7], np.zeros(1), "length")
    episodes = tuple(
        Episode(env, (turn, cut), Outcome(reward, {"correct": float(reward > 0)}), number, n)
        for n, reward in enumerate(rewards)
    )
    return Group(number, env, episodes, failed, step)


def test_groups_are_told_in_numbers() -> None:
    groups = [
        group(0, [1.0, 1.0], "easy"),
        group(1, [0.0, 0.0], "hard", failed=1),
        group(2, [1.0, 0.0], "hard"),
    ]
    found = names.of_groups(groups)
    assert found["env/all/reward/total"] == 0.5
    assert found["env/all/correct"] == 0.5
    assert found["env/easy/reward/total"] == 1
    assert found["env/hard/reward/total"] == 0.25
    assert found["env/all/turns_per_episode"] == 2
    assert found["env/all/ac_tokens_per_turn"] == 1.5
    assert found["env/all/ob_tokens_per_turn"] == 4.5
    assert found["env/all/truncated"] == 0.5
    assert found["env/all/total_episodes"] == 6
    assert found["env/all/total_failed"] == found["env/hard/total_failed"] == 1
    fractions = [
        found[f"env/all/by_group/frac_{name}"] for name in ("mixed", "all_good", "all_bad")
    ]
    assert fractions == pytest.approx([1 / 3, 1 / 3, 1 / 3])


def test_only_groups_of_equal_rewards_are_constant_and_one_alone_is_too_small() -> None:
    assert group(0, [0.5, 0.5]).is_constant
    assert not group(0, [0.5, 0.25]).is_constant
    assert group(0, [0.5]).is_too_small
    assert not group(0, [0.5, 0.5]).is_too_small


def test_passes_are_averaged_over_their_tokens() -> None:
    passes = [
        {"loss:sum": 1.0, "kl_sample_train_v2:mean": 0.1, "sampled_tokens:sum": 30.0},
        {"loss:sum": 2.0, "kl_sample_train_v2:mean": 0.3, "sampled_tokens:sum": 10.0},
    ]
    assert names.of_passes(passes) == {
        "optim/loss": 3.0,
        "optim/kl_sample_train_v2": pytest.approx(0.15),
        "optim/sampled_tokens": 40.0,
    }
    assert names.of_passes([]) == {}


def test_how_old_samples_are() -> None:
    found = names.of_samplers([group(0, [0.0], step=3), group(1, [0.0], step=5)], step=5)
    assert found["sampling_client/step_min"] == 3
    assert found["sampling_client/step_mean"] == 4
    assert found["async/steps_off_policy_max"] == 2
