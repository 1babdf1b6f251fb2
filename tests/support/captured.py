"""Steps and datums of runs, captured as workers do."""

from __future__ import annotations

from typing import Any

from captures import keeping, services
from tests.support.by_worker import by_worker


def datum(run: str, step: int, place: int, **changes: Any) -> services.Datum:
    """A row of four tokens, two of them trained."""
    row: dict[str, Any] = {
        "seq": 2 * step + 1,
        "loss_fn": "cross_entropy",
        "tokens": 4,
        "trained_tokens": 2,
        "loss": 3.0,
        "logprob": -1.5,
        "sampled_logprob": None,
        "advantage": None,
        "hash": 100 * step + place,
        "prompt_hash": place,
    }
    return services.Datum(run, step, place=place, **{**row, **changes})


def step(run: str, number: int, **changes: Any) -> services.Step:
    """A row of a step of two datums."""
    row: dict[str, Any] = {"tokens": 8, "trained_tokens": 4, "loss_sum": 6.0, "grad_norm": 0.5}
    first, last = 2 * number + 1, 2 * number + 2
    return services.Step(run, number, first, last, "cross_entropy", 1, 2, **{**row, **changes})


async def write(
    steps: list[services.Step], datums: list[services.Datum], *kept: keeping.Kept
) -> None:
    """Write as workers do."""
    await by_worker(lambda conn: services.write(conn, steps=steps, datums=datums, kept=kept))


async def capture(run: str) -> None:
    """A step with one datum."""
    await write([step(run, 0)], [datum(run, 0, 0)])
