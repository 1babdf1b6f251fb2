"""What one pass through the model is about: which adapter owns which rows, and how rows attend.

A pass runs over rows [T], one row a token, ordered by segment. `PassContext` is the one place where
the model's modules look this up; whoever drives the model (trainer or sampler) fills it first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

LoraView = tuple[Tensor, Tensor, float]
"""(A [r, d_in], B [d_out, r], scale): y += scale * B A x."""

GradView = tuple[Tensor, Tensor]
"""Where the gradients of A and B are added up, float32, shaped like A and B."""


class Adapter(Protocol):
    """Weights (and, if it can be trained, gradient buffers) by module index; None: not trained."""

    rank: int
    bucket: int
    weights: list[LoraView | None]
    grads: list[GradView | None] | None


@dataclass(slots=True)
class Segment:
    """Rows [start, end) of the pass belong to one adapter; None is the bare base model."""

    adapter: Adapter | None
    start: int
    end: int


AttentionFn = Callable[..., Tensor]
"""(module, query [1,H,T,D], key [1,Hkv,T,D], value, scaling, sliding_window) -> [1,T,H,D]."""


@dataclass(slots=True)
class PassContext:
    """The current pass. One object per base model, seen by all its modules; refilled for each pass.

    `attention` decides how the rows attend: the trainer sets packed attention over `lengths` (the
    sequences in row order, covering all rows), the sampler its own function over its KV cache.
    `kernel` is "loop" (one mm a segment; exact ranks, CPU) or "grouped" (grouped_mm; CUDA).
    `inference_lora` (y, x, segments, index) takes the kernel's place in passes without gradients;
    the sampler sets it for the pass it has begun.
    """

    kernel: str = "loop"
    segments: list[Segment] = field(default_factory=list)
    attention: AttentionFn | None = None
    inference_lora: Callable[[Tensor, Tensor, list[Segment], int], None] | None = None
    lengths: list[tuple[int, int]] = field(default_factory=list)  # (count, length) runs
    cu_seqlens: Tensor | None = None  # int32 [sequences + 1], CUDA only
    max_length: int = 0
    groups: list[object] | None = None  # built from segments by the grouped kernel, once a pass
    pieces: tuple[list[int], list[Adapter | None]] | None = None  # by the loop kernel
    anchor: Tensor = field(
        # Gives autograd a reason to record layers whose input needs no gradient (the first ones).
        default_factory=lambda: torch.zeros((), requires_grad=True)
    )

    def begin(
        self,
        segments: list[Segment],
        attention: AttentionFn,
        lengths: list[tuple[int, int]] | None = None,
    ) -> None:
        """Set the next pass. `lengths` are runs (count, length) of equally long sequences."""
        self.segments = [s for s in segments if s.adapter is not None and s.end > s.start]
        self.attention = attention
        self.inference_lora = None
        self.lengths = lengths or []
        self.groups = None
        self.pieces = None
        self.cu_seqlens = None
        self.max_length = 0

    def row_pieces(self, total: int) -> tuple[list[int], list[Adapter | None]]:
        """All `total` rows as pieces: their sizes and adapters (None between the segments)."""
        if self.pieces is None:
            sizes: list[int] = []
            adapters: list[Adapter | None] = []
            row = 0
            for segment in self.segments:
                if segment.start > row:
                    sizes.append(segment.start - row)
                    adapters.append(None)
                sizes.append(segment.end - segment.start)
                adapters.append(segment.adapter)
                row = segment.end
            if row < total:
                sizes.append(total - row)
                adapters.append(None)
            self.pieces = sizes, adapters
        return self.pieces

    def end(self) -> None:
        """Forget the pass, so that nothing of a run stays referenced between passes."""
        self.segments = []
        self.lengths = []
        self.groups = None
        self.pieces = None
        self.cu_seqlens = None
        self.attention = None
        self.inference_lora = None
