"""The door between the threads that ask and the engine's thread, which answers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from gpu_workers.engine.sampler.request import Request


class Inbox:
    """Requests and cancellations on their way to the engine's thread. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived: list[Request] = []
        self._cancelled: list[Request] = []
        self._closed_by: BaseException | None = None

    def put(self, request: Request) -> Callable[[], None]:
        """Hand over a request; gives the function that cancels it. Raises what closed the inbox."""
        with self._lock:
            if self._closed_by is not None:
                raise self._closed_by
            self._arrived.append(request)

        def cancel() -> None:
            with self._lock:
                self._cancelled.append(request)

        return cancel

    def take(self) -> tuple[list[Request], list[Request]]:
        """What came in since: (requests, those of all times to cancel)."""
        with self._lock:
            arrived, self._arrived = self._arrived, []
            cancelled, self._cancelled = self._cancelled, []
        return arrived, cancelled

    def close(self, error: BaseException) -> None:
        """Take nothing more: `put` raises `error` from now on."""
        with self._lock:
            self._closed_by = error

    def __bool__(self) -> bool:
        return bool(self._arrived or self._cancelled)

    def __len__(self) -> int:
        return len(self._arrived)
