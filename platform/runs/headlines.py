"""Which of a run's metrics says best how it goes, and its course in a few points.

Metrics are what programs have recorded, and what the platform has captured (`captures.curves`).

All of it is found by probes of the index over (run, key, step), so that a run's length does not
matter: a list of fifty runs costs the same whether they have a hundred steps or a million.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from captures import curves
from core import database

SPARK_POINTS = 24
MAX_KEYS_LOOKED_AT = 200
Better = Literal["up", "down"]

# the first that fits wins: what a program was rewarded for says more than its loss
_RULES: tuple[tuple[re.Pattern[str], Better], ...] = (
    (re.compile(r"(^|[/_.])reward([/_.](mean|total|all))?$"), "up"),
    (re.compile(r"^test[/_.].*(exact_match|accuracy|reward|win)"), "up"),
    (re.compile(r"exact_match|accuracy|win_rate|reward"), "up"),
    (re.compile(r"^(test|held_out|eval)[/_.].*(nll|loss|perplexity)([:/]\w+)?$"), "down"),
    (re.compile(r"(^|[/_.])(nll|loss|perplexity)([:/]\w+)?$"), "down"),
)


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric from its first to its last step; values that are not finite are None.

    `better` tells which way is good, if known.
    """

    key: str
    first_step: int
    first_value: float | None
    last_step: int
    last_value: float | None
    last_time: datetime
    better: Better | None = None


@dataclass(frozen=True, slots=True)
class Headline:
    """The metric to show of a run where there is room for one; `spark` runs from first to last."""

    key: str
    value: float | None
    first_value: float | None
    better: Better | None
    spark: list[float | None]


_SUMMARIES = f"""
WITH RECURSIVE found(run_id, key, number) AS (
    SELECT asked.run_id,
           (SELECT min(m.key) FROM runs_metric m WHERE m.run_id = asked.run_id), 1
    FROM unnest(%(runs)s::text[]) AS asked(run_id)
    UNION ALL
    SELECT f.run_id,
           (SELECT min(m.key) FROM runs_metric m WHERE m.run_id = f.run_id AND m.key > f.key),
           f.number + 1
    FROM found f WHERE f.key IS NOT NULL AND f.number < {MAX_KEYS_LOOKED_AT}
)
SELECT f.run_id, f.key, a.step AS first_step, a.value AS first_value,
       z.step AS last_step, z.value AS last_value, z.time AS last_time
FROM found f
CROSS JOIN LATERAL (SELECT step, value FROM runs_metric m
                    WHERE m.run_id = f.run_id AND m.key = f.key ORDER BY step LIMIT 1) a
CROSS JOIN LATERAL (SELECT step, value, time FROM runs_metric m
                    WHERE m.run_id = f.run_id AND m.key = f.key ORDER BY step DESC LIMIT 1) z
WHERE f.key IS NOT NULL ORDER BY f.run_id, f.key
"""
# the whole span times a part may be no bigint any more
_SPARKS = f"""
SELECT asked.run_id, array_agg(near.value ORDER BY part)
FROM unnest(%(runs)s::text[], %(keys)s::text[], %(firsts)s::bigint[], %(lasts)s::bigint[])
     AS asked(run_id, key, first, last)
CROSS JOIN generate_series(0, {SPARK_POINTS - 1}) AS part
CROSS JOIN LATERAL (
    SELECT value FROM {{table}} m
    WHERE m.run_id = asked.run_id AND m.key = asked.key
      AND m.step <= asked.first + (asked.last - asked.first) / {SPARK_POINTS - 1} * part
                    + (asked.last - asked.first) %% {SPARK_POINTS - 1} * part / {SPARK_POINTS - 1}
    ORDER BY m.step DESC LIMIT 1) near
GROUP BY asked.run_id
"""


async def summarize(
    conn: database.Connection, run_ids: Sequence[str]
) -> dict[str, list[MetricSummary]]:
    """The metrics of runs by key, of each run the first `MAX_KEYS_LOOKED_AT`."""
    found: dict[str, list[MetricSummary]] = {}
    async with conn.cursor(row_factory=class_row(curves.Ends)) as cursor:
        await cursor.execute(_SUMMARIES, {"runs": list(run_ids)})
        recorded = await cursor.fetchall()
    for ends in (*recorded, *await curves.ends(conn, run_ids)):
        found.setdefault(ends.run_id, []).append(_summary(ends))
    return found


async def of_runs(
    conn: database.Connection, summaries: dict[str, list[MetricSummary]]
) -> dict[str, Headline]:
    """The headline of each run that has metrics."""
    chosen = {run_id: choose(metrics) for run_id, metrics in summaries.items()}
    if not chosen:
        return {}
    of_tables: dict[str, dict[str, MetricSummary]] = {}
    for run_id, metric in chosen.items():
        table = curves.table_of(metric.key, "runs_metric")
        of_tables.setdefault(table, {})[run_id] = metric
    sparks: dict[str, list[float | None]] = {}
    for table, of_table in of_tables.items():
        cursor = await conn.execute(
            _SPARKS.format(table=table),
            {
                "runs": list(of_table),
                "keys": [metric.key for metric in of_table.values()],
                "firsts": [metric.first_step for metric in of_table.values()],
                "lasts": [metric.last_step for metric in of_table.values()],
            },
        )
        for run_id, spark in await cursor.fetchall():
            sparks[run_id] = [_finite(value) for value in spark]
    return {
        run_id: Headline(
            metric.key, metric.last_value, metric.first_value, metric.better, sparks.get(run_id, [])
        )
        for run_id, metric in chosen.items()
    }


def choose(metrics: Iterable[MetricSummary]) -> MetricSummary:
    """The metric that says best how a run goes; of equals the first, which must be there."""
    return min(metrics, key=lambda metric: _place(metric.key))


def better_of(key: str) -> Better | None:
    """Which way is good for a metric of this name; None: nobody can tell by the name."""
    rank = _rank(key)
    return _RULES[rank][1] if rank < len(_RULES) else None


def _place(key: str) -> tuple[bool, bool, int]:
    """What a program has chosen to record goes before what is captured of every run."""
    rank = _rank(key)
    return rank == len(_RULES), key in curves.EXPRESSIONS, rank


def _rank(key: str) -> int:
    found = (place for place, (form, _) in enumerate(_RULES) if form.search(key))
    return next(found, len(_RULES))


def _summary(row: curves.Ends) -> MetricSummary:
    return MetricSummary(
        row.key,
        row.first_step,
        _finite(row.first_value),
        row.last_step,
        _finite(row.last_value),
        row.last_time,
        better_of(row.key),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
