"""A pass in numbers: a row for each datum, and what its step adds up.

Plain numpy over all datums at once: a batch of a thousand costs a few milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from captures.blocks import Arrays
from captures.services import Datum
from gpu_workers.engine.types import Datum as Example
from gpu_workers.engine.types import ForwardBackward, PassResult
from tinsmith.losses import LOSSES

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class Pass:
    """What was seen of one pass. `gaps` are p - q of sampled tokens, float32."""

    work: ForwardBackward
    result: PassResult
    datums: list[Datum]
    columns: _Columns
    gaps: npt.NDArray[np.float32]
    constant: int
    of_policy: bool

    def arrays(self) -> list[Arrays]:
        """What goes into blocks, a datum each."""
        return [self.columns.arrays(place, one) for place, one in enumerate(self.work.data)]


def measure(run_id: str, step: int, seq: int, work: ForwardBackward, result: PassResult) -> Pass:
    """The rows of a pass's datums, and what its step adds up."""
    policy = LOSSES[work.loss_fn].of_policy
    columns = _Columns(work.data, result.outputs, policy=policy)
    counts = columns.sums(columns.trained)
    logprob = _means(columns.sums(np.where(columns.trained, columns.p, 0)), counts)
    sampled: list[float | None] = [None] * len(counts)
    advantage = sampled
    constant = 0
    gaps = np.empty(0, np.float32)
    if columns.q is not None:
        sampled = _means(columns.sums(np.where(columns.trained, columns.q, 0)), counts)
    if columns.advantages is not None and columns.q is not None:
        advantage = _means(columns.sums(np.where(columns.trained, columns.advantages, 0)), counts)
        constant = int((columns.sums(columns.advantages != 0) == 0).sum())
        gaps = (columns.p - columns.q)[columns.trained].astype(np.float32)
    datums = [
        Datum(
            run_id,
            step,
            seq,
            place,
            work.loss_fn,
            len(example.tokens),
            int(counts[place]),
            result.losses[place],
            logprob[place],
            sampled[place],
            advantage[place],
            _hash(example, columns.of(place, columns.trained)),
            _hash_of(example.tokens[: columns.first(place) + 1]),
        )
        for place, example in enumerate(work.data)
    ]
    return Pass(work, result, datums, columns, gaps, constant, policy)


class _Columns:
    """Inputs and logprobs of all datums one after another, a number a position."""

    def __init__(
        self, data: Sequence[Example], outputs: Sequence[npt.NDArray[np.float32]], *, policy: bool
    ) -> None:
        lengths = [len(datum.tokens) for datum in data]
        self._owners = np.repeat(np.arange(len(lengths)), lengths)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths
        self.weights: Floats | None = None
        self.advantages: Floats | None = None
        self.q = self._joined(data, "logprobs")
        if policy:
            self.advantages = self._joined(data, "advantages")
            assert self.advantages is not None
            assert self.q is not None
            self.trained = _sampled(data, lengths, self.q, self.advantages)
            self.p = np.concatenate(outputs).astype(np.float64)
        else:
            given = [datum.inputs["weights"] for datum in data]
            self.weights = np.concatenate([_flat(array) for array in given]).astype(np.float64)
            self.trained = self.weights != 0
            self.p = np.concatenate(
                [_likely(p, w) for p, w in zip(outputs, given, strict=True)]
            ).astype(np.float64)
        self._firsts = np.flatnonzero(self.trained)

    def _joined(self, data: Sequence[Example], name: str) -> Floats | None:
        if not all(name in datum.inputs for datum in data):
            return None
        return np.concatenate([datum.inputs[name] for datum in data]).astype(np.float64)

    def sums(self, column: npt.NDArray) -> Floats:
        """One number a datum, whatever the others hold; a datum may be empty."""
        found = np.bincount(self._owners, column, minlength=len(self._ends))
        return found.astype(np.float64, copy=False)

    def of(self, place: int, column: npt.NDArray) -> npt.NDArray:
        """A datum's part of a column."""
        return column[self._starts[place] : self._ends[place]]

    def first(self, place: int) -> int:
        """A datum's first trained position; its length if it has none."""
        start, end = int(self._starts[place]), int(self._ends[place])
        at = int(np.searchsorted(self._firsts, start))
        found = int(self._firsts[at]) if at < len(self._firsts) else end
        return min(found, end) - start

    def arrays(self, place: int, example: Example) -> Arrays:
        """What is kept of a datum, position by position."""
        kept: dict[str, npt.NDArray] = {
            "tokens": example.tokens.astype("<i4"),
            "targets": _narrow(example).astype("<i4"),
            "trained": self.of(place, self.trained),
            "logprobs": self.of(place, self.p).astype("<f2"),
        }
        if self.q is not None:
            kept["sampled"] = self.of(place, self.q).astype("<f2")
        for name, column in (("weights", self.weights), ("advantages", self.advantages)):
            if column is not None:
                kept[name] = self.of(place, column).astype("<f4")
        return kept


def _sampled(
    data: Sequence[Example], lengths: Sequence[int], q: Floats, advantages: Floats
) -> npt.NDArray[np.bool_]:
    """Which positions were sampled, as `tinsmith.losses.measures` has it."""
    visible = (q != 0) | (advantages != 0)
    if not any("sequence_ratio_mask" in datum.inputs for datum in data):
        return visible
    mask = np.concatenate(
        [
            datum.inputs.get("sequence_ratio_mask", np.full(length, np.nan))
            for datum, length in zip(data, lengths, strict=True)
        ]
    )
    return np.where(np.isnan(mask), visible, mask != 0)


def _flat(weights: npt.NDArray) -> npt.NDArray:
    """[N] of [N] or [N, K]: what a position weighs altogether."""
    return weights if weights.ndim == 1 else weights.sum(-1)


def _likely(p: npt.NDArray, weights: npt.NDArray) -> npt.NDArray:
    """[N]: the logprob of a position's target; of several their mean by weight."""
    if p.ndim == 1:
        return p
    total = weights.sum(-1)
    return np.where(total != 0, (weights * p).sum(-1) / np.where(total, total, 1), p[:, 0])


def _narrow(example: Example) -> npt.NDArray:
    """[N]: the target; of several the one that weighs most."""
    targets = example.inputs["target_tokens"]
    if targets.ndim == 1:
        return targets
    heaviest = example.inputs["weights"].argmax(-1)
    return np.take_along_axis(targets, heaviest[:, None], 1)[:, 0]


def _means(sums: Floats, counts: Floats) -> list[float | None]:
    return [
        total / count if count and np.isfinite(total) else None
        for total, count in zip(sums.tolist(), counts.tolist(), strict=True)
    ]


def _hash(example: Example, trained: npt.NDArray) -> int:
    return _hash_of(example.tokens, example.inputs["target_tokens"], trained)


def _hash_of(*arrays: npt.NDArray) -> int:
    """64 bits, signed as PostgreSQL has them."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(array.tobytes())
    return int.from_bytes(digest.digest(), "little", signed=True)
