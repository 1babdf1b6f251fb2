"""Where adapters live: one contiguous float32 row a run, holding master, gradient and moments.

A row's layout follows from the adapter's rank bucket and from what it trains, never from who else
is there. Ranks are padded up to their bucket; the padding is zero, gets no gradient, stays zero.
One row means that Adam, clipping, zeroing, saving, parking and publishing are one operation each.

Rows are taken from memory when a run comes and given back when it leaves, up to a limit of slots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gpu_workers.engine.base import ModuleInfo
from gpu_workers.engine.lora.context import GradView, LoraView
from gpu_workers.engine.types import LORA_ALPHA, AdapterSpec

BUCKETS = (8, 16, 32, 64, 128)
MASTER, GRADIENT, MOMENT1, MOMENT2 = range(4)


def bucket_of(rank: int) -> int:
    """The smallest bucket that holds `rank`."""
    return next(b for b in BUCKETS if b >= rank)


def trains(spec: AdapterSpec, module: ModuleInfo) -> bool:
    """Whether an adapter of this shape has LoRA on the module."""
    wanted = {"attn": spec.train_attn, "mlp": spec.train_mlp, "unembed": spec.train_unembed}
    return wanted[module.kind]


@dataclass(frozen=True, slots=True)
class Placement:
    """One module's place in a row: A [bucket, d_in] at `a`, B [d_out, bucket] at `b`."""

    module: ModuleInfo
    a: int
    b: int


class Layout:
    """Where each trained module's A and B lie in a row; `places[i]` by module index."""

    def __init__(self, modules: list[ModuleInfo], spec: AdapterSpec) -> None:
        self.bucket = bucket_of(spec.rank)
        self.rank = spec.rank
        self.places: list[Placement | None] = []
        offset = 0
        for module in modules:
            if not trains(spec, module):
                self.places.append(None)
                continue
            b = offset + self.bucket * module.d_in
            self.places.append(Placement(module, offset, b))
            offset = b + self.bucket * module.d_out
        self.size = offset

    def views(self, row: Tensor) -> list[tuple[Tensor, Tensor] | None]:
        """A [rank, d_in] and B [d_out, rank] of each module, as views of row [size]."""
        return [None if place is None else self._view(row, place) for place in self.places]

    def _view(self, row: Tensor, place: Placement) -> tuple[Tensor, Tensor]:
        d_in, d_out = place.module.d_in, place.module.d_out
        a = row[place.a : place.a + self.bucket * d_in].view(self.bucket, d_in)
        b = row[place.b : place.b + self.bucket * d_out].view(d_out, self.bucket)
        return a[: self.rank], b[:, : self.rank]


@dataclass(slots=True)
class RowState:
    """A run's numbers outside the arena: rows [size] on the CPU or wherever they were copied to.

    `moments` is None when Adam's state was left out; `gradient` when there was none.
    """

    master: Tensor
    moments: tuple[Tensor, Tensor] | None
    gradient: Tensor | None
    steps: int

    @property
    def tensors(self) -> list[Tensor]:
        """All rows that there are."""
        return [t for t in (self.master, *(self.moments or ()), self.gradient) if t is not None]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return sum(tensor.nbytes for tensor in self.tensors)


class Row:
    """One run's adapter in memory. Implements lora.context.Adapter."""

    def __init__(
        self, layout: Layout, spec: AdapterSpec, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.layout = layout
        self.spec = spec
        self.rank = spec.rank
        self.bucket = layout.bucket
        self.steps = 0
        self.dirty = False  # gradient may be non-zero
        self.bounds: tuple[float, float] | None = None  # of weights and first moments, if known
        self.state = torch.zeros(4, layout.size, device=device)
        self.master, self.gradient, self.moment1, self.moment2 = self.state.unbind(0)
        self.shadow: Tensor | None = None  # what is computed with, if that is not the master
        if dtype != torch.float32:
            self.shadow = torch.zeros(layout.size, device=device, dtype=dtype)
        scale = LORA_ALPHA / spec.rank
        computed = self.master if self.shadow is None else self.shadow
        self.weights: list[LoraView | None] = [
            None if view is None else (*view, scale) for view in layout.views(computed)
        ]
        self.grads: list[GradView | None] | None = list(layout.views(self.gradient))

    def initialize(self) -> None:
        """A uniform in ±1/sqrt(d_in) from the spec's seed, B zero, no moments, no gradient.

        The numbers are drawn module by module on the CPU from a generator of this run's own.
        """
        generator = torch.Generator().manual_seed(self.spec.seed % 2**63)
        self.state.zero_()
        for place, view in zip(self.layout.places, self.layout.views(self.master), strict=True):
            if place is None or view is None:
                continue
            bound = 1 / math.sqrt(place.module.d_in)
            a = torch.empty(self.rank, place.module.d_in)
            view[0].copy_(a.uniform_(-bound, bound, generator=generator))
        self.steps = 0
        self.dirty = False
        self.bounds = None
        self.refresh()

    def refresh(self) -> None:
        """Bring the compute copy up to the master."""
        if self.shadow is not None:
            self.shadow.copy_(self.master)

    def peak(self) -> float:
        """The largest weight, without its sign."""
        low, high = self.master.aminmax()
        return max(-low.item(), high.item())

    def is_trained(self) -> bool:
        """Whether the adapter changes anything: B is zero until the first step or load."""
        return any(bool(view[1].any()) for view in self.layout.views(self.master) if view)

    def clear_gradient(self) -> None:
        """Zero the gradient, if there may be any."""
        if self.dirty:
            self.gradient.zero_()
            self.dirty = False

    def snapshot(self, *, moments: bool, gradient: bool) -> RowState:
        """A copy that stays as it is while training goes on."""
        return RowState(
            master=self.master.clone(),
            moments=(self.moment1.clone(), self.moment2.clone()) if moments else None,
            gradient=self.gradient.clone() if gradient and self.dirty else None,
            steps=self.steps if moments else 0,
        )

    def restore(self, state: RowState) -> None:
        """Take over `state`; moments or gradient that it lacks become zero."""
        self.master.copy_(state.master)
        if state.moments is None:
            self.moment1.zero_()
            self.moment2.zero_()
        else:
            self.moment1.copy_(state.moments[0])
            self.moment2.copy_(state.moments[1])
        if state.gradient is None:
            self.gradient.zero_()
        else:
            self.gradient.copy_(state.gradient)
        self.dirty = state.gradient is not None
        self.steps = state.steps
        self.bounds = None
        self.refresh()

    def handover(self) -> RowState:
        """The row's own tensors, for a row that is leaving the arena: nothing is copied."""
        return RowState(
            master=self.master,
            moments=(self.moment1, self.moment2),
            gradient=self.gradient if self.dirty else None,
            steps=self.steps,
        )


class FrozenAdapter:
    """Published weights: an adapter that is only ever read. Implements lora.context.Adapter."""

    grads: list[GradView | None] | None = None

    def __init__(self, layout: Layout, row: Tensor) -> None:
        """`row` [size] must be this adapter's own copy, in the dtype to compute with."""
        self.rank = layout.rank
        self.bucket = layout.bucket
        self.row = row
        scale = LORA_ALPHA / layout.rank
        self.weights: list[LoraView | None] = [
            None if view is None else (*view, scale) for view in layout.views(row)
        ]

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.row.numel() * self.row.element_size()


@dataclass(slots=True)
class Arena:
    """All rows in memory: at most `slots` of them, and about `max_bytes`."""

    modules: list[ModuleInfo]
    slots: int
    max_bytes: int
    device: torch.device
    dtype: torch.dtype
    used: int = 0
    nbytes: int = 0
    _layouts: dict[tuple[int, bool, bool, bool], Layout] = field(default_factory=dict)

    def layout(self, spec: AdapterSpec) -> Layout:
        """The layout of adapters shaped like this (the seed does not matter)."""
        key = (spec.rank, spec.train_attn, spec.train_mlp, spec.train_unembed)
        layout = self._layouts.get(key)
        if layout is None:
            layout = self._layouts[key] = Layout(self.modules, spec)
        return layout

    def fits(self, spec: AdapterSpec) -> bool:
        """Whether there is room for one more such run. One run always fits."""
        if not self.used:
            return True
        return self.used < self.slots and self.nbytes + self._row_bytes(spec) <= self.max_bytes

    def acquire(self, spec: AdapterSpec) -> Row:
        """A zeroed row."""
        row = Row(self.layout(spec), spec, self.device, self.dtype)
        self.readmit(row)
        return row

    def readmit(self, row: Row) -> None:
        """Count a row that was released, but not let go."""
        self.used += 1
        self.nbytes += self._row_bytes(row.spec)

    def release(self, row: Row) -> None:
        """Say that a row was let go; its memory goes with its last reference."""
        self.used -= 1
        self.nbytes -= self._row_bytes(row.spec)

    def frozen(self, spec: AdapterSpec, master: Tensor) -> FrozenAdapter:
        """A published copy of master [size], in the compute dtype."""
        row = master.to(device=self.device, dtype=self.dtype, copy=True)
        return FrozenAdapter(self.layout(spec), row)

    def _row_bytes(self, spec: AdapterSpec) -> int:
        shadow = 0 if self.dtype == torch.float32 else self.dtype.itemsize
        return self.layout(spec).size * (4 * 4 + shadow)
