"""What episodes are worth, beside a reference, and what is measured of them: numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tinsmith_recipes.training.rl import advantages
from tinsmith_recipes.training.rl.data import Stretch
from tinsmith_recipes.training.rl.reference import distance, penalize

REWARDS = some.lists(some.floats(-100, 100), min_size=2, max_size=12)


def stretch(logprobs: list[float], sampled: list[bool], advantage: float) -> Stretch:
    mask = np.array(sampled)
    return Stretch([7] * len(mask), np.array(logprobs), mask, np.where(mask, advantage, 0.0))


@given(REWARDS)
def test_advantages_sum_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    for worth in (advantages.centred, advantages.normalised, advantages.leave_one_out):
        found = worth(rewards)
        assert found.sum() == pytest.approx(0, abs=1e-6 * max(1, np.abs(found).max()))
        order = np.argsort(rewards, kind="stable")
        assert (np.diff(found[order]) >= -1e-9).all()


@given(some.floats(-10, 10), some.integers(2, 8))
def test_equal_rewards_are_worth_nothing(reward: float, count: int) -> None:
    for worth in (advantages.centred, advantages.normalised, advantages.leave_one_out):
        assert worth([reward] * count) == pytest.approx([0.0] * count, abs=1e-9)


def test_a_rare_success_counts_more() -> None:
    assert advantages.per_mean([1, 0, 0, 0, 0, 0, 0, 0]) == pytest.approx([7] + [-1] * 7)
    assert advantages.per_mean([1, 1, 1, 0]) == pytest.approx([1 / 3] * 3 + [-1])
    # the mean is negative: divided by that of one success
    assert advantages.per_mean([0.0, -0.1]) == pytest.approx([0.1, -0.1])


def test_the_penalty_by_hand() -> None:
    one = stretch([0.0, -1.0, -2.0], [False, True, True], 1.0)
    two = stretch([0.0, -1.0], [False, True], -1.0)
    # q - ref: 0.5 and -1 in the first, 2 in the second; their mean is 0.5
    under = [np.array([-9.0, -1.5, -1.0]), np.array([-9.0, -3.0])]
    assert penalize([one, two], under, 0.1) == {"kl_policy_base": pytest.approx(0.5)}
    assert one.advantages == pytest.approx([0, 1 + 0.1 * 0.0, 1 + 0.1 * 1.5])
    assert two.advantages == pytest.approx([0, -1 + 0.1 * -1.5])


def test_a_discounted_penalty_looks_ahead() -> None:
    one = stretch([0.0, -1.0, -1.0], [False, True, True], 0.0)
    # q - ref: 1 and 3; their mean is 2; terms are 1 and -1
    penalize([one], [np.array([0.0, -2.0, -4.0])], 1.0, discount=0.5)
    assert one.advantages == pytest.approx([0, 1 - 0.5, -1])


def test_a_penalty_adds_nothing_to_a_model_like_its_reference() -> None:
    one = stretch([0.0, -0.7, -0.1], [False, True, True], 0.5)
    assert penalize([one], [one.logprobs.copy()], 5.0)["kl_policy_base"] == 0
    assert one.advantages.tolist() == [0, 0.5, 0.5]


def test_the_distance_of_a_step_by_hand() -> None:
    one = stretch([0.0, -1.0, -2.0], [False, True, True], 1.0)
    found = distance([one], [np.array([0.0, -1.2, -1.8])], "kl_pre_post")
    assert found == {
        "kl_pre_post_v1": pytest.approx(0.0, abs=1e-12),
        "kl_pre_post_v2": pytest.approx(0.02),
    }
