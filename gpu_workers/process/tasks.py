"""Celery tasks: short, each calls one function."""

from __future__ import annotations

from core.doorbell import DRAIN_TASK
from gpu_workers.process import this_process
from gpu_workers.process.app import app


@app.task(name=DRAIN_TASK)
def drain(pool: str) -> None:
    """Have the worker look for work in the log; it does so on a thread of its own."""
    this_process.current(pool).look()
