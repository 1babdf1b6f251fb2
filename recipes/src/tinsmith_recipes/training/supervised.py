"""Supervised fine-tuning: examples in, one optimizer step a batch."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import chz
import numpy as np

from tinsmith import AdamParams, Datum, renderers
from tinsmith_recipes.training.loop import Evaluate, Metrics, train_steps
from tinsmith_recipes.training.order import batch
from tinsmith_recipes.training.recipe import Recipe, setting
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.schedule import Schedule, rate


@chz.chz
class SupervisedSettings(Recipe):
    """The fields of every recipe that trains on examples."""

    steps: int = setting(
        100, "Optimizer steps; a hundred is the least that most data needs.", least=1
    )
    batch_size: int = setting(
        32, "Examples a step; doubling it wants a rate higher by about the root of 2.", least=1
    )
    learning_rate: float = setting(
        5e-3,
        "The peak rate; the default suits the nano model, `get_lr` computes it for others.",
        least=0,
        most=1,
    )
    schedule: Schedule = setting(
        "linear", "How the rate falls: linear to nothing is best for runs of a known length."
    )
    warmup: int = setting(
        0, "Steps in which the rate rises to its peak; few are needed with LoRA.", least=0
    )
    reduction: Literal["mean", "sum"] = setting(
        "mean",
        "mean weighs every example alike, sum every token; mean keeps long answers from "
        "drowning short ones.",
    )
    grad_clip: float = setting(
        0.0, "Norm that a gradient is scaled down to; 0 leaves it as it is.", least=0
    )


@dataclass(frozen=True)
class Weighed:
    """An example ready to be sent, and how many of its tokens are trained."""

    datum: Datum
    trained: int

    @classmethod
    def of(cls, example: renderers.Example, reduction: str) -> Weighed:
        """The datum of a rendered example, its weights divided by their sum for ``mean``.

        Raises:
            ValueError: no token of it has weight.
        """
        total = sum(example.weights[1:])
        if total == 0:
            raise ValueError("no token of this example has weight, so nothing is learnt from it")
        scale = 1 / total if reduction == "mean" else 1.0
        weights = [scale * weight for weight in example.weights]
        trained = sum(weight > 0 for weight in example.weights[1:])
        return cls(Datum.from_tokens(example.tokens, weights=weights), trained)


async def train_supervised(
    run: Run,
    examples: Sequence[Weighed],
    settings: SupervisedSettings,
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """Train on examples, every one once before any comes again.

    Args:
        run: what is trained.
        examples: as ``Weighed.of`` makes them.
        settings: steps, batch, rate.
        evaluate: metrics of held-out data, see ``train_steps``.
    """

    async def submit(step: int) -> Coroutine[Any, Any, Metrics]:
        chosen = batch(examples, settings.batch_size, step, run.seed("examples"))
        peak, steps = settings.learning_rate, settings.steps
        step_rate = rate(peak, step, steps, settings.schedule, settings.warmup)
        data = [one.datum for one in chosen]
        passed = run.training.forward_backward(data, "cross_entropy")
        stepped = run.training.optim_step(
            AdamParams(learning_rate=step_rate, eps=1e-8, grad_clip_norm=settings.grad_clip)
        )
        tokens = sum(datum.model_input.length for datum in data)
        run.tokens += tokens

        async def metrics() -> Metrics:
            outputs = (await passed).loss_fn_outputs
            found = (await stepped).metrics or {}
            trained = sum(one.trained for one in chosen)
            return {
                "train_mean_nll": _nll(data, [one["logprobs"].to_numpy() for one in outputs]),
                "num_sequences": len(data),
                "num_tokens": tokens,
                "num_loss_tokens": trained,
                "learning_rate": step_rate,
                "epoch": (step + 1) * settings.batch_size / len(examples),
                "progress": (step + 1) / steps,
                **{f"optim/{name.partition(':')[0]}": value for name, value in found.items()},
            }

        return metrics()

    await train_steps(run, settings.steps, submit, evaluate=evaluate)


async def held_out_nll(run: Run, examples: Sequence[Weighed]) -> float:
    """Mean negative log-likelihood of the trained tokens of examples, no gradient."""
    data = [one.datum for one in examples]
    outputs = (await run.training.forward(data, "cross_entropy")).loss_fn_outputs
    return _nll(data, [one["logprobs"].to_numpy() for one in outputs])


def _nll(data: Sequence[Datum], logprobs: Sequence[np.ndarray[Any, Any]]) -> float:
    """Negative log-likelihood a trained token, in nats."""
    trained = [datum.loss_fn_inputs["weights"].to_numpy() > 0 for datum in data]
    lost = sum(float(-found[here].sum()) for found, here in zip(logprobs, trained, strict=True))
    return lost / sum(int(here.sum()) for here in trained)
