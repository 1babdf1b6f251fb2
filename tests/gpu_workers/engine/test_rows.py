"""What bit equality rests on: from MIN_ROWS on, a product's row does not depend on the others."""

from __future__ import annotations

import json

import pytest
import torch

from gpu_workers.engine.sampler.lora import MIN_ROWS
from gpu_workers.nano import NAMES, folder

RANKS = (3, 8, 32)
MOST_ROWS = 300


def shapes() -> list[tuple[int, int]]:
    """(in, out) of every product with a weight, or with a LoRA factor, in the nano models."""
    found: set[tuple[int, int]] = set()
    for name in NAMES:
        config = json.loads((folder(name) / "config.json").read_text())
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        heads, pairs = config["num_attention_heads"], config["num_key_value_heads"]
        size = config["head_dim"]
        dense = [(hidden, heads * size), (hidden, pairs * size), (heads * size, hidden)]
        dense += [(hidden, inner), (inner, hidden), (hidden, config["vocab_size"])]
        found |= set(dense)
        found |= {(wide, rank) for wide, _ in dense for rank in RANKS}
        found |= {(rank, wide) for _, wide in dense for rank in RANKS}
    return sorted(found)


@pytest.mark.parametrize(("wide", "out"), shapes())
def test_a_row_has_the_same_bits_whatever_the_number_of_rows(wide: int, out: int) -> None:
    numbers = torch.Generator().manual_seed(0)
    weight = torch.randn(out, wide, generator=numbers)
    rows = torch.randn(MOST_ROWS, wide, generator=numbers)
    few = torch.mm(rows[:MIN_ROWS], weight.t())
    for count in range(MIN_ROWS + 1, MOST_ROWS):
        many = torch.mm(rows[:count], weight.t())
        assert torch.equal(many[:MIN_ROWS], few), f"of {count} rows"
