"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["linear", "cosine", "constant"]


def rate(peak: float, step: int, steps: int, schedule: Schedule, warmup: int = 0) -> float:
    """The rate of a step, counted from 0: up in ``warmup`` steps, then down as the schedule says.

    >>> [rate(1.0, step, 4, "linear") for step in range(4)]
    [1.0, 0.75, 0.5, 0.25]
    """
    up = min(1.0, (step + 1) / (warmup + 1))
    done = step / steps
    down = {
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "constant": 1.0,
    }[schedule]
    return peak * up * down
