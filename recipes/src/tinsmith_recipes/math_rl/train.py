"""Mathematics: a problem is tried several times, and what was right is made likelier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.math_rl import data
from tinsmith_recipes.math_rl.env import MathEnv, SumEnv
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, setting, share
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import (
    Episode,
    RLSettings,
    of_episodes,
    per_mean,
    play_all,
    told,
    train_rl,
)

TOKENS = {"sums": 20, "gsm8k": 350, "math": 700}
SOURCES = {
    "gsm8k": ("openai/gsm8k:main", "openai/gsm8k:main"),
    "math": ("EleutherAI/hendrycks_math:algebra", "HuggingFaceH4/MATH-500"),
}


@chz.chz
class MathRL(RLSettings):
    """Reinforcement learning on problems whose answers can be checked."""

    name: ClassVar[str] = "math_rl"
    summary: ClassVar[str] = "Sharpens mathematics by rewards: sums for nano, GSM8K, MATH."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.6),
        Goal("accuracy", least=0.95),
    )

    steps: int = setting(
        80, "Batches; after forty the nano model gets 95 to 98 % of what it trains on.", least=1
    )
    groups_per_batch: int = setting(
        48, "Problems a step; many different ones teach more than many tries at few.", least=1
    )
    group_size: int = setting(
        8,
        "Tries at each problem; of eight seldom all are wrong, which would teach nothing.",
        least=2,
        most=1024,
    )
    learning_rate: float = setting(
        1.5e-3,
        "The peak rate; the default suits the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    warmup: int = setting(
        5, "Steps in which the rate rises to its peak; the first samples are mostly wrong.", least=0
    )
    loss_fn: Literal["importance_sampling", "ppo", "cispo", "gspo", "dro", "stable_reinforce"] = (
        setting("ppo", "The server's loss; ppo, for the second half of a batch is off-policy.")
    )
    substeps: int = setting(
        2, "Optimizer steps that a batch is split into; two learn faster than one.", least=1
    )
    problems: Literal["sums", "gsm8k", "math"] = setting(
        "sums", "What to learn; sums are generated, the others come from the hub or a file."
    )
    smallest: int = setting(
        10,
        "The smallest first number of a sum; those of one digit are too few to be learnt from "
        "each other.",
        least=0,
        most=998,
    )
    largest: int = setting(98, "The largest first number of a sum.", least=2, most=999)
    added: int = setting(
        2,
        "The largest second number of a sum; the larger it is, the longer the nano model learns.",
        least=1,
        most=999,
    )
    carries: bool = setting(
        False,
        "Whether the units of a sum may reach ten, which takes the nano model several times "
        "as long.",
    )
    held_out: int = setting(50, "Problems that are never trained on, to test with.", least=1)
    source: str | None = setting(
        None, "Another file or hub name for the problems to learn from, in the same columns."
    )
    test_source: str | None = setting(
        None, "Another file or hub name for the problems to test with."
    )

    def estimate(self) -> Estimate:
        """A sum with its answer is about 20 tokens, a solved problem of GSM8K some 350."""
        return self.estimated(TOKENS[self.problems])

    def load(self) -> tuple[list[data.Problem], list[data.Problem]]:
        """The problems to learn from, and those to test with."""
        if self.problems == "sums":
            return data.sums(
                self.largest,
                self.added,
                self.held_out,
                smallest=self.smallest,
                carries=self.carries,
                seed=self.seed,
            )
        read = data.gsm8k if self.problems == "gsm8k" else data.math
        learn_from, test_with = SOURCES[self.problems]
        learn = read(self.source or learn_from, None if self.source else "train")
        test = read(self.test_source or test_with, None if self.test_source else "test")
        test = test[: self.held_out]
        return data.without(learn, test), test

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train on problems; the share of held-out ones answered right, before and after."""
        learn, test = self.load()
        env = SumEnv if self.problems == "sums" else MathEnv
        held_out = [env(problem) for problem in test]

        def environments(step: int) -> Sequence[MathEnv]:
            chosen = batch(learn, self.groups_per_batch, step, run.seed("problems"))
            return [env(problem, tags=(problem.kind,) * bool(problem.kind)) for problem in chosen]

        async def right(sampler: SamplingClient, temperature: float) -> list[bool]:
            episodes = await play_all(run, sampler, held_out, temperature=temperature)
            return [one.outcome.parts["correct"] > 0 for one in episodes]

        async def evaluate() -> dict[str, float]:
            return of_episodes(await play_all(run, run.sampler(), held_out, temperature=0.0))

        async def before() -> list[list[bool]]:
            return [await right(run.base, 0.0), await right(run.base, 1.0)]

        greedy, sampled = await run.once("before", before)
        await train_rl(
            run,
            environments,
            self,
            evaluate=evaluate if self.eval_every else None,
            advantages=per_mean,
        )
        final = run.sampler()
        episodes: list[Episode] = await play_all(run, final, held_out, temperature=0.0)
        run.transcript(self.steps, [told(one, run.tokenizer.decode) for one in episodes], "test")
        return {
            "before": share(greedy),
            "accuracy": share([one.outcome.parts["correct"] > 0 for one in episodes]),
            "before_sampled": share(sampled),
            "accuracy_sampled": share(await right(final, 1.0)),
        }


if __name__ == "__main__":
    main(MathRL)
