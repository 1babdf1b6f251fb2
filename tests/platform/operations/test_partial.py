"""Tokens announced on their way, and samples that are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from core import database, hub
from core.errors import NotFound
from operations import finish, partial, services
from operations.announcements import CANCEL_CHANNEL, TOKENS
from operations.models import Operation, Payload
from operations.partial import Progress
from operations.services import Failed, Finished, Pending
from runs.models import Sampler
from tests.support.log import Log
from tests.support.waiting import never_async


@pytest_asyncio.fixture(autouse=True)
async def closed_afterwards() -> AsyncIterator[None]:
    """What the event loop shares ends with the test."""
    yield
    await hub.shutdown()
    await database.shutdown()


@pytest.fixture
def sampler(log: Log) -> Sampler:
    """A sampler with one sample in the log."""
    made = log.sampler(log.team("a"))
    log.append(made, 1)
    return made


def test_announcements_fit_and_say_everything() -> None:
    pieces = [
        Progress(index, 7 * index, list(range(count)), [-n / 4 for n in range(count)])
        for index, count in enumerate([1, 0, 500, 2000, 3, 595, 1, 1])
    ]
    texts = partial.payloads("x:sample:0:5", pieces)
    assert all(len(text) <= hub.MAX_PAYLOAD_BYTES for text in texts)
    tokens: dict[int, list[int]] = {}
    logprobs: dict[int, list[float]] = {}
    for text in texts:
        request_id, _, news = text.partition(" ")
        assert request_id == "x:sample:0:5"
        for part in partial.parse(news):
            known = tokens.setdefault(part.sequence, [])
            assert part.start == 7 * part.sequence + len(known)
            known += part.tokens
            logprobs.setdefault(part.sequence, []).extend(part.logprobs)
    assert [tokens.get(piece.sequence, []) for piece in pieces] == [p.tokens for p in pieces]
    assert [logprobs.get(piece.sequence, []) for piece in pieces] == [p.logprobs for p in pieces]


async def test_a_follower_hears_tokens_then_the_outcome(log: Log, sampler: Sampler) -> None:
    actor, request_id = log.actor(sampler.team), f"{sampler.id}:1"
    worker_id = await sync_to_async(log.worker)()
    (claimed,) = await sync_to_async(log.claim)(worker_id)
    with hub.current().queue(TOKENS, request_id) as queue:
        await hub.current().listening()
        following = partial.follow(queue, actor=actor, request_id=request_id)
        piece = Progress(0, 0, [1, 2], [-0.5, -1.0])
        partial.announce(log.conn, partial.payloads(request_id, [piece]))
        partial.announce(log.conn, partial.payloads("somebody:else:1", [piece]))
        assert await anext(following) == [piece]
        outcome = finish.Outcome(claimed.id, request_id, content_type="x", body=b"done")
        finish.record(log.conn, worker_id=worker_id, outcomes=[outcome], applied={})
        finish.announce(log.conn, [request_id])
        (last,) = [item async for item in following]
        assert isinstance(last, Finished)
        assert (last.content_type, last.body) == ("x", b"done")


async def test_a_follower_hears_of_silence(
    log: Log, sampler: Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "SILENCE_S", 0.05)
    request_id = f"{sampler.id}:1"
    with hub.current().queue(TOKENS, request_id) as queue:
        actor = log.actor(sampler.team)
        following = partial.follow(queue, actor=actor, request_id=request_id)
        silence = await anext(following)
        assert isinstance(silence, Pending)
        assert silence.queue_state == "paused_capacity"
        await following.aclose()


async def test_a_waiting_sample_is_given_up(log: Log, sampler: Sampler) -> None:
    actor, request_id = log.actor(sampler.team), f"{sampler.id}:1"
    waiting = asyncio.create_task(
        services.wait_result(actor=actor, request_id=request_id, timeout_s=20)
    )
    await never_async(
        waiting.done,
        for_s=0.05,
        but_after=lambda: services.cancel(actor=actor, request_id=request_id),
    )
    assert await asyncio.wait_for(waiting, 3) == Failed(services.CANCELLED_MESSAGE, "user")
    assert await services.cancel(actor=actor, request_id=request_id) is False
    worker_id = await sync_to_async(log.worker)()
    assert await sync_to_async(log.claim)(worker_id) == []
    assert not await Payload.objects.aexists()


async def test_what_was_claimed_is_given_up_and_stays_so(log: Log, sampler: Sampler) -> None:
    actor, request_id = log.actor(sampler.team), f"{sampler.id}:1"
    log.conn.execute(f"LISTEN {CANCEL_CHANNEL}")
    worker_id = await sync_to_async(log.worker)()
    (claimed,) = await sync_to_async(log.claim)(worker_id)
    assert await services.cancel(actor=actor, request_id=request_id)
    (notice,) = log.conn.notifies(timeout=5, stop_after=1)
    assert notice.payload == request_id
    outcome = finish.Outcome(claimed.id, request_id, content_type="x", body=b"late")
    finish.record(log.conn, worker_id=worker_id, outcomes=[outcome], applied={})
    assert (await Operation.objects.aget()).state == "failed"


async def test_only_ones_own_samples_are_given_up(log: Log, sampler: Sampler) -> None:
    stranger = log.actor(await sync_to_async(log.team)("b"))
    for actor, request_id in (
        (stranger, f"{sampler.id}:1"),
        (log.actor(sampler.team), f"{sampler.id}:2"),
        (log.actor(sampler.team), "nonsense"),
    ):
        with pytest.raises(NotFound):
            await services.cancel(actor=actor, request_id=request_id)
    assert (await Operation.objects.aget()).state == "queued"


async def test_work_on_a_run_is_never_given_up(log: Log) -> None:
    run = await sync_to_async(lambda: log.run(log.team("a")))()
    await sync_to_async(log.append)(run, 0)
    actor = log.actor(run.team)
    assert await services.cancel(actor=actor, request_id=f"{run.id}:0") is False
    assert (await Operation.objects.aget()).state == "queued"
