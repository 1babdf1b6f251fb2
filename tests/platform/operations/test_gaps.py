"""Requests that never come: who waits hears of them, and in time they are given up for good."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from core import database, hub
from operations import gaps, order, services
from operations.models import Lane, Operation, Payload
from operations.services import Failed, Pending, TooLate
from runs.models import Session, TrainingRun
from tests.support.log import Log
from tests.support.sessions import end_sessions


@pytest.fixture
async def loop_resources() -> AsyncIterator[None]:
    """The event loop's pool and hub, closed afterwards."""
    yield
    await hub.shutdown()
    await database.shutdown()


@pytest.fixture
def run(log: Log) -> TrainingRun:
    """A run whose operations 0 and 1 are in a worker's hands; 2 and 4 are missing."""
    made = log.run(log.team("a"))
    log.append(made, 0, 1, 3, 5, 6)
    log.submit(made, 7, "refused", b"no")
    assert [item.seq for item in log.claim(log.worker())] == [0, 1]
    return made


def found(log: Log) -> list[gaps.Gap]:
    return gaps.find(log.conn, pool=log.pool)


async def submit(log: Log, run: TrainingRun, seq: int) -> services.Submitted:
    actor = log.actor(await sync_to_async(lambda: run.team)())
    return await services.submit_to_run(
        actor=actor, run_id=run.id, seq=seq, kind="optim_step", body=b"{}"
    )


async def outcome(log: Log, run: TrainingRun, seq: int) -> services.Outcome:
    actor = log.actor(await sync_to_async(lambda: run.team)())
    return await services.wait_result(actor=actor, request_id=f"{run.id}:{seq}", timeout_s=0.05)


async def test_who_waits_hears_which_request_is_missing_and_since_when(
    log: Log, run: TrainingRun, loop_resources: None
) -> None:
    came = timezone.now() - timedelta(minutes=3)
    await Operation.objects.filter(target=run.id, seq=5).aupdate(created_at=came)
    for seq in (3, 7):
        waiting = await outcome(log, run, seq)
        assert isinstance(waiting, Pending)
        assert waiting.queue_state == "paused_capacity"
        assert "request 2 of this training run has not come; 4 later ones wait" in waiting.reason
        assert f"since {came:%H:%M:%S} UTC (3 min)" in waiting.reason
        assert "given up after 10 min" in waiting.reason
    # what is in hand, and what is next, waits for nothing
    assert await outcome(log, run, 1) == Pending("active", "")
    await submit(log, run, 2)
    assert await outcome(log, run, 3) == Pending("active", "")
    later = await outcome(log, run, 5)
    assert isinstance(later, Pending)
    assert "request 4 of this training run has not come; 3 later ones" in later.reason


def test_gaps_are_found_where_there_are_any(log: Log, run: TrainingRun) -> None:
    whole, ended = log.run(run.team, 1), log.run(run.team, 2)
    log.append(whole, 0, 1, 2)
    log.append(ended, 0, 2)
    end_sessions(ended.session_id)
    (gap,) = found(log)
    assert (gap.run_id, gap.first, gap.beating) == (run.id, 2, True)
    assert gaps.find(log.conn, pool="elsewhere") == []
    longer_ago = timezone.now() - timedelta(seconds=gaps.HEARD_WITHIN_S + 1)
    Session.objects.filter(id=run.session_id).update(heartbeat_at=longer_ago)
    assert [gap.beating for gap in found(log)] == [False]


async def test_all_that_is_missing_is_given_up_and_all_that_waits_is_refused(
    log: Log, run: TrainingRun, loop_resources: None
) -> None:
    make = sync_to_async
    (gap,) = await make(found)(log)
    assert await make(gaps.close)(log.conn, gap)
    assert await make(found)(log) == []
    rows = Operation.objects.filter(target=run.id, seq__gt=1).order_by("seq")
    assert [(item.seq, item.kind, item.state) async for item in rows] == [
        (2, "missing", "queued"),
        (3, "refused", "queued"),
        (4, "missing", "queued"),
        (5, "refused", "queued"),
        (6, "refused", "queued"),
        (7, "refused", "queued"),
    ]
    words = {
        item.operation.seq: bytes(item.body).decode()
        async for item in Payload.objects.filter(operation__target=run.id).select_related()
    }
    assert "request 2 of this training run did not come" in words[2]
    assert "request 4 of this training run did not come" in words[4]
    assert all("request 2 of this training run" in words[seq] for seq in (3, 5, 6))
    assert words[7] == "no"
    # the run goes on behind them
    await submit(log, run, 8)
    assert await outcome(log, run, 8) == Pending("active", "")
    assert not await make(gaps.close)(log.conn, gap)


async def test_a_late_arrival_is_refused_by_name_and_holds_its_place(
    log: Log, run: TrainingRun, loop_resources: None
) -> None:
    make = sync_to_async
    (gap,) = await make(found)(log)
    await make(gaps.close)(log.conn, gap)
    for _ in range(2):
        with pytest.raises(TooLate, match=r"request 2 of training run .* comes too late") as caught:
            await submit(log, run, 2)
    actor = log.actor(await make(lambda: run.team)())
    request = order.Numbered(run.id, 2)
    place = await order.place_of_refused(actor=actor, request=request, refusal=caught.value)
    assert place == order.Place.HELD
    # what waited and is sent again is the same request, which fails
    assert (await submit(log, run, 3)).request_id == f"{run.id}:3"
    standing = await order.withdraw(
        actor=actor, run_id=run.id, first=2, last=4, words="it gives up"
    )
    assert standing == []
    assert await Operation.objects.filter(target=run.id, kind="missing").acount() == 2


async def test_what_was_given_up_fails_with_a_users_error_in_its_turn(
    log: Log, run: TrainingRun, loop_resources: None
) -> None:
    """Claimed like all else, in order, with nothing between."""
    make = sync_to_async
    (gap,) = await make(found)(log)
    await make(gaps.close)(log.conn, gap)
    lane = await Lane.objects.aget(target=run.id)
    assert lane.worker_id is not None
    claimed = await make(log.claim)(lane.worker_id)
    assert [item.seq for item in claimed] == [2, 3, 4, 5, 6, 7]
    assert not isinstance(await outcome(log, run, 2), Failed)


def test_a_request_that_comes_while_its_number_is_given_up_wins(log: Log, run: TrainingRun) -> None:
    (gap,) = found(log)
    before = dict(Operation.objects.filter(target=run.id).values_list("seq", "kind"))
    values = {
        "target": run.id,
        "ordered": True,
        "team": run.team_id,
        "seq": 4,
        "kind": "optim_step",
        "cost": 2,
        "content_type": "application/json",
        "body": b"{}",
    }
    with database.connect() as submitting, ThreadPoolExecutor() as pool:
        with submitting.transaction():
            submitting.execute(services._APPEND, values)
            closed = pool.submit(gaps.close, log.conn, gap)
            with pytest.raises(TimeoutError):
                closed.result(0.3)
        assert not closed.result(20)
    after = dict(Operation.objects.filter(target=run.id).values_list("seq", "kind"))
    assert after == before | {4: "optim_step"}
    assert [item.first for item in found(log)] == [2]


def test_a_submit_that_waits_for_the_giving_up_hears_of_it(log: Log, run: TrainingRun) -> None:
    (gap,) = found(log)
    values = {
        "target": run.id,
        "ordered": True,
        "team": run.team_id,
        "seq": 2,
        "kind": "optim_step",
        "cost": 2,
        "content_type": "application/json",
        "body": b"{}",
    }

    def submit_row() -> object:
        with database.connect() as conn:
            return conn.execute(services._APPEND, values).fetchone()

    with ThreadPoolExecutor() as pool:
        with log.conn.transaction():
            assert gaps.close(log.conn, gap)
            row = pool.submit(submit_row)
            with pytest.raises(TimeoutError):
                row.result(0.3)
        assert row.result(20)[3] is False  # type: ignore[index]
    assert Operation.objects.get(target=run.id, seq=2).kind == "missing"


def test_an_absurd_number_is_given_up_in_pieces(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "MOST_AT_ONCE", 10)
    run = log.run(log.team("a"))
    log.append(run, 0, 2**62)
    log.claim(log.worker())
    for first in (1, 11, 21):
        (gap,) = found(log)
        assert gap.first == first
        assert gaps.close(log.conn, gap)
    assert Operation.objects.filter(target=run.id, kind="missing").count() == 30


def test_an_ended_session_has_its_gaps_left_alone(log: Log, run: TrainingRun) -> None:
    (gap,) = found(log)
    end_sessions(run.session_id)
    assert not gaps.close(log.conn, gap)
    assert not Operation.objects.filter(target=run.id, kind="missing").exists()
