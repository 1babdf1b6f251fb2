"""The cache keeps every row's numbers through moves, forks and departures, within its budget."""

from __future__ import annotations

import random

import pytest
import torch

from gpu_workers.engine.sampler.kv import CacheShape, KVCache, Row

SHAPE = CacheShape(layers=2, heads=2, head_dim=4, dtype=torch.float32, device=torch.device("cpu"))


def write(row: Row, length: int, mark: float) -> None:
    """Store `mark` + position as the row's next tokens, up to `length`."""
    for position in range(row.length, length):
        row.pool.store[:, :, row.slot, :, position] = mark + position
    row.length = length


def check(row: Row, mark: float) -> None:
    stored = row.pool.store[:, :, row.slot, :, : row.length]
    expected = mark + torch.arange(row.length, dtype=torch.float32)
    assert torch.equal(stored, expected[:, None].expand_as(stored))
    assert torch.isfinite(row.pool.store[:, :, row.slot]).all()
    assert row.pool.rows[row.slot] is row
    assert row.length <= row.pool.capacity


def test_rows_keep_their_numbers_through_everything() -> None:
    cache = KVCache(SHAPE, max_length=500, budget_bytes=2**24)
    chance = random.Random(1)
    rows: dict[Row, float] = {}
    for turn in range(400):
        move = chance.random()
        if move < 0.3 or not rows:
            row = cache.allocate(500)
            rows[row] = 1000.0 * turn
            write(row, chance.randint(1, 40), rows[row])
        elif move < 0.5:
            source = chance.choice(list(rows))
            length = chance.randint(1, source.length)
            row = cache.fork(source, 500, length)
            assert row.length == length
            rows[row] = rows[source]
        elif move < 0.8:
            some = chance.sample(list(rows), min(len(rows), 5))
            lengths = [min(500, row.length + chance.randint(1, 90)) for row in some]
            cache.ensure(some, lengths)
            for row, length in zip(some, lengths, strict=True):
                write(row, length, rows[row])
        else:
            row = chance.choice(list(rows))
            del rows[row]
            cache.free(row)
        for row, mark in rows.items():
            check(row, mark)
    for row in list(rows):
        cache.free(row)
    assert cache.reserved_tokens == 0
    assert cache.allocated_bytes() == 0


def test_slots_are_handed_out_without_the_last_owners_numbers() -> None:
    cache = KVCache(SHAPE, max_length=100, budget_bytes=2**20)
    first, second = cache.allocate(100), cache.allocate(100)
    for row in (first, second):
        row.pool.store[:, :, row.slot] = float("nan")
    cache.free(second)
    again = cache.allocate(100)
    assert torch.equal(again.pool.store[:, :, again.slot], torch.zeros(2, 2, 2, 64, 4))
    write(again, 3, 1.0)
    cache.free(first)
    copy = cache.fork(again, 100, 2)
    check(copy, 1.0)


def test_budget_is_kept_but_one_sequence_always_fits() -> None:
    token = SHAPE.token_bytes
    cache = KVCache(SHAPE, max_length=512, budget_bytes=1024 * token)
    rows = []
    while cache.fits(100):
        rows.append(cache.allocate(100))
    assert len(rows) == 8  # each may come to hold 128 tokens
    cache.ensure(rows, [100] * 8)
    assert cache.allocated_bytes() <= 1024 * token
    small = KVCache(SHAPE, max_length=512, budget_bytes=1)
    assert small.fits(512)
    small.allocate(512)
    assert not small.fits(1)


def test_memory_follows_use() -> None:
    cache = KVCache(SHAPE, max_length=512, budget_bytes=2**30)
    rows = [cache.allocate(64) for _ in range(64)]
    full = cache.allocated_bytes()
    assert full <= 64 * 1.5 * 64 * SHAPE.token_bytes
    for row in rows[4:]:
        cache.free(row)
    assert cache.allocated_bytes() <= full / 3
    cache.ensure(rows[:4], [500] * 4)
    assert cache.allocated_bytes() == 4 * 512 * SHAPE.token_bytes


@pytest.mark.parametrize("context", [1, 64, 65, 1000])
def test_a_full_context_fits_a_row(context: int) -> None:
    cache = KVCache(SHAPE, max_length=context, budget_bytes=1)
    row = cache.allocate(context)
    cache.ensure([row], [context])
    write(row, context, 0.0)
    check(row, 0.0)
