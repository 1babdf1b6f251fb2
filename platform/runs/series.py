"""The course of a metric over a run, in as many buckets as a screen has room for.

Every bucket keeps the least, the greatest and the last value, so that no spike is lost; smoothing
is done over all points before. A metric comes from PostgreSQL as three columns of bytes, which is
what lets a hundred thousand points open at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from accounts.actors import Actor
from core import database

Axis = Literal["step", "time"]
MOST_POINTS = 2_000_000
# a number of so many digits is as good as exact on any screen
DIGITS = 9

# sorted once: the aggregates take the rows as they come
_POINTS = """
SELECT string_agg(int8send(step), ''::bytea) AS steps,
       string_agg(float8send(value), ''::bytea) AS numbers,
       string_agg(float8send(date_part('epoch', time)), ''::bytea) AS times
FROM (SELECT step, value, time FROM (
          SELECT step, value, time FROM runs_metric
          WHERE run_id = %(run)s AND team_id = %(team)s AND key = %(key)s
            AND step >= %(first)s AND step <= %(last)s
          ORDER BY step DESC LIMIT %(most)s) newest
      ORDER BY step) points
"""


@dataclass(frozen=True, slots=True)
class Points:
    """A metric as it was recorded, by step: int64 steps, float64 values and times (epoch, s)."""

    key: str
    steps: np.ndarray
    values: np.ndarray
    times: np.ndarray


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


async def read_points(
    *, actor: Actor, run_id: str, keys: Sequence[str], first_step: int, last_step: int
) -> list[Points]:
    """All points of some metrics of a run of the actor's team, between two steps."""
    found = []
    async with database.connection() as conn:
        for key in keys:
            values = {"run": run_id, "team": actor.team_id, "key": key, "most": MOST_POINTS}
            cursor = await conn.execute(
                _POINTS, values | {"first": first_step, "last": last_step}, binary=True
            )
            row = await cursor.fetchone()
            assert row is not None
            steps, numbers, times = (column or b"" for column in row)
            found.append(
                Points(
                    key,
                    np.frombuffer(steps, ">i8").astype(np.int64),
                    np.frombuffer(numbers, ">f8").astype(np.float64),
                    np.frombuffer(times, ">f8").astype(np.float64),
                )
            )
    return found


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
        cut=int(x.size) >= MOST_POINTS,
    )


def smoothed(values: np.ndarray, weight: float) -> np.ndarray:
    """The moving average with exponentially falling weights, without a pull towards zero.

    A constant stays constant, and values that are not finite are passed over.
    """
    result = np.empty(values.size)
    total, norm = 0.0, 0.0
    for place, value in enumerate(values.tolist()):
        if value - value == 0:
            total = total * weight + value
            norm = norm * weight + 1
        result[place] = total / norm if norm else np.nan
    return result


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
