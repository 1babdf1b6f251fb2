"""Silence counts only while somebody listens: without a server, no session ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
import pytest_asyncio

from config.asgi import application as asgi
from core import database
from runs import lifecycle, listening
from runs import services as runs
from runs.models import Listening, Session
from tests.support.log import Log
from tests.support.waiting import eventually_async

LONG_S = lifecycle.EXPIRES_AFTER_S + 60


@pytest_asyncio.fixture
async def web(log: Log) -> AsyncIterator[None]:
    """What web processes share with each other is the database."""
    yield
    await database.shutdown()


def pass_without_renewal(log: Log, seconds: float) -> None:
    """So much time goes by, by the database's clock, and nobody renews: the server is not there."""
    log.conn.execute(
        """
        WITH session AS (
            UPDATE runs_session SET heartbeat_at = heartbeat_at - make_interval(secs => %(s)s))
        UPDATE runs_listening SET renewed_at = renewed_at - make_interval(secs => %(s)s)
        """,
        {"s": seconds},
    )


async def listen(log: Log, seconds: float, every: float = 10.0) -> None:
    """So much time goes by, and web processes are there."""
    for _ in range(round(seconds / every)):
        pass_without_renewal(log, every)
        await listening.renew()


def ended(session: Session) -> bool:
    return Session.objects.get(id=session.id).ended_at is not None


async def expire(log: Log) -> None:
    await asyncio.to_thread(lifecycle.expire_sessions, log.conn)


async def test_time_without_a_server_ends_no_session(log: Log, web: None) -> None:
    session = await asyncio.to_thread(log.session, await asyncio.to_thread(log.team, "a"))
    await listening.renew()
    pass_without_renewal(log, LONG_S)
    await expire(log)  # the worker's pulse may come first
    await listening.renew()
    await expire(log)
    await listen(log, 100)
    await expire(log)
    assert not await asyncio.to_thread(ended, session)
    await listen(log, LONG_S)
    await expire(log)
    assert await asyncio.to_thread(ended, session)


@pytest.mark.parametrize("jump", [86_400, 3600, -3600, -86_400])
async def test_a_clock_that_jumps_ends_no_session(log: Log, web: None, jump: int) -> None:
    session = await asyncio.to_thread(log.session, await asyncio.to_thread(log.team, "a"))
    await listening.renew()
    await listen(log, 60)
    pass_without_renewal(log, jump)
    await expire(log)
    await listening.renew()
    await expire(log)
    assert not await asyncio.to_thread(ended, session)
    # and silence is noticed as soon as without the jump
    await listen(log, lifecycle.EXPIRES_AFTER_S - 90)
    await expire(log)
    assert not await asyncio.to_thread(ended, session)
    await listen(log, 60)
    await expire(log)
    assert await asyncio.to_thread(ended, session)


async def test_several_web_processes_do_not_make_time_pass_faster(log: Log, web: None) -> None:
    await listening.renew()
    for _ in range(10):
        pass_without_renewal(log, 10)
        await asyncio.gather(*(listening.renew() for _ in range(4)))
    clock = await Listening.objects.aget()
    assert 100 <= clock.seconds < 110


async def test_a_heartbeat_is_heard_at_the_time_of_the_clock(log: Log, web: None) -> None:
    team = await asyncio.to_thread(log.team, "a")
    actor = log.actor(team)
    await listening.renew()
    await listen(log, LONG_S)
    session_id = await runs.create_session(actor=actor, tags=[], user_metadata={}, sdk_version="1")
    await listen(log, lifecycle.EXPIRES_AFTER_S - 60)
    await runs.heartbeat(actor=actor, session_id=session_id)
    await listen(log, lifecycle.EXPIRES_AFTER_S - 60)
    await expire(log)
    assert (await Session.objects.aget()).ended_at is None
    await listen(log, LONG_S)
    await expire(log)
    assert (await Session.objects.aget()).ended_at is not None


async def test_a_web_process_listens_from_its_start_to_its_end(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the database was away for a moment."""
    monkeypatch.setattr(listening, "RENEWS_EVERY_S", 0.02)
    real, failures = listening.renew, [1, 2]

    async def renew() -> None:
        if failures:
            failures.pop()
            raise psycopg.OperationalError("away")
        await real()

    monkeypatch.setattr(listening, "renew", renew)
    orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[Any] = asyncio.Queue()
    process = asyncio.create_task(asgi({"type": "lifespan"}, orders.get, answers.put))
    await orders.put({"type": "lifespan.startup"})
    assert (await answers.get())["type"] == "lifespan.startup.complete"

    async def shown() -> float:
        return sum([clock.seconds async for clock in Listening.objects.all()])

    async def goes_on() -> bool:
        return await shown() > 0.1

    await eventually_async(goes_on, within_s=20)
    await orders.put({"type": "lifespan.shutdown"})
    assert (await answers.get())["type"] == "lifespan.shutdown.complete"
    await process
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "listening"]
