"""A frozen linear with the LoRA of many runs: one autograd node for base GEMM and all segments.

Gradients of A and B are added straight into the runs' arena rows during backward, so autograd never
holds them, and the frozen weight never gets a gradient.

Two kernels with the same maths. `loop`: one mm a segment with exact ranks, best on CPU and bit for
bit the same whoever else is in the pass, because each product's shape depends on the segment alone.
`grouped` (lora/grouped.py): grouped_mm over all segments of a rank bucket, for CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gpu_workers.engine.lora import grouped
from gpu_workers.engine.lora.context import PassContext, Segment


class MultiLoraLinear(nn.Module):
    """Takes the place of an nn.Linear; looks up the pass's segments in the shared PassContext.

    `index` is the module's place in the adapters' `weights` and `grads` lists.
    """

    def __init__(self, base: nn.Linear, name: str, index: int, context: PassContext) -> None:
        super().__init__()
        self.weight = base.weight
        self.bias = base.bias
        self.in_features = base.in_features
        self.out_features = base.out_features
        self.name = name
        self.index = index
        self.context = context

    def forward(self, x: Tensor) -> Tensor:
        """[..., d_in] -> [..., d_out]; all leading dimensions together are the pass's rows."""
        rows = x.reshape(-1, self.in_features)
        context = self.context
        if torch.is_grad_enabled():
            function = grouped.GroupedLora if context.kernel == "grouped" else LoopLora
            y = function.apply(rows, context.anchor, self)
        else:
            y = base_product(rows, self.weight, self.bias)
            if context.inference_lora is not None:
                context.inference_lora(y, rows, context.segments, self.index)
            elif context.kernel == "grouped":
                grouped.add_lora(y, rows, context, self.index)
            else:
                add_lora(y, rows, context.segments, self.index)
        return y.view(*x.shape[:-1], self.out_features)


def base_product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [T, d_in] times the frozen weight [d_out, d_in], plus bias."""
    if bias is None:
        return torch.mm(x, weight.t())
    return torch.addmm(bias, x, weight.t())


def add_lora(y: Tensor, x: Tensor, segments: list[Segment], index: int) -> None:
    """Add each segment's LoRA product to its rows of y, in place; no gradients."""
    for segment in segments:
        view = segment.adapter.weights[index]  # type: ignore[union-attr]
        if view is None:
            continue
        a, b, scale = view
        h = torch.mm(x[segment.start : segment.end], a.t())
        y[segment.start : segment.end].addmm_(h, b.t(), alpha=scale)


class LoopLora(torch.autograd.Function):
    """One node a linear: base GEMM, then one small product pair a segment."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, layer: MultiLoraLinear) -> Tensor:
        """x [T, d_in] -> y [T, d_out]. `anchor` only makes autograd record this node."""
        index = layer.index
        sizes, pieces = layer.context.row_pieces(x.shape[0])
        y = base_product(x, layer.weight, layer.bias)
        hidden: list[Tensor] = []
        # One split instead of a slice a segment: this loop is hot, see tests/benchmarks.
        for adapter, x_piece, y_piece in zip(pieces, x.split(sizes), y.split(sizes), strict=True):
            view = None if adapter is None else adapter.weights[index]
            if view is None:
                continue
            a, b, scale = view
            h = torch.mm(x_piece, a.t())
            y_piece.addmm_(h, b.t(), alpha=scale)
            hidden.append(h)
        if hidden:
            ctx.save_for_backward(x, *hidden)
        ctx.layer = layer
        ctx.rows = sizes, pieces
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        """dx, while dA and dB go into the arena. Only what is needed is computed."""
        gy = grads[0]
        layer: MultiLoraLinear = ctx.layer
        index = layer.index
        gx = torch.mm(gy, layer.weight) if ctx.needs_input_grad[0] else None
        saved = ctx.saved_tensors  # read once: a checkpointed layer gives them up
        if not saved:
            return gx, None, None
        x, *hidden = saved
        sizes, pieces = ctx.rows
        outs = x.split(sizes) if gx is None else gx.split(sizes)
        results = iter(hidden)
        for adapter, x_piece, g, out in zip(
            pieces, x.split(sizes), gy.split(sizes), outs, strict=True
        ):
            view = None if adapter is None else adapter.weights[index]
            if view is None:
                continue
            a, b, scale = view
            ga, gb = adapter.grads[index]
            gh = torch.mm(g, b)
            accumulate(gb, g, next(results), scale)
            accumulate(ga, gh, x_piece, scale)
            if gx is not None:
                out.addmm_(gh, a, alpha=scale)
        return gx, None, None


def accumulate(target: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """target [m, n] float32 += scale * leftᵀ right, for left [T, m] and right [T, n]."""
    if left.dtype == target.dtype:
        target.addmm_(left.t(), right, alpha=scale)
    else:
        target.add_(torch.mm(left.t(), right), alpha=scale)
