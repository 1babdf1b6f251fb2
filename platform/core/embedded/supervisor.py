"""Keeps children running: starts them again with growing pauses, stops them in reverse order."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.embedded.processes import EmbeddedError, keep_short, stop, tail

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
HEALTHY_AFTER_S = 60.0


@dataclass
class Child:
    """One process to keep running. `stop_steps`: (signal, seconds to wait), see processes.stop."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop_steps: Sequence[tuple[int, float]]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    crashes: int = 0  # in a row
    start_again_at: float | None = field(default=None, repr=False)

    def launch(self) -> None:
        """Start the process now."""
        self.start_again_at = None
        self.started_at = time.monotonic()
        self.process = self.start()


class Supervisor:
    """The children, in the order in which they were started."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._say = say

    def add(self, child: Child) -> Child:
        """Start a child and keep it running from now on."""
        self.children.append(child)
        child.launch()
        return child

    def check(self) -> None:
        """Start again what has ended and whose pause is over, and keep logs short.

        Call it a few times a second.
        """
        for child in self.children:
            keep_short(child.log)
            if child.start_again_at is not None:
                if time.monotonic() >= child.start_again_at:
                    self._launch(child)
            elif child.process is not None and child.process.poll() is not None:
                self._note_crash(child, f"ended with status {child.process.returncode}")

    def stop(self) -> None:
        """Stop everything, the last started first."""
        for child in reversed(self.children):
            if child.process is not None:
                stop(child.process, child.stop_steps)
        self.children.clear()

    def _launch(self, child: Child) -> None:
        try:
            child.launch()
        except (OSError, EmbeddedError) as error:
            self._note_crash(child, f"does not start: {error}")

    def _note_crash(self, child: Child, what: str) -> None:
        if time.monotonic() - child.started_at > HEALTHY_AFTER_S:
            child.crashes = 0
        pause = min(FIRST_PAUSE_S * 2**child.crashes, LONGEST_PAUSE_S)
        child.crashes += 1
        child.start_again_at = time.monotonic() + pause
        self._say(f"{child.name} {what}; starting it again in {pause:g} s. Log: {child.log}")
        if last := tail(child.log, 5):
            self._say(last)
