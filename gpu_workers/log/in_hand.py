"""The samples that a worker has in hand, and how to give up one that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

Cancel = Callable[[], None]


def _when_begun() -> None:
    """Stands for the cancelling of a sample that the engine is just being given."""


class SamplesInHand:
    """Request ids of samples in the engine or on their way into the log. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: set[str] = set()
        # of those in the engine: what cancels them, None while it is not known
        self._cancels: dict[str, Cancel | None] = {}

    def all(self) -> list[str]:
        """All of them."""
        with self._lock:
            return list(self._all)

    def take(self, request_id: str) -> None:
        """A sample is about to be given to the engine."""
        with self._lock:
            self._all.add(request_id)
            self._cancels[request_id] = None

    def begun(self, request_id: str, cancel: Cancel) -> None:
        """The engine has it; `cancel` gives it up, at once if that was asked for meanwhile."""
        with self._lock:
            asked = self._cancels.get(request_id) is _when_begun
            if asked:
                del self._cancels[request_id]
            elif request_id in self._cancels:  # else it has ended already
                self._cancels[request_id] = cancel
        if asked:
            cancel()

    def ended(self, request_id: str) -> None:
        """The engine is through with it."""
        with self._lock:
            self._cancels.pop(request_id, None)

    def forget(self, request_ids: Iterable[str]) -> None:
        """These are in the log, or need not get there."""
        with self._lock:
            self._all.difference_update(request_ids)

    def cancel(self, request_id: str) -> None:
        """Give up a sample if it is in the engine."""
        with self._lock:
            if request_id not in self._cancels:
                return
            cancel = self._cancels.pop(request_id)
            if cancel is None or cancel is _when_begun:
                self._cancels[request_id] = _when_begun
                return
        cancel()

    def cancel_all(self, request_ids: Iterable[str]) -> None:
        """Give up samples that nobody waits for any more; the log says already that they failed."""
        for request_id in request_ids:
            self.cancel(request_id)
