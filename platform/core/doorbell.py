"""Rings Celery's workers by task name, so that the web process never imports a worker's code."""

from __future__ import annotations

import logging
import uuid
from functools import cache

from celery import Celery
from django.conf import settings

log = logging.getLogger(__name__)

DRAIN_TASK = "gpu_workers.drain"


def queue_of(pool: str, worker_id: uuid.UUID | None = None) -> str:
    """The Celery queue that all workers of a pool take from, or the one of a single worker."""
    return f"gpu.{pool}" if worker_id is None else f"gpu.{pool}.{worker_id}"


@cache
def _celery() -> Celery:
    app = Celery("doorbell", broker=settings.CELERY_BROKER_URL)
    app.conf.task_ignore_result = True
    app.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 5}
    return app


def ring(pool: str, worker_id: uuid.UUID | None = None) -> None:
    """Ask a worker of `pool`, or this one, to drain. A lost ring is made good by the sweep."""
    queue = queue_of(pool, worker_id)
    try:
        _celery().send_task(DRAIN_TASK, args=[pool], queue=queue, retry=False)
    except Exception as error:
        log.warning("the doorbell of pool %s did not ring: %s", pool, error)
