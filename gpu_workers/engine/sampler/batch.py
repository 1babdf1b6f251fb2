"""One pass of the sampler laid out as tensors: packed chunks of prompts, or one token a sample.

Rows are ordered by adapter, so that each adapter owns one segment, and padded at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence as Many

import numpy as np
import torch
from torch import Tensor

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora.context import Adapter, Segment
from gpu_workers.engine.sampler.attention import Chunk, Decode, DecodeGroup, Prefill
from gpu_workers.engine.sampler.choose import Controls
from gpu_workers.engine.sampler.lora import padded_rows
from gpu_workers.engine.sampler.request import Request, Sequence


def segments_of(adapters: Iterable[tuple[Adapter | None, int]]) -> list[Segment]:
    """Segments for runs of rows (adapter, row count) in row order; equal neighbours are joined."""
    segments: list[Segment] = []
    at = 0
    for adapter, rows in adapters:
        if segments and segments[-1].adapter is adapter:
            segments[-1].end += rows
        else:
            segments.append(Segment(adapter, at, at + rows))
        at += rows
    return [segment for segment in segments if segment.adapter is not None]


def _order(request: Request) -> int:
    return 0 if request.version is None else id(request.version.adapter)


def _place(sequence: Sequence) -> tuple[int, int, int]:
    """By adapter, and within it as in the cache, so that attention finds rows side by side."""
    row = sequence.row
    assert row is not None
    return _order(sequence.request), row.pool.capacity, row.slot


class PrefillBatch:
    """The next chunk of several prompts, as many as fit `max_tokens` (but at least one).

    Where a prompt is cut depends on itself alone: every `max_tokens` tokens.
    """

    def __init__(self, prefilling: Many[Request], max_tokens: int, device: torch.device) -> None:
        chosen: list[tuple[Request, int]] = []
        total = 0
        for request in prefilling:
            length = min(len(request.work.prompt) - request.prefilled, max_tokens)
            if not chosen or total + length <= max_tokens:
                chosen.append((request, length))
                total += length
        chosen.sort(key=lambda item: (item[0].prefilled > 0, _order(item[0]), item[1]))
        self.requests = [request for request, _ in chosen]
        self.chunks: list[Chunk] = []
        rows = padded_rows(total)
        tokens, positions = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        at = 0
        for request, length in chosen:
            start = request.prefilled
            assert request.row is not None
            self.chunks.append(Chunk(request.row, start, length, at))
            tokens[at : at + length] = request.work.prompt[start : start + length]
            positions[at : at + length] = np.arange(start, start + length)
            at += length
        self.tokens = torch.from_numpy(tokens).to(device)
        self.positions = torch.from_numpy(positions).to(device)
        self.segments = segments_of((request.adapter, length) for request, length in chosen)
        self.attention = Prefill(self.chunks)


class DecodeBatch:
    """The next token of every running sample. Kept from step to step while the samples stay."""

    def __init__(self, running: Many[Sequence], base: BaseModel, layout: int) -> None:
        """`layout` is the cache's: a batch is good for as long as it stays."""
        self.layout = layout
        self.sequences = sorted(running, key=_place)
        count = len(self.sequences)
        self.segments = segments_of((s.request.adapter, 1) for s in self.sequences)
        self.controls = Controls.of(
            [s.request.work for s in self.sequences], base.info.vocab_size, base.device
        )
        self.keys = np.array([s.key for s in self.sequences], np.uint64)
        self.counters = np.array([len(s.tokens) for s in self.sequences], np.uint64)
        rows = padded_rows(count)
        tokens, positions = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
        members: dict[int, dict[int, int]] = {}
        for number, sequence in enumerate(self.sequences):
            row = sequence.row
            assert row is not None
            tokens[number], positions[number] = sequence.tokens[-1], row.length
            members.setdefault(id(row.pool), {})[row.slot] = number
        self.count = count
        self.teams = Counter(s.request.team for s in self.sequences)
        self.served = Counter((s.request.team, s.request.target) for s in self.sequences)
        self.tokens = torch.from_numpy(tokens).to(base.device)
        self.positions = torch.from_numpy(positions).to(base.device)
        pools = {id(s.row.pool): s.row.pool for s in self.sequences if s.row is not None}
        self.groups = [DecodeGroup(pool, members[name], base.dtype) for name, pool in pools.items()]
        self.attention = Decode(self.groups)

    def full(self) -> bool:
        """Whether some pool cannot take its rows' next token."""
        return any(group.longest >= group.pool.capacity for group in self.groups)

    def advance(self, tokens: Tensor) -> None:
        """Make the sampled `tokens` [count] the next step's input."""
        self.tokens[: self.count] = tokens
        self.positions[: self.count] += 1
        self.counters += np.uint64(1)
        for group in self.groups:
            group.advance()
