"""What every loop's optimizer step has in common: its settings, and its metrics' names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from tinsmith import AdamParams
from tinsmith_recipes.training.schedule import Schedule, rate

EPS = 1e-8


class Paced(Protocol):
    """Settings that say how fast a run learns; the fields are those of the recipes."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def schedule(self) -> Schedule: ...
    @property
    def warmup(self) -> int: ...
    @property
    def grad_clip(self) -> float: ...


def adam(settings: Paced, step: int) -> AdamParams:
    """The optimizer's settings in a step, counted from 0."""
    now = rate(settings.learning_rate, step, settings.steps, settings.schedule, settings.warmup)
    return AdamParams(learning_rate=now, eps=EPS, grad_clip_norm=settings.grad_clip)


def of_optimizer(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of a step's optimizer steps, ``optim/…``, averaged over them."""
    return {
        f"optim/{name.partition(':')[0]}": math.fsum(one[name] for one in steps) / len(steps)
        for name in (steps[0] if steps else ())
    }
