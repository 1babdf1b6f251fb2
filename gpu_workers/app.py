"""The Celery application of the workers: which queues, how tasks are taken, when models are loaded.

Start one worker per pool and machine:

    celery -A gpu_workers.app worker -P threads -c 2 -Q gpu.<pool> --without-gossip --without-mingle

with TINSMITH_POOL=<pool>. Threads, because vLLM's processes cannot start from forked ones; two, so
that a second doorbell never waits for the first one's drain. There is no beat: what has to happen
regularly, each worker's heartbeat does (worker.py), so nothing stops when one process is missing.
"""

from __future__ import annotations

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from celery import Celery
from celery.signals import worker_ready, worker_shutting_down
from django.conf import settings

from core.doorbell import queue_of

app = Celery("gpu_workers", broker=settings.CELERY_BROKER_URL, include=["gpu_workers.tasks"])
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


@worker_ready.connect
def _start(sender: Any, **_: object) -> None:
    from gpu_workers import this_process

    started = this_process.start(settings.WORKER_POOL)
    # work on a run that this worker holds rings here: no other worker could do it
    sender.add_task_queue(queue_of(started.pool, started.id))


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    from gpu_workers import this_process

    this_process.stop()
