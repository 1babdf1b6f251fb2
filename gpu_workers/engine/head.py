"""The fused head: from final hidden states to logprobs, losses and gradients, block by block.

Logits [T, V] are never kept: a block of rows is multiplied by lm_head, its logprobs are read off,
the loss says what the derivative by each logprob is, the logits turn into their own gradient in
place, and that is multiplied back. LoRA on lm_head (`train_unembed`) rides along, per unit.

A unit is a slice of one chunk, cut by a rule that looks at the chunk alone; every sum over rows
(the gradients of lm_head's A and B) is over one unit. Blocks put units together for the big
products, which treat rows one by one. So no number depends on who else is in the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from gpu_workers.engine.lora.context import Adapter
from gpu_workers.engine.lora.linear import accumulate
from gpu_workers.engine.losses import Coefficients

BLOCK_ROWS = {"cpu": 256, "cuda": 1024}
BLOCK_ELEMENTS = {"cpu": 1 << 25, "cuda": 1 << 28}
"""Logits of a block are at most this many numbers, unless that is less than `row_multiple` rows."""


@dataclass(slots=True, eq=False)
class Part:
    """One chunk in the pass: rows [start, end), its adapter, targets and loss.

    `targets` int64 [n] or [n, K]. `loss(p, rows)` gives (dL/dp, terms) for the chunk's rows
    `rows`, where p are their logprobs. `weights` is set instead if the loss is cross_entropy on [n]
    targets, which needs no call: g = -weights. `whole`: the loss must see all rows at once.
    After `FusedHead.run`, `logprobs` is shaped like targets and `terms` is [n].
    """

    start: int
    end: int
    adapter: Adapter | None
    targets: Tensor
    loss: Callable[[Tensor, slice], Coefficients] | None = None
    weights: Tensor | None = None
    whole: bool = False
    logprobs: Tensor = field(default_factory=lambda: torch.empty(0))
    terms: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(slots=True)
class _Unit:
    part: Part
    start: int  # rows of the pass
    end: int

    @property
    def inside(self) -> slice:
        """The unit's rows counted within its part."""
        return slice(self.start - self.part.start, self.end - self.part.start)


@dataclass(slots=True)
class _Block:
    """Rows [low, high) are computed, of which [start, end) are the units' own."""

    units: list[_Unit]
    start: int
    end: int
    low: int
    high: int


class FusedHead:
    """lm_head [V, d] with LoRA module `index`. `row_multiple`: see docs/engine.md, bit equality."""

    def __init__(self, weight: Tensor, index: int, row_multiple: int) -> None:
        self.weight = weight
        self.index = index
        self.row_multiple = row_multiple
        device = "cuda" if weight.is_cuda else "cpu"
        rows = min(BLOCK_ROWS[device], BLOCK_ELEMENTS[device] // weight.shape[0])
        self.block_rows = max(row_multiple, rows // row_multiple * row_multiple)

    @torch.no_grad()
    def run(self, h: Tensor, parts: list[Part], *, gradient: bool) -> Tensor | None:
        """Fill the parts' logprobs and terms from h [T, d]; with `gradient`, dL/dh [T, d].

        T must be a multiple of `row_multiple`. Gradients of lm_head's LoRA are added to the
        adapters' rows. Rows outside all parts get zero gradient.
        """
        for part in parts:
            part.logprobs = h.new_empty(part.targets.shape, dtype=torch.float32)
            part.terms = h.new_empty(part.end - part.start, dtype=torch.float32)
        whole = [part for part in parts if part.whole]
        if whole:  # their logprobs come first, all of them; then their loss is a known number a row
            for block in self._blocks(whole, h.shape[0]):
                self._block(h, block, None)
            for part in whole:
                _settle(part)
        dh = torch.zeros_like(h) if gradient else None
        todo = parts if gradient else [part for part in parts if not part.whole]
        for block in self._blocks(todo, h.shape[0]):
            self._block(h, block, dh, losses=True)
        return dh

    def _units(self, parts: list[Part]) -> Iterator[_Unit]:
        for part in parts:
            rows = part.end - part.start
            pieces = -(-rows // self.block_rows)
            edges = [part.start + rows * i // pieces for i in range(pieces + 1)]
            for start, end in pairwise(edges):
                yield _Unit(part, start, end)

    def _blocks(self, parts: list[Part], total: int) -> Iterator[_Block]:
        """Neighbouring units, up to block_rows rows together; padded for bit equality."""
        units: list[_Unit] = []
        for unit in self._units(parts):
            if units and unit.end - units[0].start > self.block_rows:
                yield self._padded(units, total)
                units = []
            units.append(unit)
        if units:
            yield self._padded(units, total)

    def _padded(self, units: list[_Unit], total: int) -> _Block:
        start, end = units[0].start, units[-1].end
        rows = -(-(end - start) // self.row_multiple) * self.row_multiple
        low = min(start, total - rows)
        return _Block(units, start, end, low, low + rows)

    def _block(self, h: Tensor, block: _Block, dh: Tensor | None, losses: bool = False) -> None:
        x = h[block.low : block.high]
        logits = self._logits(x, block)
        own = slice(block.start - block.low, block.end - block.low)
        targets = [_columns(unit.part.targets[unit.inside]) for unit in block.units]
        rows = [slice(u.start - block.low, u.end - block.low) for u in block.units]
        chosen = [logits[r].gather(1, t) for r, t in zip(rows, targets, strict=True)]
        peak = logits.amax(-1, keepdim=True)
        logits.sub_(peak).exp_()
        total = logits.sum(-1, keepdim=True)
        log_total = total.log()
        slope = torch.zeros_like(total)  # minus the sum of a row's coefficients
        coefficients: list[Tensor] = []
        for unit, r, value in zip(block.units, rows, chosen, strict=True):
            p = value.sub_(peak[r]).sub_(log_total[r])
            p = p.view(unit.part.targets[unit.inside].shape)
            unit.part.logprobs[unit.inside] = p
            if losses:
                g, terms = _loss(unit, p)
                unit.part.terms[unit.inside] = terms if terms.dim() == 1 else terms.sum(-1)
                coefficients.append(_columns(g))
                slope[r] = -_columns(g).sum(-1, keepdim=True)
        if dh is None:
            return
        # d loss / d logits = g (onehot - softmax), in place of the logits.
        logits.mul_(slope.div_(total))
        for r, t, g in zip(rows, targets, coefficients, strict=True):
            logits[r].scatter_add_(1, t, g)
        slopes = logits.to(h.dtype)
        dh[block.start : block.end] = torch.mm(slopes, self.weight)[own]
        self._lora_backward(h, dh, block, slopes)

    def _logits(self, x: Tensor, block: _Block) -> Tensor:
        """Float32 logits [m, V] of the block's rows, LoRA included."""
        if x.is_cuda and x.dtype != torch.float32:
            logits = torch.mm(x, self.weight.t(), out_dtype=torch.float32)
        else:
            logits = torch.mm(x, self.weight.t()).float()
        for unit in block.units:
            view = self._view(unit)
            if view is None:
                continue
            a, b, scale = view
            r = slice(unit.start - block.low, unit.end - block.low)
            hidden = torch.mm(x[r], a.t())
            if logits.dtype == x.dtype:
                logits[r].addmm_(hidden, b.t(), alpha=scale)
            else:
                logits[r].add_(torch.mm(hidden, b.t()), alpha=scale)
        return logits

    def _lora_backward(self, h: Tensor, dh: Tensor, block: _Block, slopes: Tensor) -> None:
        for unit in block.units:
            view = self._view(unit)
            if view is None or unit.part.adapter is None or unit.part.adapter.grads is None:
                continue
            a, b, scale = view
            ga, gb = unit.part.adapter.grads[self.index]  # type: ignore[misc]
            x = h[unit.start : unit.end]
            g = slopes[unit.start - block.low : unit.end - block.low]
            gh = torch.mm(g, b).mul_(scale)
            accumulate(gb, g, torch.mm(x, a.t()), scale)
            accumulate(ga, gh, x, 1.0)
            dh[unit.start : unit.end].addmm_(gh, a)

    def _view(self, unit: _Unit) -> tuple[Tensor, Tensor, float] | None:
        adapter = unit.part.adapter
        return None if adapter is None else adapter.weights[self.index]


def _columns(t: Tensor) -> Tensor:
    """[n] -> [n, 1]; [n, K] as it is."""
    return t.unsqueeze(-1) if t.dim() == 1 else t


def _loss(unit: _Unit, p: Tensor) -> Coefficients:
    part = unit.part
    if part.weights is not None:
        g = -part.weights[unit.inside]
        return g, g * p
    if part.loss is None:
        raise RuntimeError("a part has neither loss nor weights")
    return part.loss(p, unit.inside)


def _settle(part: Part) -> None:
    """Ask a loss that needs all rows for all of them, and remember its answer."""
    if part.loss is None:
        raise RuntimeError("a part has neither loss nor weights")
    g, terms = part.loss(part.logprobs, slice(0, part.end - part.start))
    part.terms.copy_(terms if terms.dim() == 1 else terms.sum(-1))
    part.loss = lambda p, rows: (g[rows], terms[rows])
