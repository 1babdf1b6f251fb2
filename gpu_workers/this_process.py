"""The one worker of this process."""

from __future__ import annotations

import threading

from gpu_workers.worker import Worker

_current: Worker | None = None
_starting = threading.Lock()


def start(pool: str) -> Worker:
    """This process's worker, started on the first call."""
    global _current
    with _starting:
        if _current is None:
            worker = Worker(pool)
            worker.start()
            _current = worker
        return _current


def current(pool: str) -> Worker:
    """This process's worker; a doorbell for another pool is a mistake in the queues."""
    worker = start(pool)
    if worker.pool != pool:
        raise ValueError(f"this worker serves {worker.pool!r}, not {pool!r}")
    return worker


def stop() -> None:
    """Stop this process's worker, if it was started."""
    if _current is not None:
        _current.stop()
