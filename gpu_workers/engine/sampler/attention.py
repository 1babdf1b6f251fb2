"""How the sampler's rows attend: to the keys and values in the cache, as well as to each other.

Two functions for PassContext.attention. `Prefill`: chunks of prompts, packed. `Decode`: one token
of every sequence, one product a pool over rows of similar length.

On CPU a row's numbers do not depend on what else is in the pass: each (row, head) is computed on
its own, and lengths are multiples of `kv.ALIGNMENT`, where the kernel's order of summation no
longer depends on the length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gpu_workers.engine.attention import packed_attention
from gpu_workers.engine.sampler.kv import Pool, Row, aligned

_MINUS_INFINITY = float("-inf")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Prompt tokens [start, start + length) of one sequence, at row `offset` of the pass."""

    row: Row
    start: int
    length: int
    offset: int


class Prefill:
    """Attention for packed chunks: first chunks (start 0) first, then continued ones, then padding.

    First chunks go the trainer's way, so that their numbers are the trainer's.
    """

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self.chunks = chunks
        self.fresh_rows = sum(chunk.length for chunk in chunks if chunk.start == 0)
        self._masks: dict[tuple[int, int, int | None], Tensor] = {}

    @property
    def lengths(self) -> list[tuple[int, int]]:
        """PassContext.lengths for the first chunks: runs (count, length) of equal lengths."""
        runs: list[tuple[int, int]] = []
        for chunk in self.chunks:
            if chunk.start:
                continue
            if runs and runs[-1][1] == chunk.length:
                runs[-1] = (runs[-1][0] + 1, chunk.length)
            else:
                runs.append((1, chunk.length))
        return runs

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None,
        sliding_window: int | None,
    ) -> Tensor:
        """query [1, H, T, D], key and value [1, Hkv, T, D] -> [1, T, H, D]; fills the cache."""
        layer: int = module.layer_idx
        out = query.new_zeros(1, query.shape[2], query.shape[1], query.shape[3])
        for chunk in self.chunks:
            store = chunk.row.pool.store[layer, :, chunk.row.slot]
            here = slice(chunk.offset, chunk.offset + chunk.length)
            end = chunk.start + chunk.length
            store[0, :, chunk.start : end] = key[0, :, here]
            store[1, :, chunk.start : end] = value[0, :, here]
            if chunk.start:
                out[:, here] = F.scaled_dot_product_attention(
                    query[:, :, here],
                    store[None, 0, :, :end],
                    store[None, 1, :, :end],
                    attn_mask=self._mask(chunk, sliding_window, query.device),
                    scale=scaling,
                    enable_gqa=True,
                ).transpose(1, 2)
        if self.fresh_rows:
            fresh = slice(0, self.fresh_rows)
            out[:, fresh] = packed_attention(
                module,
                query[:, :, fresh],
                key[:, :, fresh],
                value[:, :, fresh],
                scaling,
                sliding_window,
            )
        return out

    def _mask(self, chunk: Chunk, window: int | None, device: torch.device) -> Tensor:
        """Which keys [start + length] each of the chunk's rows may see; the same in every layer."""
        shape = (chunk.start, chunk.length, window)
        mask = self._masks.get(shape)
        if mask is None:
            position = torch.arange(chunk.start, chunk.start + chunk.length, device=device)[:, None]
            key = torch.arange(chunk.start + chunk.length, device=device)
            mask = key <= position
            if window is not None:
                mask &= key > position - window
            self._masks[shape] = mask
        return mask


class DecodeGroup:
    """The running sequences of one pool: their rows in the pass, and what they may attend to.

    All rows of the pool take part in the product, the others (prompts half read) to no effect.
    """

    __slots__ = ("count", "dense", "index", "longest", "mask", "pool", "positions", "slots")

    def __init__(self, pool: Pool, members: Mapping[int, int], dtype: torch.dtype) -> None:
        """`members` gives, for each pool slot of a running sequence, its row of the pass."""
        device = pool.store.device
        slots = sorted(members)
        lengths = [pool.rows[slot].length for slot in slots]
        self.pool, self.count, self.longest = pool, len(pool.rows), max(lengths)
        self.dense = len(slots) == self.count
        rows = [members[slot] for slot in slots]
        self.index: Tensor | slice = torch.tensor(rows, device=device)
        if rows == list(range(rows[0], rows[0] + len(rows))):
            self.index = slice(rows[0], rows[0] + len(rows))  # a view instead of a copy
        self.slots = torch.tensor(slots, device=device)
        self.positions = torch.tensor(lengths, device=device)
        last_visible = torch.zeros(self.count, dtype=torch.int64, device=device)
        last_visible[self.slots] = self.positions
        hidden = torch.arange(pool.capacity, device=device) > last_visible[:, None]
        self.mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        self.mask.masked_fill_(hidden, _MINUS_INFINITY)

    def advance(self) -> None:
        """Go on to the next token of each sequence."""
        self.positions += 1
        self.longest += 1
        if self.longest < self.pool.capacity:
            self.mask[self.slots, self.positions] = 0

    def queries(self, query: Tensor, kv_heads: int) -> Tensor:
        """query [T, H, D] -> [pool rows, Hkv, H / Hkv, D]: heads that share a key head together."""
        shared = query[self.index].unflatten(1, (kv_heads, -1))
        if self.dense:
            return shared
        out = shared.new_zeros(self.count, *shared.shape[1:])
        out[self.slots] = shared
        return out

    def visible(self, span: int, window: int | None) -> Tensor:
        """The additive mask [rows, 1, 1, span]."""
        mask = self.mask[:, :span]
        if window is not None:
            key = torch.arange(span, device=mask.device)
            mask = mask.clone()
            gone = key <= self.positions[:, None] - window
            mask[self.slots] = mask[self.slots].masked_fill(gone, _MINUS_INFINITY)
        return mask[:, None, None]


class Decode:
    """Attention for one token of every sequence in the groups; padding comes after theirs."""

    def __init__(self, groups: Sequence[DecodeGroup]) -> None:
        self.groups = groups
        self.rows = sum(len(group.slots) for group in groups)

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None,
        sliding_window: int | None,
    ) -> Tensor:
        """query [1, H, T, D], key and value [1, Hkv, T, D] -> [1, T, H, D]; fills the cache."""
        layer: int = module.layer_idx
        heads, rows, width = query.shape[1:]
        query, key, value = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
        out = query.new_empty(rows, heads, width)
        out[self.rows :].zero_()
        for group in self.groups:
            keys, values = group.pool.store[layer].unbind(0)
            keys[group.slots, :, group.positions] = key[group.index]
            values[group.slots, :, group.positions] = value[group.index]
            span = min(aligned(group.longest + 1), group.pool.capacity)
            # Query heads that share a key head stand where a query's length would.
            shared = group.queries(query, keys.shape[1])
            mask = group.visible(span, sliding_window)
            attended = F.scaled_dot_product_attention(
                shared,
                keys[: group.count, :, :span],
                values[: group.count, :, :span],
                attn_mask=mask.expand(group.count, 1, shared.shape[2], span),
                scale=scaling,
            ).flatten(1, 2)
            out[group.index] = attended if group.dense else attended[group.slots]
        return out[None]
