"""Which rows a step trains on: a function of the step alone, so that any step can be the first."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import TypeVar

T = TypeVar("T")


def seed_of(*parts: object) -> int:
    """A seed from 0 to 2^31 - 1 of whatever it is to depend on, the same on every machine."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 33


def batch(rows: Sequence[T], size: int, step: int, seed: int) -> list[T]:
    """The rows of a step; every row comes once before any comes again.

    Raises:
        ValueError: no rows.

    >>> sorted(batch("abcd", 2, 0, seed=7) + batch("abcd", 2, 1, seed=7))
    ['a', 'b', 'c', 'd']
    """
    if not rows:
        raise ValueError("there are no rows to make batches of")
    places = range(step * size, (step + 1) * size)
    return [rows[_shuffled(len(rows), seed, at // len(rows))[at % len(rows)]] for at in places]


@lru_cache(maxsize=8)
def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    Random(seed_of("order", seed, epoch)).shuffle(order)
    return order
