"""Rings Celery's workers by task name, so that the web process never imports a worker's code."""

from __future__ import annotations

import logging
from functools import cache

from celery import Celery
from django.conf import settings

log = logging.getLogger(__name__)

DRAIN_TASK = "gpu_workers.drain"


def queue_of(pool: str) -> str:
    """The Celery queue that the workers of a pool take from."""
    return f"gpu.{pool}"


@cache
def _celery() -> Celery:
    app = Celery("doorbell", broker=settings.CELERY_BROKER_URL)
    app.conf.task_ignore_result = True
    app.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 5}
    return app


def ring(pool: str) -> None:
    """Ask a worker of `pool` to drain it. A lost ring is made good by the workers' sweep."""
    try:
        _celery().send_task(DRAIN_TASK, args=[pool], queue=queue_of(pool), retry=False)
    except Exception as error:
        log.warning("the doorbell of pool %s did not ring: %s", pool, error)
