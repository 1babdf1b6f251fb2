"""Reinforcement learning on the library in few lines: ``python -m tinsmith_recipes.rl_basic``."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

import chz

from tinsmith_recipes.training import Figure, Run, mean, rl, setting
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.command import main


@dataclass(frozen=True)
class Larger(rl.Environment):
    """Which of two numbers is larger?"""

    a: int
    b: int

    async def play(self, policy: rl.Policy) -> rl.Outcome:
        """Ask, and compare."""
        question = f"Which is larger, {self.a} or {self.b}?"
        answer = await policy([{"role": "user", "content": question}])
        return rl.Outcome(float(said(answer) == str(max(self.a, self.b))))


@chz.chz
class RLBasic(rl.RLSettings):
    """Sixteen questions a step, each answered eight times."""

    name: ClassVar[str] = "rl_basic"
    summary: ClassVar[str] = "The least that reinforcement learning takes: which number is larger."
    steps: int = setting(20, "Batches; twenty show it.", least=1)
    groups_per_batch: int = setting(16, "Questions a step; enough for one so easy.", least=1)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train; the mean reward before and after, on questions that are not trained on."""

        def ask(step: int) -> list[Larger]:
            random = Random(run.seed("questions", step))
            return [Larger(*random.sample(range(100), 2)) for _ in range(self.groups_per_batch)]

        async def rewards() -> list[float]:
            return [one.reward for one in await rl.play_all(run, run.sampler(), ask(-1), times=8)]

        before = await run.once("before", rewards)
        await rl.train_rl(run, ask, self)
        return {"before": mean(before), "after": mean(await rewards())}


if __name__ == "__main__":
    main(RLBasic)
