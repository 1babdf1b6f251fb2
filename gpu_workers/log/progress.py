"""How far each run held by a worker has come: what is under way, what is finished."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from gpu_workers.engine.types import UserError
from operations.claims import AdoptedRun

SNAPSHOT_EVERY_OPERATIONS = 128
SNAPSHOT_EVERY_S = 30.0


@dataclass(slots=True)
class RunProgress:
    """One run. Saves finish after their successors, so "finished" is a set, not a number."""

    run: AdoptedRun
    last_submitted: int
    under_way: set[int] = field(default_factory=set)
    since_snapshot: int = 0
    snapshot_at: float = field(default_factory=time.monotonic)
    snapshot_under_way: bool = False
    snapshot_wanted: bool = False
    # on its way back after a crash: the engine is behind `last_submitted`
    restoring: bool = False
    # why operation 0 failed: there is nothing then for others to work on
    not_created: str | None = None

    def require_created(self) -> None:
        """Refuse work on a run that could not be created.

        Raises:
            UserError: it could not.
        """
        if self.not_created is not None:
            raise UserError(f"the run was not created: {self.not_created}")

    def submitted(self, seq: int) -> None:
        """An operation has gone to the engine."""
        self.under_way.add(seq)
        self.last_submitted = max(self.last_submitted, seq)

    def finished(self, seq: int) -> None:
        """An operation has its outcome."""
        self.under_way.discard(seq)
        self.since_snapshot += 1

    def applied_with(self, seqs: set[int]) -> int:
        """The seq up to which everything is finished once these are."""
        return min(self.under_way - seqs, default=self.last_submitted + 1) - 1

    def snapshot_due(self) -> bool:
        """Whether enough has happened since the last recovery copy for another one."""
        if self.snapshot_under_way or self.restoring or self.last_submitted < 0:
            return False
        if self.snapshot_wanted or self.since_snapshot >= SNAPSHOT_EVERY_OPERATIONS:
            return True
        return self.since_snapshot > 0 and time.monotonic() - self.snapshot_at > SNAPSHOT_EVERY_S

    def snapshot_started(self) -> None:
        """A recovery copy is being written."""
        self.snapshot_under_way, self.snapshot_wanted = True, False
        self.since_snapshot, self.snapshot_at = 0, time.monotonic()
