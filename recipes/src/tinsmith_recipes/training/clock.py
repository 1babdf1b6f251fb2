"""``Clock``: how long a run has worked, all its starts together."""

from __future__ import annotations

import time

from tinsmith_recipes.training.folder import RunFolder


class Clock:
    """Counts on from what the run's folder says.

    A start that is killed has counted up to the last ``keep``; pauses between starts count nothing.

    Args:
        folder: the run's, or that of one of its stages.
        outer: the clock of the run whose stage it is, which is written down with it.
    """

    def __init__(self, folder: RunFolder, outer: Clock | None = None) -> None:
        self._folder, self._outer = folder, outer
        self._begun = time.monotonic() - float(folder.state.get("seconds", 0))

    @property
    def seconds(self) -> float:
        """Seconds until now."""
        return time.monotonic() - self._begun

    def keep(self) -> None:
        """Write them down, for a start that comes after this one."""
        self._folder.leave(seconds=self.seconds)
        if self._outer is not None:
            self._outer.keep()
