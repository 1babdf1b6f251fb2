"""Rings Celery's workers by task name, so that the web process never imports a worker's code.

Nobody waits for a ring: a thread of its own does it, however long Valkey takes to answer.
"""

from __future__ import annotations

import logging
import threading
import uuid
from functools import cache

from celery import Celery
from django.conf import settings

log = logging.getLogger(__name__)

DRAIN_TASK = "gpu_workers.drain"
CONNECT_WITHIN_S = 2
ANSWER_WITHIN_S = 5


def queue_of(pool: str, worker_id: uuid.UUID | None = None) -> str:
    """The Celery queue that all workers of a pool take from, or the one of a single worker."""
    return f"gpu.{pool}" if worker_id is None else f"gpu.{pool}.{worker_id}"


def ring(pool: str, worker_id: uuid.UUID | None = None) -> None:
    """Ask a worker of `pool`, or this one, to look for work. Never blocks.

    A lost ring is made good by the workers' pulse.
    """
    _ringer().ring(queue_of(pool, worker_id), pool)


class _Ringer:
    """The thread that rings: once for all who asked for the same while it was busy."""

    def __init__(self) -> None:
        self._wanted: dict[str, str] = {}
        self._some = threading.Condition()
        self._celery = Celery("doorbell", broker=settings.CELERY_BROKER_URL)
        self._celery.conf.task_ignore_result = True
        self._celery.conf.broker_transport_options = {
            "socket_connect_timeout": CONNECT_WITHIN_S,
            "socket_timeout": ANSWER_WITHIN_S,
        }
        threading.Thread(target=self._run, name="doorbell", daemon=True).start()

    def ring(self, queue: str, pool: str) -> None:
        """Have a queue rung."""
        with self._some:
            self._wanted[queue] = pool
            self._some.notify()

    def _run(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: bool(self._wanted))
                wanted, self._wanted = self._wanted, {}
            for queue, pool in wanted.items():
                try:
                    self._celery.send_task(DRAIN_TASK, args=[pool], queue=queue, retry=False)
                except Exception as error:
                    log.warning("the doorbell of pool %s did not ring: %s", pool, error)


@cache
def _ringer() -> _Ringer:
    return _Ringer()
