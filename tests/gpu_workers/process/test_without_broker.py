"""Valkey that is there and does not answer: nobody waits for it, and work goes on without it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import psycopg
import pytest
import redis

from config import env
from core import database, doorbell
from core.embedded import DataFolder, ValkeyServer
from gpu_workers.log import drain
from gpu_workers.process import this_process
from gpu_workers.process.worker import Worker
from operations import services, workers
from operations.models import Operation
from tests.conftest import make_folder, remove_folder
from tests.gpu_workers.bench import WITHIN_S, Bench, body, create
from tests.support.waiting import eventually

Frozen = tuple[subprocess.Popen[bytes], str]


@pytest.fixture
def frozen(settings: Any) -> Iterator[Frozen]:
    """A Valkey of the test's own that has been stopped, and its socket."""
    path = make_folder()
    folder = DataFolder(path)
    folder.open()
    server = ValkeyServer(folder)
    process = server.start()
    server.wait(process)
    settings.CELERY_BROKER_URL = env.broker_url(server.url)
    doorbell._ringer.cache_clear()
    try:
        os.kill(process.pid, signal.SIGSTOP)
        yield process, str(server.socket)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        server.stop(process)
        folder.close()
        remove_folder(path)
        doorbell._ringer.cache_clear()


def test_a_ring_is_not_waited_for_and_gets_through_once_it_can(
    frozen: Frozen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doorbell, "ANSWER_WITHIN_S", 1)
    process, socket = frozen
    for _ in range(100):
        doorbell.ring("some")
    assert "did not ring" not in caplog.text, "the caller waited for the time-out"
    eventually(lambda: "did not ring" in caplog.text, within_s=WITHIN_S)
    os.kill(process.pid, signal.SIGCONT)
    doorbell.ring("some")
    with redis.Redis(unix_socket_path=socket, socket_timeout=WITHIN_S) as client:
        eventually(lambda: client.llen(doorbell.queue_of("some")), within_s=WITHIN_S)
        assert int(client.llen(doorbell.queue_of("some"))) < 10, "each ring of many was sent"


def reached(begun: list[Any], count: int) -> bool:
    """Whether so many drains have begun."""
    return len(begun) >= count


def until_done(run_id: str, seq: int) -> None:
    """Wait without the ringing that `Bench.wait` does."""
    operations = Operation.objects.filter(target=run_id, seq=seq, state="done")
    eventually(operations.exists, within_s=WITHIN_S)


@pytest.mark.usefixtures("quiet_pulse")
def test_drains_follow_each_other_without_a_broker(
    bench: Bench, frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "LASTS_S", 0.3)
    log = bench.log
    team = log.team("a")
    run = log.run(team)
    create(log, run)
    begun: list[bool] = []
    real = workers.set_lingering

    def set_lingering(conn: psycopg.Connection, **named: Any) -> None:
        begun.append(True)
        real(conn, **named)

    monkeypatch.setattr(workers, "set_lingering", set_lingering)

    async def submit(seq: int) -> None:
        await services.submit_to_run(
            actor=log.actor(team),
            run_id=run.id,
            seq=seq,
            kind=Operation.Kind.OPTIM_STEP,
            body=body(run, seq),
        )
        await database.shutdown()

    worker = Worker(log.pool)
    worker.start()
    worker.keep_draining()
    try:
        until_done(run.id, 0)
        for seq in range(1, 6):
            drains = len(begun)
            asyncio.run(submit(seq))
            until_done(run.id, seq)
            eventually(partial(reached, begun, drains + 4), within_s=WITHIN_S)
    finally:
        worker.stop()


@pytest.mark.usefixtures("quiet_pulse")
def test_a_doorbell_has_the_drain_look_at_what_it_was_not_told_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bench.log
    run = log.run(log.team("a"))
    worker = bench.start()
    create(log, run)
    bench.finish(run)
    monkeypatch.setattr(this_process, "_current", worker)
    log.submit(run, 1, "optim_step", body(run, 1))
    from gpu_workers.process.tasks import drain as task

    task(log.pool)
    until_done(run.id, 1)


def test_a_worker_starts_once_the_database_is_there(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(this_process, "RETRY_S", 0.01)
    monkeypatch.setattr(this_process, "_current", None)
    real, failures = workers.register, [1, 2]

    def register(*arguments: Any, **named: Any) -> None:
        if failures:
            failures.pop()
            raise psycopg.OperationalError("away")
        real(*arguments, **named)

    monkeypatch.setattr(workers, "register", register)
    run = bench.log.run(bench.log.team("a"))
    create(bench.log, run)
    started = this_process.start(bench.log.pool)
    try:
        until_done(run.id, 0)
    finally:
        started.stop()
