"""The runs of a worker, taken up anew while another thread finishes work on them."""

from __future__ import annotations

import uuid
from typing import Any, cast

import pytest

from gpu_workers.engine.types import Done, RunWork, SaveState
from gpu_workers.log.held_runs import HeldRuns
from gpu_workers.log.progress import RunProgress
from operations.claims import AdoptedRun

RUN = AdoptedRun("s:train:0", "acme/tiny", 8, 1, True, True, True, 1, 0, -1, None)


class Engines:
    """What engines are asked for."""

    def __init__(self) -> None:
        self.given: list[RunWork] = []

    def submit(self, run: AdoptedRun, work: RunWork, done: Done) -> None:
        self.given.append(work)

    def drop_run(self, run_id: str) -> None:
        pass


class Restores:
    """Runs on their way back, for ever."""

    def begin(self, progress: RunProgress) -> None:
        progress.restoring = True

    def abandon(self, run_id: str) -> None:
        pass


@pytest.mark.parametrize("anew", [False, True])
def test_no_recovery_copy_is_made_of_a_run_that_is_taken_up_anew_just_then(
    monkeypatch: pytest.MonkeyPatch, anew: bool
) -> None:
    """It would say that it holds operations that the engine has yet to do again."""
    engines = Engines()
    held = HeldRuns(
        uuid.uuid4(),
        "default",
        engines=cast(Any, engines),
        restores=cast(Any, Restores()),
        finisher=cast(Any, None),
    )
    held.take_up(RUN)
    progress = held.find(RUN.id)
    assert progress is not None
    progress.restoring = False
    held.give(progress, 1, [], lambda _: None, snapshot_after=True)
    due = RunProgress.snapshot_due

    def due_but_late(self: RunProgress) -> bool:
        answer = due(self)
        if anew:
            held.take_up(RUN)
        return answer

    monkeypatch.setattr(RunProgress, "snapshot_due", due_but_late)
    held.written([f"{RUN.id}:1"])
    assert [type(work) for work in engines.given] == ([] if anew else [SaveState])
