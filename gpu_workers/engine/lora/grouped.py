"""The `grouped` kernel: all segments of a rank bucket in one grouped_mm, for CUDA.

Ranks are padded to their bucket (the padding is zero and stays zero), segments to a multiple of
eight rows: grouped_mm wants 16-byte strides, and neither empty groups nor ragged ones. The adapters
of a pass are gathered into stacks once a module and pass; that reads and writes each adapter once.

The maths is that of `linear.LoopLora`, and the tests run both on CPU in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import grouped_mm

from gpu_workers.engine.lora.context import Adapter, PassContext, Segment

if TYPE_CHECKING:
    from gpu_workers.engine.lora.linear import MultiLoraLinear

ALIGNMENT = 8
"""Rows of a segment are a multiple of this: 16 bytes of bf16."""


@dataclass(slots=True)
class Group:
    """Adjacent segments of one rank bucket: rows [start, end), ends relative to start."""

    bucket: int
    start: int
    end: int
    adapters: list[Adapter]
    offsets: Tensor  # int32 [len(adapters)]


def groups_of(context: PassContext, device: torch.device) -> list[Group]:
    """The pass's groups, built once from its segments (which the packer ordered by bucket)."""
    if context.groups is None:
        context.groups = list(_build(context.segments, device))
    return context.groups  # type: ignore[return-value]


def _build(segments: list[Segment], device: torch.device) -> list[Group]:
    groups: list[list[Segment]] = []
    for segment in segments:
        if (segment.end - segment.start) % ALIGNMENT:
            raise ValueError("the grouped kernel needs segments padded to eight rows")
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and last.end == segment.start
            and last.adapter.bucket == segment.adapter.bucket  # type: ignore[union-attr]
        ):
            groups[-1].append(segment)
        else:
            groups.append([segment])
    out = []
    for members in groups:
        start = members[0].start
        ends = [s.end - start for s in members]
        adapters = [s.adapter for s in members if s.adapter is not None]
        offsets = torch.tensor(ends, dtype=torch.int32, device=device)
        out.append(Group(adapters[0].bucket, start, members[-1].end, adapters, offsets))
    return out


def _stacks(group: Group, index: int, layer_shape: tuple[int, int], like: Tensor) -> Any:
    """A [n, R, d_in] and scale·B [n, d_out, R] of the group's adapters; None if none trains it."""
    views = [adapter.weights[index] for adapter in group.adapters]
    if all(view is None for view in views):
        return None
    d_out, d_in = layer_shape
    a_stack = like.new_zeros(len(views), group.bucket, d_in)
    b_stack = like.new_zeros(len(views), d_out, group.bucket)
    present = [(i, view) for i, view in enumerate(views) if view is not None]
    copies = [a_stack[i, : view[0].shape[0]] for i, view in present]
    torch._foreach_copy_(copies, [view[0] for _, view in present])
    copies = [b_stack[i, :, : view[1].shape[1]] for i, view in present]
    torch._foreach_copy_(copies, [view[1] for _, view in present])
    torch._foreach_mul_(copies, [view[2] for _, view in present])
    return a_stack, b_stack


def add_lora(y: Tensor, x: Tensor, context: PassContext, index: int) -> None:
    """Add the LoRA product of every group to its rows of y, in place; no gradients."""
    shape = (y.shape[1], x.shape[1])
    for group in groups_of(context, x.device):
        stacks = _stacks(group, index, shape, x)
        if stacks is not None:
            a, b = stacks
            h = grouped_mm(x[group.start : group.end], a.transpose(1, 2), offs=group.offsets)
            y[group.start : group.end] += grouped_mm(h, b.transpose(1, 2), offs=group.offsets)


class GroupedLora(torch.autograd.Function):
    """As LoopLora, with two grouped products a group forward and four backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, layer: MultiLoraLinear) -> Tensor:
        """x [T, d_in] -> y [T, d_out]."""
        if layer.bias is None:
            y = torch.mm(x, layer.weight.t())
        else:
            y = torch.addmm(layer.bias, x, layer.weight.t())
        used: list[Group] = []
        saved: list[Tensor] = []
        for group in groups_of(layer.context, x.device):
            stacks = _stacks(group, layer.index, (layer.out_features, layer.in_features), x)
            if stacks is None:
                continue
            a, b = stacks
            h = grouped_mm(x[group.start : group.end], a.transpose(1, 2), offs=group.offsets)
            y[group.start : group.end] += grouped_mm(h, b.transpose(1, 2), offs=group.offsets)
            used.append(group)
            saved.extend((h, a, b))
        if used:
            ctx.save_for_backward(x, *saved)
        ctx.layer, ctx.used = layer, used
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        """dx; dA and dB of every adapter are added to its arena row."""
        gy = grads[0].contiguous()
        layer: MultiLoraLinear = ctx.layer
        gx = torch.mm(gy, layer.weight) if ctx.needs_input_grad[0] else None
        if not ctx.used:
            return gx, None, None
        x, *saved = ctx.saved_tensors
        for i, group in enumerate(ctx.used):
            h, a, b = saved[3 * i : 3 * i + 3]
            rows = slice(group.start, group.end)
            g = gy[rows]
            gh = grouped_mm(g, b, offs=group.offsets)  # b carries the scale
            gb = grouped_mm(g.t(), h, offs=group.offsets)
            ga = grouped_mm(gh.t(), x[rows], offs=group.offsets)
            _scatter(group, layer.index, ga, gb)
            if gx is not None:
                gx[rows] += grouped_mm(gh, a, offs=group.offsets)
        return gx, None, None


def _scatter(group: Group, index: int, ga: Tensor, gb: Tensor) -> None:
    """Add the stacked gradients [n, …] to the adapters' float32 rows, cut to their ranks."""
    targets: list[Tensor] = []
    sources: list[Tensor] = []
    for i, adapter in enumerate(group.adapters):
        view = adapter.weights[index]
        if view is None:
            continue
        grad_a, grad_b = adapter.grads[index]  # type: ignore[index, misc]
        targets += [grad_a, grad_b]
        sources += [ga[i, : adapter.rank].float(), gb[i, :, : adapter.rank].float() * view[2]]
    torch._foreach_add_(targets, sources)
