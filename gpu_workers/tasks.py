"""Celery tasks: short, each calls one function."""

from __future__ import annotations

from core.doorbell import DRAIN_TASK
from gpu_workers import this_process
from gpu_workers.app import app


@app.task(name=DRAIN_TASK)
def drain(pool: str) -> None:
    """Do the work that waits in the log, and linger for more."""
    this_process.current(pool).drain()
