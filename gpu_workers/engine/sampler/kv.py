"""The sampler's keys and values: one row a sequence, in pools of rows of equal capacity.

A row lives in the smallest pool that holds it and moves to the next when it outgrows it, so a
short sequence never costs what a long one does, and each pool is one tensor that attention reads
without gathering: `store[layer, 0 or 1, :rows]`. Rows are kept dense: when one leaves, the last
takes its place.

Memory is bounded by reservation: a row is only admitted if the capacity it may grow to still fits
the budget, so no admitted sequence ever has to be thrown out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

SMALLEST_CAPACITY = 64
ALIGNMENT = 16
"""Attention over a length that is a multiple of this has the same bits whatever it is."""


def aligned(length: int) -> int:
    """`length` rounded up to the alignment."""
    return -(-length // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True, slots=True)
class CacheShape:
    """What one token's keys and values are made of."""

    layers: int
    heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    @property
    def token_bytes(self) -> int:
        return self.layers * 2 * self.heads * self.head_dim * self.dtype.itemsize


class Row:
    """A sequence's place in the cache: `length` tokens are stored, `reserved` may come to be."""

    __slots__ = ("length", "pool", "reserved", "slot")

    def __init__(self, pool: Pool, slot: int, length: int, reserved: int) -> None:
        self.pool, self.slot, self.length, self.reserved = pool, slot, length, reserved


class Pool:
    """Rows of one capacity. `store` is [layers, 2, places, heads, capacity, head_dim]."""

    def __init__(self, capacity: int, shape: CacheShape) -> None:
        self.capacity = capacity
        self.rows: list[Row] = []
        self._shape = shape
        self.store = self._new_store(0)

    def open(self, count: int) -> list[int]:
        """Make room for `count` more rows; their slots. What the slots hold is undefined."""
        needed = len(self.rows) + count
        if needed > self.places:
            self._resize(max(needed, self.places * 3 // 2))
        return list(range(len(self.rows), needed))

    def close(self, row: Row) -> None:
        """Give up a row's slot; the last row moves into it."""
        last = self.rows.pop()
        if last is not row:
            self.store[:, :, row.slot] = self.store[:, :, last.slot]
            last.slot = row.slot
            self.rows[last.slot] = last
        if not self.rows:
            self.store = self._new_store(0)
        elif len(self.rows) * 4 <= self.places:
            try:
                self._resize(len(self.rows) * 2)
            except (MemoryError, RuntimeError):  # the smaller one has no place beside the larger
                return

    @property
    def places(self) -> int:
        return self.store.shape[2]

    def _resize(self, places: int) -> None:
        store = self._new_store(places)
        used = len(self.rows)
        store[:, :, :used] = self.store[:, :, :used]
        self.store = store

    def _new_store(self, places: int) -> torch.Tensor:
        s = self._shape
        size = (s.layers, 2, places, s.heads, self.capacity, s.head_dim)
        return torch.zeros(size, dtype=s.dtype, device=s.device)


class KVCache:
    """All pools, and the budget they share."""

    def __init__(self, shape: CacheShape, max_length: int, budget_bytes: int) -> None:
        """`max_length` tokens of one sequence always fit, even where the budget says less."""
        self.shape = shape
        capacities = []
        capacity = SMALLEST_CAPACITY
        while capacity < max_length:
            capacities.append(capacity)
            capacity *= 2
        capacities.append(aligned(max_length))
        self.pools = [Pool(capacity, shape) for capacity in capacities]
        self.budget_tokens = max(budget_bytes // shape.token_bytes, capacities[-1])
        self.reserved_tokens = 0
        self.layout = 0  # changes whenever a row comes, goes or moves

    def fits(self, total: int) -> bool:
        """Whether one more row that may grow to `total` tokens stays within the budget."""
        return self.reserved_tokens + self._pool_for(total).capacity <= self.budget_tokens

    def allocate(self, total: int) -> Row:
        """An empty row that may grow to `total` tokens."""
        pool = self.pools[0]
        (slot,) = pool.open(1)
        # Masked positions still take part with weight zero, and zero times NaN is NaN.
        pool.store[:, :, slot].zero_()
        return self._add(pool, slot, 0, total)

    def fork(self, source: Row, total: int, length: int) -> Row:
        """A row with the first `length` tokens of `source`, that may grow to `total` on its own."""
        pool = self._pool_for(length)
        (slot,) = pool.open(1)
        self._copy([source], pool, [slot], length)
        return self._add(pool, slot, length, total)

    def ensure(self, rows: Sequence[Row], lengths: Sequence[int]) -> None:
        """Move rows that cannot hold their new length to larger pools."""
        moving: dict[int, list[Row]] = {}
        for row, length in zip(rows, lengths, strict=True):
            if length > row.pool.capacity:
                moving.setdefault(self._pool_for(length).capacity, []).append(row)
        for capacity, group in moving.items():
            # From the highest slot down, closing a row seldom has to move another.
            group.sort(key=lambda row: row.slot, reverse=True)
            pool = self._pool_for(capacity)
            slots = pool.open(len(group))
            self._copy(group, pool, slots)
            for row, slot in zip(group, slots, strict=True):
                row.pool.close(row)
                row.pool, row.slot = pool, slot
                pool.rows.append(row)
        self.layout += len(moving)

    def free(self, row: Row) -> None:
        """Give a row back."""
        row.pool.close(row)
        self.reserved_tokens -= row.reserved
        self.layout += 1

    def allocated_bytes(self) -> int:
        """Bytes the pools hold now."""
        return sum(pool.store.nbytes for pool in self.pools)

    def _add(self, pool: Pool, slot: int, length: int, total: int) -> Row:
        row = Row(pool, slot, length, self._pool_for(total).capacity)
        pool.rows.append(row)
        self.reserved_tokens += row.reserved
        self.layout += 1
        return row

    def _pool_for(self, length: int) -> Pool:
        return next((pool for pool in self.pools if pool.capacity >= length), self.pools[-1])

    def _copy(
        self, sources: Sequence[Row], pool: Pool, slots: Sequence[int], length: int | None = None
    ) -> None:
        """Copy stored tokens (the first `length`) into fresh slots, and zero the rest of those."""
        for source, slot in zip(sources, slots, strict=True):
            end = source.length if length is None else length
            place = pool.store[:, :, slot]
            place[:, :, :, :end] = source.pool.store[:, :, source.slot, :, :end]
            place[:, :, :, end:].zero_()
