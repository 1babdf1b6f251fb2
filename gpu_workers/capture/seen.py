"""Work that has ended, as the recorder is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gpu_workers.engine.types import (
    DropGradient,
    ForwardBackward,
    LoadState,
    OptimStep,
    PassResult,
    RunWork,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """A pass with its result, a step, or what dropped the gradient gathered so far.

    `work` is None where a pass was, but was too much to remember. `result` is an exception of a
    step that was not taken. `at`: seconds of the monotonic clock. `taken_up`: no work at all, but a
    run that has come from elsewhere, of which nothing is known any more.
    """

    run_id: str
    seq: int
    work: RunWork | None
    result: object
    size: int = 0
    at: float = field(default_factory=time.monotonic)
    taken_up: bool = False

    def forgotten(self) -> Seen:
        """The same without its data: of its step nothing is known then."""
        return Seen(self.run_id, self.seq, None, None, 0, self.at)


Note = Callable[[Iterable[Seen]], None]
"""Takes what was seen, in order; never blocks, never raises."""


def seen(run_id: str, seq: int, work: list[RunWork], result: object) -> Seen | None:
    """What is worth noting of an operation on a run, given its last piece of work and its end."""
    last = work[-1] if work else None
    failed = isinstance(result, BaseException)
    if isinstance(last, ForwardBackward):
        if failed or last.forward_only or not isinstance(result, PassResult):
            return None
        return Seen(run_id, seq, last, result, _size(last, result))
    if isinstance(last, OptimStep | DropGradient) or (isinstance(last, LoadState) and not failed):
        return Seen(run_id, seq, last, result)
    return None


def _size(work: ForwardBackward, result: PassResult) -> int:
    """Bytes that it keeps in memory."""
    given = sum(
        datum.tokens.nbytes + sum(array.nbytes for array in datum.inputs.values())
        for datum in work.data
    )
    return given + sum(array.nbytes for array in result.outputs)
