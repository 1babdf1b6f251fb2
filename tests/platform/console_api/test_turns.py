"""Pages leave programs their connections: reads take turns, each within its time."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async

from console_api import base
from console_api.base import READS_AT_ONCE
from core import database
from core.endpoint import Unavailable
from core.pages import AT_ONCE, Turns
from tests.platform.console_api.conftest import Api, Browser, log, make_run
from tests.support.waiting import eventually_async

_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'runs_rollout'::regclass"


async def test_slow_reads_of_pages_leave_programs_their_connections(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "STATEMENT_WITHIN_S", 2.0)
    run = await make_run(api)
    locking = await database.connect_async()

    async def waiting() -> bool:
        row = await (await locking.execute(_WAITING)).fetchone()
        return row == (READS_AT_ONCE,)

    async with locking, locking.transaction():
        await locking.execute("LOCK TABLE runs_rollout IN ACCESS EXCLUSIVE MODE")
        asked = [asyncio.create_task(browser.get(f"runs/{run}/rollouts")) for _ in range(AT_ONCE)]
        await eventually_async(waiting, within_s=20)
        async with asyncio.timeout(1):
            await log(api, run, ("loss", 0, 1.0))
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*asked)
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json()["code"] == "Unavailable"
        assert "took too long" in answer.json()["detail"]
    # and the limit ends with the read
    async with database.connection() as conn:
        row = await (await conn.execute("SHOW statement_timeout")).fetchone()
    assert row == ("0",)


async def test_too_many_reads_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_reads", Turns(READS_AT_ONCE, 2))
    monkeypatch.setattr(base, "TURN_WITHIN_S", 0.5)
    go, reading = asyncio.Event(), 0

    async def read() -> bool:
        nonlocal reading
        reading += 1
        assert reading <= READS_AT_ONCE
        await go.wait()
        reading -= 1
        return True

    threads = ThreadPoolExecutor(READS_AT_ONCE + 3)
    wait_for = sync_to_async(base.wait_for, thread_sensitive=False, executor=threads)
    asked = [asyncio.create_task(wait_for(read)) for _ in range(READS_AT_ONCE + 3)]
    done, _ = await asyncio.wait(asked, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert [type(one.exception()) for one in done] == [Unavailable]
    # who waits is not left to wait for ever
    await eventually_async(lambda: sum(one.done() for one in asked) == 3)
    go.set()
    given = await asyncio.gather(*asked, return_exceptions=True)
    assert given.count(True) == READS_AT_ONCE
    assert {type(one) for one in given} == {bool, Unavailable}
    threads.shutdown()
