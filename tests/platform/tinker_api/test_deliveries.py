"""When clients asked for outcomes and got them: noted without a write a fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from operations import deliveries
from operations.models import Delay, Operation
from tests.platform.tinker_api.conftest import Api
from tests.platform.tinker_api.test_futures import ask, finish, poll
from tests.support.hand import Hand
from tests.support.waiting import eventually_async


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What other tests fetched is not this one's."""
    deliveries.forget()
    yield
    deliveries.forget()


async def fetch(api: Api, request_id: str) -> None:
    reply = await api.call("retrieve_future", request_id=request_id)
    assert reply.status_code == 200, reply.text


async def found(target: str, seq: int = 0) -> Operation:
    return await Operation.objects.aget(target=target, seq=seq)


async def test_the_first_fetch_is_when_a_result_was_delivered(api: Api, hand: Hand) -> None:
    run = await api.run(await api.session())
    waiting = asyncio.create_task(fetch(api, f"{run}:0"))
    (claimed,) = await asyncio.to_thread(hand.claim)
    await asyncio.to_thread(hand.answer, claimed, type="create_model", model_id=run)
    await waiting
    await eventually_async(lambda: deliveries.waiting() == 0)
    operation = await found(run)
    assert operation.asked_at is not None
    assert operation.delivered_at is not None
    assert operation.asked_at <= operation.delivered_at
    assert operation.finished_at is not None
    assert operation.delivered_at >= operation.finished_at - timedelta(milliseconds=5)
    await fetch(api, f"{run}:0")
    await deliveries.write_now()
    assert (await found(run)).delivered_at == operation.delivered_at


async def test_a_hundred_fetches_are_one_write(
    api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, *range(100))
    await asyncio.to_thread(finish, hand)
    writes = []
    write_now = deliveries.write_now

    async def counted() -> None:
        writes.append(deliveries.waiting())
        await write_now()

    monkeypatch.setattr(deliveries, "write_now", counted)
    monkeypatch.setattr(deliveries, "PAUSE_S", 3.0)
    await poll(api, sampler)
    for seq in range(100):
        await fetch(api, f"{sampler}:{seq}")
    await eventually_async(lambda: deliveries.waiting() == 0)
    assert sum(writes) == 100
    assert len(writes) <= 2
    rows = [one async for one in Operation.objects.filter(target=sampler)]
    assert all(row.delivered_at is not None for row in rows)
    # the poll that told of them had asked for all of them
    assert len({row.asked_at for row in rows}) == 1
    assert max(row.asked_at for row in rows) < min(row.delivered_at for row in rows)


async def test_being_turned_away_is_noted(api: Api, hand: Hand, settings: Any) -> None:
    settings.MAX_OPEN_SAMPLES_PER_TEAM = 0
    session = await api.session()
    sampler = await api.sampler(session)
    for target in (sampler, "nobody's", "a\0b"):
        body = {"sampling_session_id": target, "seq_id": 0, "prompt": {"chunks": []}}
        assert (await api.call("asample", **body)).status_code == 429
    await eventually_async(lambda: deliveries.waiting() == 0)
    delay = await Delay.objects.aget()
    assert (delay.target, delay.cause) == (sampler, "limited")


async def test_there_is_an_end_to_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_WAITING", 2)
    monkeypatch.setattr(deliveries, "PAUSE_S", 60.0)
    before = deliveries.dropped
    for number in range(4):
        deliveries.asked(f"s:{number}", 0.0)
        deliveries.delivered(f"t:{number}", 0.0)
    assert deliveries.waiting() == 2
    assert deliveries.dropped == before + 2
    assert len(deliveries._asked) == 2
