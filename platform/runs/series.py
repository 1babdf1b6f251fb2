"""The course of a metric over a run, in as many buckets as a screen has room for.

Every bucket keeps the least, the greatest and the last value, so that no spike is lost; smoothing
is done over all points before. A metric comes from PostgreSQL as three columns of bytes, which is
what lets a hundred thousand points open at once. One metric is read and bucketed before the next
is, and all that are asked for together share a number of points, so that no question fills the
memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from accounts.actors import Actor
from captures import curves
from core import database

Axis = Literal["step", "time"]
# of all metrics that are asked for at once
MOST_POINTS = 2_000_000
# a number of so many digits is as good as exact on any screen
DIGITS = 9
# smoothed at once: of so many points a matrix has the weights
BLOCK = 64
# so far back the weight of a value is as good as none, whatever the smoothing (0.999 at most)
FAR = 50_000

# sorted once: the aggregates take the rows as they come
_POINTS = """
SELECT string_agg(int8send(step), ''::bytea) AS steps,
       string_agg(float8send(value), ''::bytea) AS numbers,
       string_agg(float8send(date_part('epoch', time)), ''::bytea) AS times
FROM (SELECT step, value, time FROM (
          SELECT step, value, time FROM {table} recorded
          WHERE run_id = %(run)s AND team_id = %(team)s AND key = %(key)s
            AND step >= %(first)s AND step <= %(last)s
          ORDER BY step DESC LIMIT %(most)s) newest
      ORDER BY step) points
"""


@dataclass(frozen=True, slots=True)
class Points:
    """A metric as it was recorded, by step: int64 steps, float64 values and times (epoch, s).

    `cut`: there are older ones.
    """

    key: str
    steps: np.ndarray
    values: np.ndarray
    times: np.ndarray
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A metric in buckets along `x`: steps, or seconds since the epoch.

    Attributes:
        x, steps: of each bucket's last point.
        least, greatest, last: of its finite values; None where it has none.
        smooth: of its last point, after smoothing over all points; empty without smoothing.
        total: points in all; not_finite: how many of them are nan or infinite.
        cut: whether older points were left out, because there are more than anybody can read.
    """

    key: str
    x: list[float]
    steps: list[int]
    least: list[float | None]
    greatest: list[float | None]
    last: list[float | None]
    smooth: list[float | None]
    total: int
    not_finite: int
    cut: bool


async def read(
    *,
    actor: Actor,
    run_id: str,
    keys: Sequence[str],
    first_step: int,
    last_step: int,
    axis: Axis,
    buckets: int,
    smoothing: float,
) -> list[Series]:
    """Some metrics of a run of the actor's team between two steps, in buckets (see `bucket`).

    Of `MOST_POINTS` each has its share, and what those before it have left over.
    """
    found: list[Series] = []
    left = MOST_POINTS
    for place, key in enumerate(keys):
        values = {"run": run_id, "team": actor.team_id, "key": key}
        values |= {"first": first_step, "last": last_step}
        points = await _read_points(values, key, most=left // (len(keys) - place))
        left -= points.steps.size
        # the event loop has others to serve meanwhile, and so has the connection
        found.append(
            await asyncio.to_thread(bucket, points, axis=axis, buckets=buckets, smoothing=smoothing)
        )
    return found


async def _read_points(values: dict[str, Any], key: str, most: int) -> Points:
    """The newest points of a metric, whoever has recorded it."""
    statement = _POINTS.format(table=curves.table_of(key, "runs_metric"))
    async with database.connection() as conn:
        cursor = await conn.execute(statement, values | {"most": most + 1}, binary=True)
        row = await cursor.fetchone()
    assert row is not None
    steps, numbers, times = (column or b"" for column in row)
    cut = len(steps) // 8 > most
    first = 8 if cut else 0
    return Points(
        key,
        np.frombuffer(steps, ">i8", offset=first).astype(np.int64),
        np.frombuffer(numbers, ">f8", offset=first).astype(np.float64),
        np.frombuffer(times, ">f8", offset=first).astype(np.float64),
        cut,
    )


def bucket(points: Points, *, axis: Axis, buckets: int, smoothing: float) -> Series:
    """A metric in at most so many buckets of equal width.

    Args:
        smoothing: weight of what was before, from 0 (none) to below 1.
    """
    x = points.times if axis == "time" else points.steps.astype(np.float64)
    values, steps = points.values, points.steps
    if axis == "time" and x.size and np.any(np.diff(x) < 0):
        order = np.argsort(x, kind="stable")
        x, values, steps = x[order], values[order], steps[order]
    smooth = smoothed(values, smoothing) if smoothing else np.empty(0)
    finite = np.isfinite(values)
    starts = _starts(x, buckets)
    ends = np.append(starts[1:], x.size) - 1 if x.size else starts.astype(np.int64)
    return Series(
        key=points.key,
        x=x[ends].tolist(),
        steps=steps[ends].tolist(),
        least=_reduced(np.minimum, np.where(finite, values, np.inf), starts),
        greatest=_reduced(np.maximum, np.where(finite, values, -np.inf), starts),
        last=_shown(_last_finite(values, finite, starts)),
        smooth=_shown(smooth[ends]) if smooth.size else [],
        total=int(x.size),
        not_finite=int(x.size - finite.sum()),
        cut=points.cut,
    )


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """The moving average with exponentially falling weights, without a pull towards zero.

    A constant stays constant, and values that are not finite are passed over.
    """
    finite = np.isfinite(values)
    good = values[finite]
    norms = np.full(good.size, 1 / (1 - weight))
    norms[:FAR] *= 1 - weight ** np.arange(1, min(good.size, FAR) + 1)
    # before the first finite value there is none
    means = np.concatenate(([np.nan], _weighted_sums(good, weight) / norms))
    return means[np.cumsum(finite)]


def _weighted_sums(values: np.ndarray, weight: float) -> np.ndarray:
    """Of each place the sum of the values up to it, each `weight` times less than the next.

    Block by block: a loop over single values would keep Python's other threads waiting.
    """
    blocks = np.zeros((-(-values.size // BLOCK), BLOCK))
    blocks.reshape(-1)[: values.size] = values
    distance = np.arange(BLOCK)[:, None] - np.arange(BLOCK)
    weights = np.where(distance >= 0, weight ** np.maximum(distance, 0), 0.0)
    sums = blocks @ weights.T
    falling = weight ** np.arange(1, BLOCK + 1)
    carried = np.zeros(len(sums))
    for place in range(1, len(sums)):
        carried[place] = sums[place - 1, -1] + carried[place - 1] * falling[-1]
    sums += carried[:, None] * falling
    return sums.reshape(-1)[: values.size]


def _starts(x: np.ndarray, buckets: int) -> np.ndarray:
    """Where each bucket that holds a point begins."""
    if x.size <= buckets:
        return np.arange(x.size)
    span = x[-1] - x[0] or 1.0
    numbers = np.minimum(((x - x[0]) / span * buckets).astype(np.int64), buckets - 1)
    return np.flatnonzero(np.diff(numbers, prepend=-1))


def _last_finite(values: np.ndarray, finite: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The last finite value of each bucket; nan where there is none."""
    if not values.size:
        return values
    places = np.maximum.reduceat(np.where(finite, np.arange(values.size), -1), starts)
    return np.where(places >= 0, values[places], np.nan)


def _reduced(how: np.ufunc, values: np.ndarray, starts: np.ndarray) -> list[float | None]:
    return _shown(how.reduceat(values, starts)) if values.size else []


def _shown(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON has them; what is not finite is None."""
    return [
        float(f"{value:.{DIGITS}g}") if value - value == 0 else None for value in values.tolist()
    ]
