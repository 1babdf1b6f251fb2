"""What an episode is worth: its reward beside those of the others of its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinsmith_recipes.training.rl.policy import Array

Advantages = Callable[[Sequence[float]], Array]
"""Of the rewards of a group, [G]: what each episode of it is worth, [G]."""


def centred(rewards: Sequence[float]) -> Array:
    """Reward minus the group's mean. Not divided by its spread: easy groups would count too much.

    >>> centred([1.0, 0.0, 0.0, 1.0]).tolist()
    [0.5, -0.5, -0.5, 0.5]
    """
    given = np.asarray(rewards, dtype=np.float64)
    return np.asarray(given - given.mean())


def normalised(rewards: Sequence[float]) -> Array:
    """Reward minus the mean, divided by the standard deviation, as GRPO's paper has it.

    >>> normalised([3.0, 1.0]).round(3).tolist()
    [1.0, -1.0]
    """
    apart = centred(rewards)
    spread = float(apart.std())
    return apart / spread if spread > 0 else apart


def leave_one_out(rewards: Sequence[float]) -> Array:
    """Reward minus the mean of the others of its group.

    >>> leave_one_out([1.0, 0.0, 0.0]).tolist()
    [1.0, -0.5, -0.5]
    """
    return centred(rewards) * len(rewards) / (len(rewards) - 1)


def per_mean(rewards: Sequence[float]) -> Array:
    """Reward minus the mean, divided by the mean: of rewards 0 and 1, the rarer a success the more.

    What one of eight got right counts as much as what all but one did, as in maximum likelihood;
    with ``centred`` hard problems hardly count and are lost. The mean is taken to be one success
    of the group at least.

    >>> per_mean([1.0, 0.0, 0.0, 0.0]).tolist()
    [3.0, -1.0, -1.0, -1.0]
    """
    middle = max(float(np.mean(rewards)), 1 / len(rewards))
    return centred(rewards) / middle
