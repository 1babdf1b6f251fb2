"""Direct preference optimization: pairs of answers in, a model that prefers the chosen ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import chz

from tinsmith_recipes.preference.data import PairData, pairs_of
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, mean, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.preference import (
    DPO,
    Pair,
    PairSettings,
    Reference,
    likelihoods,
    preferred,
    train_pairs,
)
from tinsmith_recipes.training.preference.judging import Both

TOKENS_A_PAIR = 120
SHOWN = 16

Row = dict[str, Any]


@chz.chz
class PreferenceDPO(PairSettings, PairData):
    """Direct preference optimization on pairs of answers."""

    name: ClassVar[str] = "preference.dpo"
    summary: ClassVar[str] = "Teaches a preference from pairs of answers, without a reward model."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.6),
        Goal("preferred", least=0.9),
    )

    beta: float = setting(
        0.1,
        "How dear it is to move away from the reference; 0.1 is usual, more keeps closer to it.",
        least=1e-4,
        most=100,
    )
    start_from: str | None = setting(
        None,
        "A tinker:// address of weights to begin from, which are the reference then; by default "
        "the base model.",
    )
    loss_on: Literal["server", "client"] = setting(
        "server", "Who computes the loss: the server in one pass, or this program after another."
    )

    def estimate(self) -> Estimate:
        """A pair of the built-in ones is about 120 tokens, and 60 of a reference's."""
        return Estimate(self.steps, self.steps * self.batch_size * TOKENS_A_PAIR)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train on pairs; how many held-out ones the model gets right, before and after."""
        learn, tested = pairs_of(self, run)
        run.begin_from(self.start_from)
        begun = await self._begun(run)
        reference = run.base if begun is None else run.service.create_sampling_client(begun)
        loss = DPO(self.beta, begun, "server")
        if self.loss_on == "client":
            loss = DPO(self.beta, Reference(reference), "client")

        async def before() -> list[Both]:
            return await likelihoods(reference, tested)

        async def after() -> list[Both]:
            return await likelihoods(run.sampler(), tested)

        async def evaluate() -> dict[str, float]:
            return {"test/preferred": preferred(await after()).value}

        was = await run.once("before", before)
        await train_pairs(run, learn, self, loss, evaluate=evaluate if self.eval_every else None)
        now = await run.once("after", after)
        rewards = [
            [self.beta * (new - old) for new, old in zip(*both, strict=True)]
            for both in zip(now, was, strict=True)
        ]
        run.transcript(self.steps, _shown(run, tested, rewards))
        return {
            "before": preferred(was),
            "preferred": preferred(now),
            "accuracy": preferred(rewards),
            "margin": mean([chosen - rejected for chosen, rejected in rewards]),
        }

    async def _begun(self, run: Run) -> str | None:
        """The weights that the run begins with; kept, since those of a run that goes on differ."""
        if self.start_from is None:
            return None

        async def keep() -> str:
            return (await run.training.save_weights_for_sampler("reference")).path

        path: str = await run.once("reference", keep)
        return path


def _shown(run: Run, pairs: Sequence[Pair], rewards: Sequence[Sequence[float]]) -> list[Row]:
    """Some held-out pairs, for a transcript."""

    def text(tokens: Sequence[int]) -> str:
        return str(run.tokenizer.decode(tokens))

    return [
        {
            "messages": [
                {"role": "prompt", "content": text(pair.prompt)},
                {"role": "chosen", "content": text(pair.chosen)},
                {"role": "rejected", "content": text(pair.rejected)},
            ],
            "reward": chosen - rejected,
            "note": "chosen above rejected" if chosen > rejected else "rejected above chosen",
        }
        for pair, (chosen, rejected) in list(zip(pairs, rewards, strict=True))[:SHOWN]
    ]


if __name__ == "__main__":
    main(PreferenceDPO)
