"""Training on pairs of answers, one optimizer step a batch."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import chz

from tinsmith_recipes.training.loop import Evaluate, Metrics, train_steps
from tinsmith_recipes.training.optimizer import adam, of_optimizer
from tinsmith_recipes.training.order import batch
from tinsmith_recipes.training.preference.losses import PairLoss
from tinsmith_recipes.training.preference.pairs import Pair, check_pairs
from tinsmith_recipes.training.recipe import Recipe, setting
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.schedule import Schedule


@chz.chz
class Comparing:
    """Steps, batches and rate of training on pairs of answers."""

    steps: int = setting(
        100, "Optimizer steps; a hundred is the least that most data needs.", least=1
    )
    batch_size: int = setting(
        8, "Pairs a step; doubling it wants a rate higher by about the root of 2.", least=1
    )
    learning_rate: float = setting(
        2e-3,
        "The peak rate; the default suits the nano model, larger models want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    schedule: Schedule = setting(
        "linear", "How the rate falls: linear to nothing is best for runs of a known length."
    )
    warmup: int = setting(5, "Steps in which the rate rises to its peak.", least=0)
    grad_clip: float = setting(
        0.0, "Norm that a gradient is scaled down to; 0 leaves it as it is.", least=0
    )


@chz.chz
class PairSettings(Comparing, Recipe):
    """The fields of every recipe that trains on pairs of answers."""


async def train_pairs(
    run: Run,
    pairs: Sequence[Pair],
    settings: Comparing,
    loss: PairLoss,
    *,
    evaluate: Evaluate | None = None,
    headline: str = "accuracy",
) -> None:
    """Train on pairs, every one once before any comes again.

    Args:
        run: what is trained.
        pairs: see ``check_pairs``.
        settings: steps, batch, rate.
        loss: ``bradley_terry`` or a ``DPO``.
        evaluate: metrics of held-out pairs, see ``train_steps``.
        headline: the metric that the progress bar shows.
    """
    check_pairs(pairs)
    if len({pair.chosen for pair in pairs}) == 1:
        run.advise(
            "every chosen answer is the same: the model will learn to say it, whatever it is asked"
        )

    async def submit(step: int) -> Coroutine[Any, Any, Metrics]:
        chosen = batch(pairs, settings.batch_size, step, run.seed("pairs"))
        params = adam(settings, step)
        passed = await loss(run.training, chosen)
        stepped = run.training.optim_step(params)
        tokens = sum(pair.tokens for pair in chosen)
        run.tokens += tokens

        async def metrics() -> Metrics:
            found = await passed
            optim = (await stepped).metrics or {}
            return {
                **found,
                "num_tokens": tokens,
                "learning_rate": params.learning_rate,
                "epoch": (step + 1) * settings.batch_size / len(pairs),
                "progress": (step + 1) / settings.steps,
                **of_optimizer([optim]),
            }

        return metrics()

    await train_steps(run, settings.steps, submit, evaluate=evaluate, headline=headline)
