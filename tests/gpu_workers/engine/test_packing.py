"""Cutting and packing, without tensors."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gpu_workers.engine.packing import Cut, Load, Span, assign, cut, pack


def test_datums_are_cut_in_order_up_to_the_limit() -> None:
    assert cut([10, 20, 30, 5], 32) == [Cut(0, 2, 30), Cut(2, 3, 30), Cut(3, 4, 5)]


def test_a_datum_over_the_limit_is_a_chunk_of_its_own() -> None:
    assert cut([5, 100, 5, 5], 32) == [Cut(0, 1, 5), Cut(1, 2, 100), Cut(2, 4, 10)]


def test_rows_are_laid_one_after_another_and_padded_at_the_end() -> None:
    chunks = [[np.array([1, 2, 3]), np.array([4, 5])], [np.array([6])]]
    packed = pack(chunks, row_multiple=8)
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert packed.positions.tolist() == [0, 1, 2, 0, 1, 0, 0, 1]
    assert packed.spans == [Span(0, 5, 5), Span(5, 6, 6)]
    assert packed.lengths == [(1, 3), (1, 2), (1, 1), (1, 2)]


def test_segments_can_be_padded_one_by_one() -> None:
    packed = pack([[np.array([1, 2])], [np.array([3])]], row_multiple=16, segment_multiple=4)
    assert packed.tokens.tolist() == [1, 2, 0, 0, 3, 0, 0, 0] + [0] * 8
    assert packed.spans == [Span(0, 2, 4), Span(4, 5, 8)]
    assert sum(count * length for count, length in packed.lengths) == 16


def test_equal_neighbours_are_one_run_of_sequences() -> None:
    packed = pack([[np.arange(4), np.arange(4)], [np.arange(4)]], row_multiple=4)
    assert packed.lengths == [(3, 4)]
    assert packed.positions.tolist() == [0, 1, 2, 3] * 3


def load(run: str, request: int, tokens: int, gradient: bool = True) -> Load:
    return Load(run, request, tokens, gradient)


def test_chunks_of_many_runs_share_micro_batches_up_to_the_limit() -> None:
    loads = [load("a", 1, 60), load("b", 2, 30), load("c", 3, 30), load("d", 4, 10)]
    assert assign(loads, 100) == [[0, 1, 3], [2]]


def test_a_runs_chunks_keep_their_order() -> None:
    """The third chunk would fit the first micro-batch, but must not overtake the second."""
    loads = [load("a", 1, 60), load("a", 1, 60), load("a", 1, 10)]
    assert assign(loads, 100) == [[0], [1, 2]]


def test_two_requests_with_gradients_of_one_run_never_share_a_micro_batch() -> None:
    """So that a request that fails can be undone without the one before it."""
    loads = [load("a", 1, 10), load("a", 2, 10), load("b", 3, 10)]
    assert assign(loads, 100) == [[0, 2], [1]]


def test_forward_only_chunks_are_packed_apart_and_freely() -> None:
    loads = [load("a", 1, 10, False), load("b", 2, 10), load("a", 3, 10, False)]
    assert assign(loads, 100) == [[0, 2], [1]]


def test_a_chunk_over_the_limit_is_alone() -> None:
    loads = [load("a", 1, 500), load("b", 2, 10)]
    assert assign(loads, 100) == [[0], [1]]


def test_requests_can_be_kept_apart() -> None:
    loads = [load("a", 1, 10), load("b", 2, 10), load("a", 1, 10)]
    assert assign(loads, 100, mix_requests=False) == [[0, 2], [1]]


def test_wide_targets_make_chunks_shorter() -> None:
    """Tokens times the largest width of a chunk are bounded, and narrow datums stay as they are."""
    assert cut([9] * 8, 36, [32] * 8) == cut([9] * 8, 36)
    widths = [0, 128, 0, 0, 0, 0, 0, 0]
    cuts = cut([9] * 8, 36, widths)
    assert [(c.first, c.last) for c in cuts] == [(0, 1), (1, 2), (2, 6), (6, 8)]
    assert cut([100], 36, [128]) == cut([100], 36)


@given(
    st.lists(st.integers(1, 90), min_size=1, max_size=20), st.integers(1, 120), st.integers(1, 3)
)
def test_groups_are_never_cut_apart(lengths: list[int], tokens: int, group: int) -> None:
    lengths = lengths * group  # a multiple
    cuts = cut(lengths, tokens, group=group)
    assert [part.first for part in cuts] == [0, *(part.last for part in cuts[:-1])]
    assert cuts[-1].last == len(lengths)
    for part in cuts:
        assert part.first % group == part.last % group == 0
        assert part.tokens == sum(lengths[part.first : part.last])
        assert part.tokens <= tokens or part.last - part.first == group
