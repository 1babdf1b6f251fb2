"""What was captured of steps, as metrics: the keys under which pages and programs find them.

A key stands for an expression over `StepStat`. Programs cannot record metrics of these names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core import database

PREFIX = "engine/"

# name → expression over the row; None as a value is no point of the curve
_EXPRESSIONS = {
    "loss": "loss_sum / nullif(trained_tokens, 0)",
    "loss_sum": "loss_sum",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "datums": "datums",
    "tokens": "tokens",
    "trained_tokens": "trained_tokens",
    "trained_share": "trained_tokens::float8 / nullif(tokens, 0)",
    "seconds": "seconds",
    "tokens_per_second": "tokens / nullif(seconds, 0)",
    "kl_sample_train_v1": "kl_v1",
    "kl_sample_train_v2": "kl_v2",
    "entropy": "entropy",
    "ratio_p50": "ratio_p50",
    "ratio_p99": "ratio_p99",
    "clipped_share": "clipped_share",
    "constant_share": "constant_share",
    "mixed_share": "mixed_share",
    "groups": "groups",
    "length_mean": "length_mean",
    "length_max": "length_max",
    "pair_loss": "pair_loss",
    "accuracy": "accuracy",
    "margin": "margin",
    "chosen": "chosen",
    "rejected": "rejected",
}
EXPRESSIONS = {f"{PREFIX}{name}": f"({sql})::float8" for name, sql in _EXPRESSIONS.items()}
"""Key → SQL."""

_ENDS = f"""
SELECT asked.run_id, ends.step, ends.time, {", ".join(EXPRESSIONS.values())}
FROM unnest(%(runs)s::text[]) AS asked(run_id)
CROSS JOIN LATERAL (
    (SELECT * FROM captures_stepstat c WHERE c.run_id = asked.run_id ORDER BY step LIMIT 1)
    UNION ALL
    (SELECT * FROM captures_stepstat c WHERE c.run_id = asked.run_id ORDER BY step DESC LIMIT 1)
) ends
ORDER BY asked.run_id, ends.step
"""


@dataclass(frozen=True, slots=True)
class Ends:
    """A metric at a run's first step and at its last."""

    run_id: str
    key: str
    first_step: int
    first_value: float | None
    last_step: int
    last_value: float | None
    last_time: datetime


def table_of(key: str, recorded: str) -> str:
    """Where a metric's points are: in the table of what programs recorded, or captured.

    What is captured has the columns of the other that are read: run, team, key, step, value, time.
    """
    value = EXPRESSIONS.get(key)
    if value is None:
        return recorded
    # our own words, without a quote in them
    return f"""
        (SELECT run_id, team_id, '{key}'::text AS key, step, {value} AS value, time
         FROM captures_stepstat WHERE {value} IS NOT NULL)
    """


async def ends(conn: database.Connection, run_ids: Sequence[str]) -> list[Ends]:
    """What was captured of runs, by run and key; metrics that neither end has are left out."""
    rows = await (await conn.execute(_ENDS, {"runs": list(run_ids)})).fetchall()
    firsts: dict[str, Any] = {}
    lasts: dict[str, Any] = {}
    for run_id, *rest in rows:
        firsts.setdefault(run_id, rest)
        lasts[run_id] = rest
    found = []
    for run_id, (first_step, _, *first) in firsts.items():
        last_step, last_time, *last = lasts[run_id]
        for key, before, after in zip(EXPRESSIONS, first, last, strict=True):
            if before is not None or after is not None:
                found.append(Ends(run_id, key, first_step, before, last_step, after, last_time))
    return found
