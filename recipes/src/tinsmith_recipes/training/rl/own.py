"""``learn``: reinforcement learning on environments of one's own, without a recipe around them."""

from __future__ import annotations

from typing import Any, ClassVar

import chz

from tinsmith_recipes.training.figures import Figure, exact
from tinsmith_recipes.training.folder import Summary
from tinsmith_recipes.training.rl.loop import Environments, train_rl
from tinsmith_recipes.training.rl.settings import RLSettings
from tinsmith_recipes.training.run import Run

REWARD = "env/all/reward/total"


async def learn(environments: Environments, **settings: Any) -> Summary:
    """Train on environments; what came of it. Called again, it goes on where it was killed.

    Args:
        environments: gives those of a step, ``groups_per_batch`` of them, the same for the same
            step.
        settings: of ``RLSettings``, e.g. ``steps=20, log_path="runs/mine"``.

    Raises:
        ValueError: settings that do not fit; every episode of a step failed.
    """

    @chz.chz
    class OwnRL(RLSettings):
        name: ClassVar[str] = "own_rl"
        summary: ClassVar[str] = "Learns from rewards in environments of one's own."

        async def train(self, run: Run) -> dict[str, Figure]:
            await train_rl(run, environments, self)
            rewards = [row[REWARD] for row in run.folder.metrics if REWARD in row]
            return {"first_reward": exact(rewards[0]), "last_reward": exact(rewards[-1])}

    return await OwnRL(**settings).run()
