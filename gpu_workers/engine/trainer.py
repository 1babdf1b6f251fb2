"""The trainer: what one forward_backward request is made of, and how a pass computes many of them.

A `Job` is one request: its chunks, its results as they come, and what is needed to undo it. The
`Trainer` runs micro-batches of chunks of many jobs; it knows nothing of queues or threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gpu_workers.engine import divergence
from gpu_workers.engine.arena import Row
from gpu_workers.engine.attention import packed_attention
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.head import FusedHead, Part
from gpu_workers.engine.lora import grouped
from gpu_workers.engine.lora.context import Adapter, Segment
from gpu_workers.engine.losses import FORMULAS, Coefficients, Inputs
from gpu_workers.engine.memory import CheckpointPlan
from gpu_workers.engine.packing import Cut, Packed, cut, pack
from gpu_workers.engine.types import Datum, Float32Array, ForwardBackward, PassResult
from gpu_workers.engine.validate import loss_config
from tinsmith.losses import LOSSES
from tinsmith.losses.measures import measure

UNIFORM = "warning_uniform_tokens:sum"
"""The metric of a request in which every token was as likely as any other: the run diverged."""
_UNIFORM_WITHIN = 1e-5


@dataclass(eq=False)
class Job:
    """One request on its way: `row` is set while its run is in memory."""

    work: ForwardBackward
    chunk_tokens: int
    row: Row | None = None
    cuts: list[Cut] = field(init=False)
    outputs: list[Float32Array] = field(init=False)
    frozen: Adapter | None = None  # what it is compared with; None: the base model
    references: dict[int, Float32Array] = field(default_factory=dict)
    """Logprobs under the reference by datum, of those that are to be compared with it."""
    sums: dict[int, float] = field(default_factory=dict)  # chunk -> its part of the loss
    losses: dict[int, float] = field(default_factory=dict)  # datum -> its part of the loss
    uniform: int = 0  # chunks in which every token is as likely as any other
    begun: bool = False
    backup: Tensor | None = None  # the gradient from before, if there was any

    def __post_init__(self) -> None:
        lengths = [len(datum.tokens) for datum in self.work.data]
        widths = [_width(datum.inputs["target_tokens"]) for datum in self.work.data]
        self.cuts = cut(lengths, self.chunk_tokens, widths, LOSSES[self.work.loss_fn].group)
        self.outputs = [np.empty(0, np.float32)] * len(self.work.data)

    @property
    def lacks_reference(self) -> bool:
        """Whether logprobs under the reference are to be computed for it."""
        wanted = bool(LOSSES[self.work.loss_fn].reference)
        return wanted and "logprobs" not in self.work.data[0].inputs

    def datum(self, number: int) -> Datum:
        """A datum, with the reference logprobs that were computed for it."""
        datum, found = self.work.data[number], self.references.get(number)
        if found is None:
            return datum
        return Datum(datum.tokens, datum.inputs | {"logprobs": found})

    @property
    def gradient(self) -> bool:
        """Whether this job adds gradients."""
        return not self.work.forward_only

    def begin(self, row: Row) -> None:
        """Remember the gradient as it is before the job's first chunk."""
        self.row = row
        if self.begun:
            return
        if self.gradient and row.dirty:
            self.backup = row.gradient.clone()
        self.begun = True  # last: without a copy there is nothing that `undo` could put back

    def undo(self) -> None:
        """Put the gradient back, forget all results: as if the job had never begun."""
        if self.begun and self.gradient and self.row is not None:
            if self.backup is None:
                self.row.clear_gradient()
            else:
                self.row.gradient.copy_(self.backup)
                self.row.dirty = True
        self.begun = False
        self.backup = None
        self.references.clear()
        self.sums.clear()
        self.losses.clear()
        self.uniform = 0

    def finish(self) -> PassResult:
        """The result, when all chunks are done. UserError if the gradient overflowed."""
        if self.gradient and self.row is not None and not _finite(self.row.gradient):
            raise divergence.of_gradient(self.work.data, self.row)
        loss = 0.0
        for number in range(len(self.cuts)):  # in order: the sum must not depend on the schedule
            loss += self.sums[number]
        tokens = sum(part.tokens for part in self.cuts)
        losses = [self.losses[number] for number in range(len(self.work.data))]
        result = PassResult(self.outputs, {"loss:sum": loss, "tokens:sum": float(tokens)}, losses)
        if self.uniform == len(self.cuts):
            result.metrics[UNIFORM] = float(tokens)
        spec = LOSSES[self.work.loss_fn]
        config = loss_config(spec, self.work.loss_config)
        inputs = [self.datum(number).inputs for number in range(len(self.work.data))]
        result.metrics.update(measure(spec, config, inputs, self.outputs))
        self.backup = None  # last: until then the job can be undone
        return result


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a job."""

    job: Job
    number: int

    @property
    def cut(self) -> Cut:
        return self.job.cuts[self.number]

    @property
    def data(self) -> list[Datum]:
        """The chunk's datums."""
        return [self.job.datum(number) for number in range(self.cut.first, self.cut.last)]


class Trainer:
    """Runs micro-batches on one base model."""

    def __init__(self, base: BaseModel, row_multiple: int, checkpoints: CheckpointPlan) -> None:
        self.base = base
        self.row_multiple = row_multiple
        self.segment_multiple = grouped.ALIGNMENT if base.context.kernel == "grouped" else 1
        self.head = FusedHead(base.head_weight, base.head_index, row_multiple)
        self.checkpoints = checkpoints
        self.tokens_done = 0
        self._uniform = -math.log(base.info.vocab_size)

    def run(self, chunks: list[Chunk]) -> dict[Job, Exception]:
        """One pass over the chunks, all with gradients or all without; gives the jobs that failed.

        Results are filed in the jobs, gradients added to their rows. Chunks of one job must come in
        order. An exception leaves rows half done: undo every job and run them one by one.
        """
        gradient = chunks[0].job.gradient
        self._refer([chunk for chunk in chunks if chunk.job.lacks_reference])
        if self.base.context.kernel == "grouped":
            chunks = sorted(chunks, key=lambda chunk: _row(chunk).bucket)
        packed = pack(
            [[datum.tokens for datum in chunk.data] for chunk in chunks],
            self.row_multiple,
            self.segment_multiple,
        )
        segments = [
            Segment(_row(chunk), span.start, span.padded_end)
            for chunk, span in zip(chunks, packed.spans, strict=True)
        ]
        parts = [
            self._part(chunk, span.start, span.end)
            for chunk, span in zip(chunks, packed.spans, strict=True)
        ]
        if gradient:
            for chunk in chunks:
                _row(chunk).dirty = True
        self._pass(packed, segments, parts, gradient=gradient)
        self.tokens_done += len(packed.tokens)
        return self._file(chunks, parts)

    def _refer(self, chunks: list[Chunk]) -> None:
        """Compute the reference's logprobs for the chunks: a pass with frozen adapters, or none."""
        if not chunks:
            return
        if self.base.context.kernel == "grouped":
            chunks = sorted(chunks, key=lambda chunk: _bucket(chunk.job.frozen))
        packed = pack(
            [[datum.tokens for datum in chunk.data] for chunk in chunks],
            self.row_multiple,
            self.segment_multiple,
        )
        segments = [
            Segment(chunk.job.frozen, span.start, span.padded_end)
            for chunk, span in zip(chunks, packed.spans, strict=True)
        ]
        parts = []
        for chunk, span in zip(chunks, packed.spans, strict=True):
            targets = [datum.inputs["target_tokens"] for datum in chunk.data]
            nothing = torch.zeros(span.end - span.start, device=self.base.device)
            tensor = self._tensor(np.concatenate(targets).astype(np.int64))
            frozen = chunk.job.frozen
            parts.append(Part(span.start, span.end, frozen, tensor, weights=nothing))
        self._pass(packed, segments, parts, gradient=False)
        for chunk, part in zip(chunks, parts, strict=True):
            ends = np.cumsum([len(datum.tokens) for datum in chunk.data])[:-1]
            found = np.split(part.logprobs.cpu().numpy(), ends)
            chunk.job.references.update(enumerate(found, chunk.cut.first))

    def _pass(
        self, packed: Packed, segments: list[Segment], parts: list[Part], *, gradient: bool
    ) -> None:
        context = self.base.context
        context.begin(segments, packed_attention, packed.lengths)
        try:
            tokens, positions = self._tensor(packed.tokens), self._tensor(packed.positions)
            self._compute(tokens, positions, parts, gradient)
        finally:
            context.end()

    def _compute(
        self, tokens: Tensor, positions: Tensor, parts: list[Part], gradient: bool
    ) -> None:
        if not gradient:
            with torch.inference_mode():
                hidden = self.base.hidden(tokens, positions)
                self.head.run(hidden, parts, gradient=False)
            return
        layers = self.checkpoints.layers(len(tokens))
        with torch.enable_grad():
            hidden = self.base.hidden(tokens, positions, layers)
        slopes = self.head.run(hidden.detach(), parts, gradient=True)
        hidden.backward(slopes)

    def _part(self, chunk: Chunk, start: int, end: int) -> Part:
        work = chunk.job.work
        spec = LOSSES[work.loss_fn]
        config = loss_config(spec, work.loss_config)
        targets, inputs = gather(chunk.data, {"sequence_ratio_mask": 1.0} | config)
        part = Part(
            start,
            end,
            adapter=_row(chunk),
            targets=self._tensor(targets),
            whole=spec.whole_sequences,
        )
        tensors = {name: self._tensor(array) for name, array in inputs.items()}
        if spec.name == "cross_entropy":
            part.weights = tensors["weights"]
            return part
        if spec.whole_sequences:
            tensors["lengths"] = torch.tensor([len(datum.tokens) for datum in chunk.data])
        part.loss = _bound_loss(FORMULAS[spec.name], tensors, config)
        return part

    def _tensor(self, array: npt.NDArray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.base.device, non_blocking=True)

    def _file(self, chunks: list[Chunk], parts: list[Part]) -> dict[Job, Exception]:
        """Hand logprobs and losses to the jobs; find what is not finite."""
        failed: dict[Job, Exception] = {}
        for chunk, part in zip(chunks, parts, strict=True):
            job = chunk.job
            logprobs = part.logprobs.cpu().numpy()
            terms = part.terms.cpu().numpy()
            row = 0
            for number in range(chunk.cut.first, chunk.cut.last):
                targets = job.work.data[number].inputs["target_tokens"]
                rows = slice(row, row + len(targets))
                out = logprobs[rows]
                if out.ndim == 2:
                    out = out[:, : targets.shape[1]] if targets.ndim == 2 else out[:, 0]
                job.outputs[number] = np.ascontiguousarray(out)
                if job not in failed and not np.isfinite(out).all():
                    failed[job] = divergence.of_logprobs(number, _row(chunk))
                elif job not in failed and not np.isfinite(terms[rows]).all():
                    failed[job] = divergence.of_loss(number, job.work.data[number], out)
                job.losses[number] = float(np.sum(terms[rows], dtype=np.float64))
                row += len(targets)
            job.sums[chunk.number] = float(np.sum(terms, dtype=np.float64))
            job.uniform += bool((np.abs(logprobs - self._uniform) < _UNIFORM_WITHIN).all())
        return failed


def _finite(gradient: Tensor) -> bool:
    """Whether it is, and its squares are: Adam squares it."""
    return bool(torch.isfinite(torch.linalg.vector_norm(gradient)))


def _bucket(adapter: Adapter | None) -> int:
    return 0 if adapter is None else adapter.bucket


def _row(chunk: Chunk) -> Row:
    if chunk.job.row is None:
        raise RuntimeError("the run is not in memory")
    return chunk.job.row


def _bound_loss(
    formula: Callable[[Tensor, Inputs, dict[str, float]], Coefficients],
    tensors: Inputs,
    config: dict[str, float],
) -> Callable[[Tensor, slice], Coefficients]:
    def loss(p: Tensor, rows: slice) -> Coefficients:
        if "lengths" in tensors:  # asked once, for all rows
            return formula(p, tensors, config)
        return formula(p, {name: tensor[rows] for name, tensor in tensors.items()}, config)

    return loss


def gather(
    data: list[Datum], defaults: dict[str, float]
) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[np.float32]]]:
    """Targets and loss inputs of some datums, one after another.

    Targets are [n], or [n, K] with the largest K if any datum has [N, K]: missing columns are token
    0 with weight 0, few of them thanks to `packing.cut`. An optional input that only some datums
    have is its default in the others.
    """
    targets = [datum.inputs["target_tokens"] for datum in data]
    width = max(_width(t) for t in targets)
    inputs: dict[str, npt.NDArray[np.float32]] = {}
    for name in {name for datum in data for name in datum.inputs} - {"target_tokens"}:
        columns = []
        for datum in data:
            array = datum.inputs.get(name)
            if array is None:
                array = np.full(len(datum.tokens), defaults[name])
            columns.append(_widen(array, width))
        inputs[name] = np.concatenate(columns).astype(np.float32)
    return np.concatenate([_widen(t, width) for t in targets]).astype(np.int64), inputs


def _width(targets: npt.NDArray) -> int:
    """K of [N, K] targets, 0 of [N]."""
    return targets.shape[1] if targets.ndim == 2 else 0


def _widen(array: npt.NDArray, width: int) -> npt.NDArray:
    """[n] or [n, k] -> [n, width], zeros added; as it is if width is 0."""
    if not width:
        return array
    wide = np.zeros((len(array), width), array.dtype)
    if array.ndim == 1:
        wide[:, 0] = array
    else:
        wide[:, : array.shape[1]] = array
    return wide
