"""Submits that cross the release of their session: none is left behind."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from core import database, hub
from core.errors import BadRequest
from operations import services
from operations.models import Operation
from runs import lifecycle
from runs.models import Sampler, Session, TrainingRun
from tests.support.log import Log
from tests.support.sessions import end_sessions

SLOW = b"x" * 100


@pytest.fixture
async def loop_resources() -> AsyncIterator[None]:
    """The event loop's pool and hub, closed afterwards."""
    yield
    await hub.shutdown()
    await database.shutdown()


def release() -> list[lifecycle.Released]:
    with database.connect() as conn:
        return lifecycle.release_ended(conn, worker_id=uuid.uuid4())


def submit_statement(target: TrainingRun | Sampler) -> tuple[str, dict[str, Any]]:
    """What a submit runs, and its values."""
    sample = isinstance(target, Sampler)
    return services._APPEND, {
        "target": target.id,
        "ordered": not sample,
        "team": target.team_id,
        "seq": 1,
        "kind": "sample" if sample else "optim_step",
        "cost": 2,
        "content_type": "application/json",
        "body": b"{}",
    }


@pytest.mark.parametrize("kind", ["run", "sampler"])
def test_a_submit_under_way_is_waited_for_by_the_end_of_its_session(log: Log, kind: str) -> None:
    target: TrainingRun | Sampler = getattr(log, kind)(log.team("a"))
    statement, values = submit_statement(target)
    with database.connect() as submitting, ThreadPoolExecutor() as pool:
        with submitting.transaction():
            submitting.execute(statement, values)
            ended: Future[None] = pool.submit(end_sessions, target.session_id)
            with pytest.raises(TimeoutError):
                ended.result(0.5)
        ended.result(20)
        (found,) = release()
    assert found.failed_requests == [f"{target.id}:1"]
    assert Operation.objects.get(target=target.id).state == "failed"


@pytest.mark.parametrize("kind", ["run", "sampler"])
def test_a_submit_that_meets_the_release_stores_nothing(log: Log, kind: str) -> None:
    """Its snapshot is older than the end of the session; the row that it locks is not."""
    target: TrainingRun | Sampler = getattr(log, kind)(log.team("a"))
    statement, values = submit_statement(target)
    with database.connect() as releasing, ThreadPoolExecutor() as pool:
        with releasing.transaction():
            end_sessions(target.session_id, conn=releasing)
            (found,) = lifecycle.release_ended(releasing, worker_id=uuid.uuid4())

            def submit() -> Any:
                with database.connect() as conn:
                    return conn.execute(statement, values).fetchone()

            row = pool.submit(submit)
            with pytest.raises(TimeoutError):
                row.result(0.3)
        assert row.result(20)[1] is not None
    assert found.failed_requests == []
    assert not Operation.objects.filter(target=target.id).exists()


def test_heartbeats_do_not_wait_for_submits(log: Log) -> None:
    run = log.run(log.team("a"))
    statement, values = submit_statement(run)
    with database.connect() as submitting, database.connect() as beating:
        beating.execute("SET lock_timeout = '2s'")
        with submitting.transaction():
            submitting.execute(statement, values)
            beating.execute("UPDATE runs_session SET heartbeat_at = now()")


async def test_whatever_races_with_a_release_is_refused_or_failed(
    log: Log, loop_resources: None
) -> None:
    make = sync_to_async
    team = await make(log.team)("a")
    for _ in range(5):
        run = await make(log.run)(team)
        actor = log.actor(team)
        over = threading.Event()

        def finish_and_release(session: Session = run.session, over: Any = over) -> None:
            end_sessions(session.id)
            while not Session.objects.filter(id=session.id, released_at__isnull=False).exists():
                release()
            over.set()

        async def submit(
            seq: int, actor: Any = actor, run: TrainingRun = run
        ) -> services.Submitted | BadRequest:
            try:
                return await services.submit_to_run(
                    actor=actor, run_id=run.id, seq=seq, kind="optim_step", body=SLOW
                )
            except BadRequest as error:
                return error

        submits = [asyncio.create_task(submit(seq)) for seq in range(1, 40)]
        await asyncio.to_thread(finish_and_release)
        outcomes = await asyncio.gather(*submits)
        taken = {item.request_id for item in outcomes if isinstance(item, services.Submitted)}
        stored = [item async for item in Operation.objects.filter(target=run.id)]
        assert {f"{item.target}:{item.seq}" for item in stored} == taken
        assert {item.state for item in stored} <= {"failed"}
