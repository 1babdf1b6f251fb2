"""What a run's headline metric said at the moment of each save: which checkpoint is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core import database
from runs import headlines
from runs.headlines import Better

# the last finite word of the metric up to the step of the save: a probe of the index each
_VALUES = """
SELECT asked.run_id, asked.step, near.value
FROM unnest(%(runs)s::text[], %(keys)s::text[], %(steps)s::bigint[]) AS asked(run_id, key, step)
CROSS JOIN LATERAL (
    SELECT value FROM runs_metric m
    WHERE m.run_id = asked.run_id AND m.key = asked.key AND m.step <= asked.step
    ORDER BY m.step DESC LIMIT 1) near
"""


@dataclass(frozen=True, slots=True)
class Score:
    """The headline metric at a step; `better` tells which way is good, if known."""

    key: str
    value: float
    better: Better | None


async def at_steps(moments: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Score]:
    """The score of runs at steps; nothing of those that have no metric, or none that is finite."""
    if not moments:
        return {}
    async with database.connection() as conn:
        summaries = await headlines.summarize(conn, list({run for run, _ in moments}))
        chosen = {run: headlines.choose(metrics) for run, metrics in summaries.items()}
        asked = [moment for moment in set(moments) if moment[0] in chosen]
        cursor = await conn.execute(
            _VALUES,
            {
                "runs": [run for run, _ in asked],
                "keys": [chosen[run].key for run, _ in asked],
                "steps": [step for _, step in asked],
            },
        )
        rows = await cursor.fetchall()
    return {
        (run, step): Score(chosen[run].key, value, chosen[run].better)
        for run, step, value in rows
        if math.isfinite(value)
    }
