"""``Figure``: a number that a run ends with, and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959964  # of the two-sided 95 % interval


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval over ``count`` cases.

    >>> str(share([True] * 9 + [False]))
    '90.0 % (59.6 to 98.2, n=10)'
    """

    value: float
    low: float
    high: float
    count: int
    is_share: bool = False

    def __str__(self) -> str:
        scale, digits, unit = (100, 1, " %") if self.is_share else (1, 3, "")
        value, low, high = (
            f"{scale * number:.{digits}f}" for number in (self.value, self.low, self.high)
        )
        if self.count == 1:
            return f"{value}{unit}"
        return f"{value}{unit} ({low} to {high}, n={self.count})"


def share(hits: Sequence[float]) -> Figure:
    """The share of hits, each 1, or 0, or between for a part of one, with Wilson's interval.

    Raises:
        ValueError: no cases.
    """
    count = len(hits)
    if count == 0:
        raise ValueError("a share of no cases")
    part = math.fsum(hits) / count
    middle = (part + Z * Z / (2 * count)) / (1 + Z * Z / count)
    reach = (
        Z / (1 + Z * Z / count) * math.sqrt(part * (1 - part) / count + Z * Z / (4 * count * count))
    )
    return Figure(part, max(0.0, middle - reach), min(1.0, middle + reach), count, True)


def mean(values: Sequence[float]) -> Figure:
    """The mean, with the normal interval of its standard error.

    Raises:
        ValueError: no cases.
    """
    count = len(values)
    if count == 0:
        raise ValueError("a mean of no cases")
    middle = math.fsum(values) / count
    if count == 1:
        return Figure(middle, middle, middle, 1)
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (count - 1))
    reach = Z * spread / math.sqrt(count)
    return Figure(middle, middle - reach, middle + reach, count)


def ratio(sums: Sequence[float], counts: Sequence[int]) -> Figure:
    """What all sums are for each of what is counted, e.g. nats a token over chats of many tokens.

    Args:
        sums, counts: of each case, which are independent; what is within one case is not.

    Raises:
        ValueError: no cases.
    """
    cases, whole = len(sums), sum(counts)
    if whole == 0:
        raise ValueError("a ratio of no cases")
    value = math.fsum(sums) / whole
    if cases == 1:
        return Figure(value, value, value, 1)
    strayed = math.fsum((one - value * n) ** 2 for one, n in zip(sums, counts, strict=True))
    reach = Z * math.sqrt(strayed * cases / (cases - 1)) / whole
    return Figure(value, value - reach, value + reach, cases)


def exact(value: float) -> Figure:
    """A number that was measured once and has no interval, e.g. a loss."""
    return Figure(value, value, value, 1)
