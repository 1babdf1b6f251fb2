"""The one worker of this process."""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from gpu_workers.process.worker import Worker

log = logging.getLogger(__name__)

RETRY_S = 2.0

_current: Worker | None = None
_starting = threading.Lock()


def start(pool: str) -> Worker:
    """This process's worker, started on the first call; waits for the database if it is away."""
    global _current
    with _starting:
        if _current is None:
            worker = Worker(pool)
            while not _started(worker):
                time.sleep(RETRY_S)
            worker.keep_draining()
            _current = worker
        return _current


def _started(worker: Worker) -> bool:
    try:
        worker.start()
    except psycopg.OperationalError as error:
        log.error("the worker cannot start without the database, it tries again: %s", error)
        return False
    return True


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
