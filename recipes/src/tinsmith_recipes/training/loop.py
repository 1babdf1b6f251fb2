"""The loop under all training: hand a step in, save and evaluate where it is time, go on.

A step is handed in before the last one's results are awaited, so that the server never waits for
us. A row of metrics is written before the checkpoint that holds its step: a run that goes on from
a checkpoint has all that came before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tinsmith_recipes.training.folder import Checkpoint
from tinsmith_recipes.training.run import Run

Metrics = dict[str, float]
Submit = Callable[[int], Awaitable[Coroutine[Any, Any, Metrics]]]
"""``await submit(step)`` hands a step in; what it gives is awaited for the step's metrics."""
Evaluate = Callable[[], Awaitable[Metrics]]
"""Metrics of the weights as they are after all that was handed in."""
FEW_STEPS = 100
SAVE_WITHIN_S = 120.0


class Stop(Exception):
    """Ends the training early, in good order; its text says why."""


@dataclass
class _HandedIn:
    step: int
    metrics: asyncio.Task[Metrics]
    saving: asyncio.Task[Checkpoint] | None


async def train_steps(
    run: Run,
    steps: int,
    submit: Submit,
    *,
    evaluate: Evaluate | None = None,
    headline: str = "train_mean_nll",
) -> None:
    """Train up to ``steps`` optimizer steps, beginning where the run's last checkpoint ended.

    Args:
        run: what is trained.
        steps: how many steps the run has in all.
        submit: hands in one step. Once it has handed in a first request of a step it waits for
            nothing until all are: a run that is interrupted is then never between them.
        evaluate: called every ``eval_every`` steps and after the last, its metrics logged.
        headline: the metric that the progress bar shows.

    A ``Stop`` from ``submit``, a step's metrics or ``evaluate`` ends it early. When it is
    cancelled, as Ctrl-C does, the state is saved first.
    """
    if 0 < steps < FEW_STEPS:
        run.advise(
            f"{steps} steps are few: most recipes settle within {FEW_STEPS} steps or more, and a "
            "learning rate that suits a long run may be too low for a short one"
        )
    progress = run.show_progress(steps, headline)
    handed_in: deque[_HandedIn] = deque()

    async def settle(but: int = 0) -> None:
        """Wait for what was handed in, all but the last ``but`` steps, and write it down."""
        while len(handed_in) > but:
            first = handed_in[0]
            metrics = await asyncio.shield(first.metrics)
            saved = await asyncio.shield(first.saving) if first.saving else None
            handed_in.popleft()
            run.log(first.step, metrics)
            run.steps_done = first.step + 1
            progress.step(first.step + 1, metrics)
            if saved is not None:
                run.keep(saved)

    async def steps_one_by_one() -> None:
        for step in range(run.start, steps):
            if evaluate is not None and run.evaluates_before(step):
                await settle()
                run.log(step, await evaluate())
            metrics = asyncio.ensure_future(await submit(step))
            saving = run.save(step + 1) if run.saves_after(step + 1, steps) else None
            handed_in.append(_HandedIn(step, metrics, saving))
            await settle(but=1)
        await settle()
        if evaluate is not None:
            run.log(steps, await evaluate())

    try:
        await steps_one_by_one()
    except Stop as stop:
        run.stopped = str(stop)
        run.advise(f"stopped: {stop}")
        with suppress(Stop):  # what was handed in is in the weights
            await settle()
    except asyncio.CancelledError:
        await _save_on_the_way_out(run, handed_in, settle)
        raise
    finally:
        for left in handed_in:
            left.metrics.cancel()
        progress.close()


async def _save_on_the_way_out(
    run: Run, handed_in: deque[_HandedIn], settle: Callable[[], Awaitable[None]]
) -> None:
    """Save what has been handed in; the same command goes on from there."""
    if not handed_in:
        return
    try:
        async with asyncio.timeout(SAVE_WITHIN_S):
            last = handed_in[-1]
            last.saving = last.saving or run.save(last.step + 1)
            await settle()
    except Exception as error:
        run.advise(f"the state could not be saved on the way out: {error}")
