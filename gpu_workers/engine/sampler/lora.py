"""LoRA for the sampler's passes: segments of one row, as decoding makes them, without losing bits.

A product of few rows runs in another CPU kernel than one of many. The border is at 8 rows on an AMD
EPYC, at 9 or 16 on an Intel Xeon with AMX. So a sample's numbers would depend on how many others
use the same adapter. Small segments are therefore computed inside a window of sixteen rows of the
pass; the neighbours' rows in it are thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora.context import Segment

MIN_ROWS = 16
"""From this many rows on, a row of a product has the same bits whatever their number."""


def padded_rows(rows: int) -> int:
    """Rows of a pass that has `rows` of its own.

    A multiple of sixteen a thread, so that each thread's share of an elementwise kernel is whole
    vectors too: what is left over at its end would be computed in another way.
    """
    multiple = MIN_ROWS * torch.get_num_threads()
    return -(-rows // multiple) * multiple


def add_lora(y: Tensor, x: Tensor, segments: Sequence[Segment], index: int) -> None:
    """Add each segment's B A x to its rows: x [T, d_in], y [T, d_out] in place, T >= MIN_ROWS."""
    for segment in segments:
        view = segment.adapter.weights[index] if segment.adapter is not None else None
        if view is None:
            continue
        a, b, scale = view
        start, end = segment.start, segment.end
        low = min(start, x.shape[0] - MIN_ROWS) if end - start < MIN_ROWS else start
        high = max(end, low + MIN_ROWS)
        own = slice(start - low, end - low)
        hidden = torch.mm(x[low:high], a.t())
        if y.dtype != x.dtype:
            y[start:end].add_(torch.mm(hidden, b.t())[own], alpha=scale)
        elif end - start == high - low:
            y[start:end].addmm_(hidden, b.t(), alpha=scale)
        else:
            y[start:end] = torch.addmm(y[low:high], hidden, b.t(), alpha=scale)[own]


def logits(base: BaseModel, hidden: Tensor, segments: Sequence[Segment]) -> Tensor:
    """The head, as the trainer computes it: [T, d], T >= MIN_ROWS, to float32 logits [T, V]."""
    if hidden.is_cuda and hidden.dtype != torch.float32:
        out = torch.mm(hidden, base.head_weight.t(), out_dtype=torch.float32)
    else:
        out = torch.mm(hidden, base.head_weight.t()).float()
    add_lora(out, hidden, segments, base.head_index)
    return out
