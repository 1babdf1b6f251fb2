"""Supervised fine-tuning: examples in, one optimizer step a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import chz
import numpy as np

from tinsmith import Datum, renderers
from tinsmith_recipes.training.loop import Evaluate, Metrics, train_steps
from tinsmith_recipes.training.optimizer import adam, of_optimizer
from tinsmith_recipes.training.order import batch
from tinsmith_recipes.training.recipe import Recipe, setting
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.schedule import Schedule

Row = TypeVar("Row")


@chz.chz
class Supervision:
    """Steps, batches and rate of training on examples."""

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


@chz.chz
class SupervisedSettings(Supervision, Recipe):
    """The fields of every recipe that trains on examples."""


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
    settings: Supervision,
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

    async def as_they_are(chosen: Sequence[Weighed]) -> Sequence[Weighed]:
        return chosen

    await train_on_ready(run, examples, as_they_are, settings, evaluate=evaluate)


async def train_on_ready(
    run: Run,
    rows: Sequence[Row],
    ready: Callable[[Sequence[Row]], Awaitable[Sequence[Weighed]]],
    settings: Supervision,
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """``train_supervised`` on rows that become examples only when their step has come.

    Args:
        ready: makes a step's rows the examples to train on, while the step before is trained.
    """

    async def submit(step: int) -> Coroutine[Any, Any, Metrics]:
        chosen = await ready(batch(rows, settings.batch_size, step, run.seed("examples")))
        params = adam(settings, step)
        data = [one.datum for one in chosen]
        passed = run.training.forward_backward(data, "cross_entropy")
        stepped = run.training.optim_step(params)
        tokens = sum(datum.model_input.length for datum in data)
        run.tokens += tokens

        async def metrics() -> Metrics:
            outputs = (await passed).loss_fn_outputs
            found = (await stepped).metrics or {}
            trained = sum(one.trained for one in chosen)
            return {
                **losses_of(data, [one["logprobs"].to_numpy() for one in outputs]),
                "num_sequences": len(data),
                "num_tokens": tokens,
                "num_loss_tokens": trained,
                "learning_rate": params.learning_rate,
                "epoch": (step + 1) * settings.batch_size / len(rows),
                "progress": (step + 1) / settings.steps,
                **of_optimizer([found]),
            }

        return metrics()

    await train_steps(run, settings.steps, submit, evaluate=evaluate)


async def held_out_nll(run: Run, examples: Sequence[Weighed]) -> float:
    """Mean negative log-likelihood of the trained tokens of examples, no gradient."""
    return _nll([one.datum for one in examples], await _forwarded(run, examples))


async def held_out_nlls(run: Run, examples: Sequence[Weighed]) -> list[float]:
    """The same of each example by itself, for an interval."""
    found = await _forwarded(run, examples)
    return [_nll([one.datum], [here]) for one, here in zip(examples, found, strict=True)]


async def _forwarded(run: Run, examples: Sequence[Weighed]) -> list[np.ndarray[Any, Any]]:
    """Logprobs of every example's targets."""
    data = [one.datum for one in examples]
    outputs = (await run.training.forward(data, "cross_entropy")).loss_fn_outputs
    return [one["logprobs"].to_numpy() for one in outputs]


def losses_of(data: Sequence[Datum], logprobs: Sequence[np.ndarray[Any, Any]]) -> Metrics:
    """The negative log-likelihood and, where a position has several targets, how much of it is
    no uncertainty of the teacher's: the KL divergence from its probabilities."""
    nll = _nll(data, logprobs)
    if logprobs[0].ndim == 1:
        return {"train_mean_nll": nll}
    least = _nll(data, [_log_shares(datum) for datum in data])
    return {"train_mean_nll": nll, "teacher_kl": nll - least}


def _nll(data: Sequence[Datum], logprobs: Sequence[np.ndarray[Any, Any]]) -> float:
    """Negative log-likelihood a trained position, in nats; targets count by their weights."""
    lost, count = 0.0, 0
    for datum, found in zip(data, logprobs, strict=True):
        shares = _shares(datum)
        lost -= float((shares * found.reshape(shares.shape)).sum())
        count += int((shares.sum(-1) > 0).sum())
    return lost / count


def _shares(datum: Datum) -> np.ndarray[Any, Any]:
    """[N, K]: the part of each target in its position's weight; 0 where there is none."""
    weights = datum.loss_fn_inputs["weights"].to_numpy()
    table = weights.reshape(len(weights), -1)
    total = table.sum(-1, keepdims=True)
    shares: np.ndarray[Any, Any] = table / np.where(total > 0, total, 1)
    return shares


def _log_shares(datum: Datum) -> np.ndarray[Any, Any]:
    shares = _shares(datum)
    found: np.ndarray[Any, Any] = np.log(np.where(shares > 0, shares, 1))
    return found
