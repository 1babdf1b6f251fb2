"""Cutting requests into chunks, and packing chunks of many runs into micro-batches. Pure numpy.

A chunk is the unit of work: some datums of one request, next to each other, never padded. How a
request is cut depends on the request alone, so that every sum over a chunk comes out the same, bit
for bit, whatever else is in the pass (docs/engine.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Cut:
    """Datums [first, last) of a request, `tokens` of them together."""

    first: int
    last: int
    tokens: int


PLAIN_WIDTH = 32
"""Targets a token that a chunk takes without being cut shorter."""


def cut(
    lengths: Sequence[int],
    chunk_tokens: int,
    widths: Sequence[int] | None = None,
    group: int = 1,
) -> list[Cut]:
    """Cut datums of these lengths, in order, into chunks of at most `chunk_tokens`.

    `group` neighbouring datums stay together. A datum or group longer than that is a chunk of its
    own. `widths` are the datums' targets a token. A
    chunk is computed with its largest width, so in one whose width is n times PLAIN_WIDTH a token
    counts n times: what a chunk takes is bounded, and one wide datum widens few others.
    """
    cuts: list[Cut] = []
    first, total, widest = 0, 0, 0
    for i in range(0, len(lengths), group):
        length = sum(lengths[i : i + group])
        width = max(widths[i : i + group]) if widths else 0
        share = max(1, -(-max(widest, width) // PLAIN_WIDTH))
        if i > first and (total + length) * share > chunk_tokens:
            cuts.append(Cut(first, i, total))
            first, total, widest = i, 0, 0
        total += length
        widest = max(widest, width)
    cuts.append(Cut(first, len(lengths), total))
    return cuts


@dataclass(frozen=True, slots=True)
class Span:
    """Where a chunk lies in the micro-batch: rows [start, end), padded up to `padded_end`."""

    start: int
    end: int
    padded_end: int


@dataclass(frozen=True, slots=True)
class Packed:
    """The rows of one pass.

    `tokens`, `positions` int64 [T]; `spans` one a chunk, in the order given; `lengths` runs
    (count, length) of equally long neighbouring sequences, covering all rows. Padding rows form
    sequences of their own, so that they are ordinary finite numbers.
    """

    tokens: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    spans: list[Span]
    lengths: list[tuple[int, int]]


def pack(
    chunks: Sequence[Sequence[npt.NDArray[np.integer]]],
    row_multiple: int,
    segment_multiple: int = 1,
) -> Packed:
    """Lay the chunks' sequences one after another.

    Each chunk is padded to `segment_multiple` rows, the whole to `row_multiple`.
    """
    pieces: list[npt.NDArray[np.integer]] = []
    spans: list[Span] = []
    row = 0
    for sequences in chunks:
        start = row
        pieces.extend(sequences)
        row += sum(len(sequence) for sequence in sequences)
        end = row
        padding = -(row - start) % segment_multiple
        if padding:
            pieces.append(np.zeros(padding, np.int64))
            row += padding
        spans.append(Span(start, end, row))
    padding = -row % row_multiple
    if padding:
        pieces.append(np.zeros(padding, np.int64))
        row += padding
    lengths = _runs([len(piece) for piece in pieces])
    positions = np.concatenate([np.tile(np.arange(n), count) for count, n in lengths])
    return Packed(np.concatenate(pieces).astype(np.int64), positions, spans, lengths)


def _runs(lengths: list[int]) -> list[tuple[int, int]]:
    """[5, 5, 7] -> [(2, 5), (1, 7)]."""
    runs: list[tuple[int, int]] = []
    for length in lengths:
        if runs and runs[-1][1] == length:
            runs[-1] = (runs[-1][0] + 1, length)
        else:
            runs.append((1, length))
    return runs


@dataclass(frozen=True, slots=True)
class Load:
    """What `assign` must know of a chunk: its run, its request, its tokens, if it has grads."""

    run: str
    request: int
    tokens: int
    gradient: bool


def assign(loads: Sequence[Load], limit: int, *, mix_requests: bool = True) -> list[list[int]]:
    """Assign chunks (by index) to micro-batches of at most `limit` tokens; a larger one is alone.

    A micro-batch holds either gradient chunks or forward-only ones. A run's chunks keep their
    order, and of a run at most one request with gradients is in a micro-batch, so that a request
    that fails can be undone without its neighbours. `mix_requests` False gives every request
    micro-batches of its own.
    """
    batches: list[list[int]] = []
    last: dict[str, int] = {}  # run -> micro-batch of its latest chunk
    for i, load in enumerate(loads):
        first = last.get(load.run, 0)
        for number in range(first, len(batches) + 1):
            if number == len(batches):
                batches.append([])
            if _fits(batches[number], load, loads, limit, mix_requests):
                batches[number].append(i)
                last[load.run] = number
                break
    return batches


def _fits(
    batch: list[int], load: Load, loads: Sequence[Load], limit: int, mix_requests: bool
) -> bool:
    if not batch:
        return True
    members = [loads[i] for i in batch]
    if members[0].gradient != load.gradient:
        return False
    if sum(m.tokens for m in members) + load.tokens > limit:
        return False
    if not mix_requests and members[0].request != load.request:
        return False
    return not load.gradient or all(m.request == load.request for m in members if m.run == load.run)
