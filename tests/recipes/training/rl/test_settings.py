"""Settings that do not fit are refused before anything runs, with what would."""

from __future__ import annotations

from typing import Any

import pytest

from tinsmith_recipes.math_rl.train import MathRL
from tinsmith_recipes.training import read


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"substeps": 2, "minibatches": 2}, "cannot both be above 1"),
        ({"groups_per_batch": 2, "substeps": 3}, "has no 3 parts"),
        ({"kl_reference": "tinker://a:train:0/sampler_weights/b"}, "no use with kl_penalty=0"),
        ({"loss_fn": "ppo", "loss_config": "clip_hihg_threshold=2"}, "did you mean clip_high_thr"),
        ({"loss_fn": "importance_sampling", "loss_config": "beta=1"}, "it has none"),
        ({"loss_fn": "ppo", "loss_config": "clip_low_threshold=low"}, "must be a number"),
        ({"group_size": 1}, "out of range"),
    ],
)
def test_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MathRL(**given)
    with pytest.raises(ValueError, match=words):
        read(MathRL, [f"{name}={value}" for name, value in given.items()])


def test_settings_of_a_loss_are_passed_on() -> None:
    recipe = MathRL(loss_fn="ppo", loss_config="clip_low_threshold=0.7, clip_high_threshold=1.5")
    assert recipe.loss_settings == {"clip_low_threshold": 0.7, "clip_high_threshold": 1.5}
    assert MathRL().loss_settings == {}


def test_an_estimate_counts_episodes() -> None:
    short = MathRL(steps=10, groups_per_batch=4, group_size=2).estimate()
    assert (short.steps, short.tokens) == (10, 2 * 10 * 4 * 2 * 20)
