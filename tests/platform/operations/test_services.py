"""Submitting and waiting: idempotency, tenancy, wake-ups, queue states."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from core import database, hub
from core.errors import BadRequest, NotFound
from operations import finish, services
from operations.announcements import DONE
from operations.finish import Outcome
from operations.models import Operation, Payload
from operations.services import Failed, Finished, Pending
from tests.support.log import Log
from tests.support.sessions import end_sessions
from tests.support.waiting import eventually_async, never_async


@pytest.fixture
async def loop_resources():
    """The event loop's pool and hub, closed afterwards."""
    yield
    await hub.shutdown()
    await database.shutdown()


async def submit(log: Log, run, seq: int, body: bytes = b"{}", team=None):
    return await services.submit_to_run(
        actor=log.actor(team or run.team), run_id=run.id, seq=seq, kind="optim_step", body=body
    )


async def test_a_resent_request_is_the_same_request(log: Log, loop_resources: None) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    first = await submit(log, run, 1, b"first")
    second = await submit(log, run, 1, b"second")
    assert first == second
    assert first.request_id == f"{run.id}:1"
    assert await Operation.objects.acount() == 1
    assert bytes((await Payload.objects.aget()).body) == b"first"


async def test_another_teams_run_does_not_exist(log: Log, loop_resources: None) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    stranger = await sync_to_async(log.team)("b")
    with pytest.raises(NotFound):
        await submit(log, run, 1, team=stranger)
    await submit(log, run, 1)
    with pytest.raises(NotFound):
        await services.wait_result(actor=log.actor(stranger), request_id=f"{run.id}:1", timeout_s=0)
    assert await Operation.objects.acount() == 1


@pytest.mark.parametrize("seq", [0, -1, 2**63])
async def test_an_impossible_seq_is_refused(log: Log, loop_resources: None, seq: int) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    with pytest.raises(BadRequest, match="seq_id"):
        await submit(log, run, seq)
    assert not await Operation.objects.aexists()


async def test_work_for_an_ended_session_is_refused(log: Log, loop_resources: None) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    await sync_to_async(end_sessions)()
    with pytest.raises(BadRequest, match="ended"):
        await submit(log, run, 1)
    assert not await Operation.objects.aexists()


async def test_a_waiter_is_told_why_it_waits(log: Log, loop_resources: None) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    submitted = await submit(log, run, 0 + 1)
    actor = log.actor(run.team)
    outcome = await services.wait_result(actor=actor, request_id=submitted.request_id, timeout_s=0)
    assert isinstance(outcome, Pending)
    assert outcome.queue_state == "paused_capacity"
    assert "default" in outcome.reason
    log.worker()
    outcome = await services.wait_result(actor=actor, request_id=submitted.request_id, timeout_s=0)
    assert outcome == Pending("active", "")


@pytest.mark.parametrize("failed", [False, True])
async def test_a_waiter_is_woken_by_the_finish(
    log: Log, loop_resources: None, failed: bool
) -> None:
    run = await sync_to_async(log.run)(await sync_to_async(log.team)("a"))
    await sync_to_async(log.append)(run, 0, 1)
    worker = log.worker()
    claimed = log.claim(worker)
    request_id = f"{run.id}:1"
    actor = log.actor(run.team)
    waiting = asyncio.create_task(
        services.wait_result(actor=actor, request_id=request_id, timeout_s=20)
    )
    outcome = Outcome(claimed[1].id, request_id)
    if failed:
        outcome.fail("your fault", "user")
    else:
        outcome.content_type, outcome.body = "application/x-protobuf", b"\x01\x02"

    def finish_it() -> None:
        finish.record(log.conn, worker_id=worker, outcomes=[outcome], applied={run.id: 1})
        finish.announce(log.conn, [request_id])

    # far below the recheck interval: it is the notification
    within_s = services.RECHECK_S / 2
    await never_async(waiting.done, for_s=0.5, but_after=finish_it, within_s=within_s)
    found = await waiting
    expected = (
        Failed("your fault", "user")
        if failed
        else Finished("application/x-protobuf", b"\x01\x02", "optim_step")
    )
    assert found == expected
    assert await services.wait_result(actor=actor, request_id=request_id, timeout_s=0) == expected


async def test_a_thousand_results_are_announced_whole(log: Log, loop_resources: None) -> None:
    keys = [f"{'x' * 44}:{n}" for n in range(1000)]
    payloads = hub.payloads(keys)
    assert all(len(payload) < 8000 for payload in payloads)
    assert ",".join(payloads).split(",") == keys


async def test_waiters_survive_a_lost_connection(
    log: Log, loop_resources: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "RECONNECT_DELAY_S", 0.05)
    with hub.current().waiter(DONE, "key") as changed:
        await hub.current().listening()
        await eventually_async(changed.is_set)  # a first connection has missed what came before
        changed.clear()
        log.conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
        )
        await asyncio.wait_for(changed.wait(), 5)
        changed.clear()
        finish.announce(log.conn, ["other", "key"])
        await asyncio.wait_for(changed.wait(), 5)
