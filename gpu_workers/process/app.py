r"""The Celery application of the workers: its queues, how tasks are taken, when models are loaded.

Start one worker per pool and machine:

    celery -A gpu_workers.process.app worker -P threads -c 2 -Q gpu.<pool> \
        --without-gossip --without-mingle

with TINSMITH_POOL=<pool>. Threads, because vLLM's processes cannot start from forked ones. A task
only wakes the worker, which takes its work on a thread of its own: it starts, and goes on, without
the broker. There is no beat: what has to happen regularly, each worker's pulse does (upkeep.py), so
nothing stops when one process is missing.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from celery import Celery
from celery.signals import worker_init, worker_ready, worker_shutting_down
from django.conf import settings

from core.doorbell import queue_of

log = logging.getLogger(__name__)

app = Celery(
    "gpu_workers", broker=settings.CELERY_BROKER_URL, include=["gpu_workers.process.tasks"]
)
app.conf.update(
    task_default_queue=queue_of(settings.WORKER_POOL),
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # a doorbell's delivery is not worth waiting for longer than a sweep takes to replace it
    broker_transport_options={"visibility_timeout": 120, "socket_keepalive": True},
)


@worker_init.connect
def _start(**_: object) -> None:
    """Before there is a connection to the broker: work does not wait for one."""
    from gpu_workers.process import this_process

    try:
        this_process.start(settings.WORKER_POOL)
    except Exception:
        log.exception("the worker could not start")
        # Celery would go on without it; whoever watches this process starts another
        raise SystemExit(1) from None


@worker_ready.connect
def _listen(sender: Any, **_: object) -> None:
    """Work on a run that this worker holds rings here: no other worker could do it."""
    from gpu_workers.process import this_process

    started = this_process.start(settings.WORKER_POOL)
    sender.add_task_queue(queue_of(started.pool, started.id))


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    from gpu_workers.process import this_process

    this_process.stop()
