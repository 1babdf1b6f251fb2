"""Many at once: polls that wait, batches that are large.

What is measured is printed; the bounds are wide enough for a busy machine.
"""

from __future__ import annotations

import asyncio
import gzip
import statistics
import time

import httpx
import pytest
import zstandard

from tests.conftest import LiveStack
from tests.faults.beats import beating
from tests.faults.processes import connections, web_process
from tests.faults.wire import PROTOBUF, batch, new_run, new_session, result, step_body, submit
from tests.support.waiting import eventually_async

POLLS = 2000
BATCHES = 64
BATCH_TOKENS = 310_000  # 16 bytes each: five megabytes


def client(stack: LiveStack, connections: int) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    return httpx.AsyncClient(
        base_url=f"{stack.url}/api/v1/",
        headers={"X-API-Key": stack.api_key},
        limits=limits,
        timeout=120,
    )


def report(what: str, seconds: list[float]) -> float:
    """Print and return the median in milliseconds."""
    ordered = sorted(value * 1000 for value in seconds)
    p50, p99 = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
    print(f"{what}: {len(ordered)} times, p50 {p50:.1f}, p99 {p99:.1f}, worst {ordered[-1]:.1f} ms")
    return p50


async def test_training_goes_on_beside_two_thousand_polls(
    http: httpx.Client, live_stack: LiveStack
) -> None:
    waiting, busy = new_run(http), new_run(http)
    # operation 1 is missing, so all polls of operation 2 are held
    held = submit(http, waiting, 2)
    async with client(live_stack, POLLS + 8) as polling, client(live_stack, 4) as training:
        polls = [
            asyncio.create_task(polling.post("retrieve_future", json={"request_id": held}))
            for _ in range(POLLS)
        ]
        await eventually_async(lambda: connections(web_process(live_stack)) >= POLLS, within_s=60)
        assert not any(poll.done() for poll in polls)
        seconds = []
        for step in range(40):
            for seq in (2 * step + 1, 2 * step + 2):
                started = time.monotonic()
                if seq % 2:
                    reply = await training.post(
                        "forward_backward", content=batch(busy, seq), headers=PROTOBUF
                    )
                else:
                    reply = await training.post("optim_step", json=step_body(busy, seq))
                seconds.append(time.monotonic() - started)
                assert reply.status_code == 200
        assert report("submits beside held polls", seconds) < 250
        assert await asyncio.to_thread(result, http, f"{busy}:79")
        reply = await training.post("optim_step", json=step_body(waiting, 1))
        assert reply.status_code == 200
        replies = await asyncio.gather(*polls)
    # those that ran into the end of their hold ask again; none went wrong
    assert {reply.status_code for reply in replies} <= {200, 408}
    assert result(http, held)


async def test_heartbeats_beside_large_batches(http: httpx.Client, live_stack: LiveStack) -> None:
    session = new_session(http)
    run = new_run(http, session)
    web = web_process(live_stack)
    before = web.memory_info().rss
    # operation 1 is missing, so none of them is worked on
    bodies = [batch(run, seq, length=BATCH_TOKENS, seed=0) for seq in range(2, BATCHES + 2)]
    assert all(len(body) > 4_900_000 for body in bodies)
    peak = before
    async with client(live_stack, BATCHES) as sending:
        with beating(live_stack.url, live_stack.api_key, session) as beats:
            started = time.monotonic()
            submits = [
                asyncio.create_task(
                    sending.post("forward_backward", content=body, headers=PROTOBUF)
                )
                for body in bodies
            ]
            while not all(submit.done() for submit in submits):
                peak = max(peak, web.memory_info().rss)
                await asyncio.wait(submits, timeout=0.02)
            took = time.monotonic() - started
        replies = [submit.result() for submit in submits]
        await sending.post(f"sessions/{session}/finish", json={"reason": {"type": "success"}})
    assert [reply.status_code for reply in replies] == [200] * BATCHES
    print(f"64 batches of 5 MB, {sum(map(len, bodies)) / 2**20:.0f} MiB, took {took:.1f} s")
    assert report("heartbeats beside 64 batches of 5 MB", beats) < 1000
    grown = (peak - before) / 2**20
    print(f"the web process grew by {grown:.0f} MiB over {before / 2**20:.0f} MiB")
    assert grown < sum(map(len, bodies)) / 2**20


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_bombs_are_refused_cheaply(
    http: httpx.Client, live_stack: LiveStack, encoding: str
) -> None:
    block, blocks = bytes(2**20), 2048
    if encoding == "zstd":
        packer = zstandard.ZstdCompressor().compressobj()
        packed = b"".join(packer.compress(block) for _ in range(blocks)) + packer.flush()
    else:
        packed = gzip.compress(block, 1) * blocks
    web = web_process(live_stack)
    headers = PROTOBUF | {"Content-Encoding": encoding}
    reply = http.post("forward_backward", content=packed, headers=headers)
    assert reply.status_code == 413
    assert web.memory_info().rss < 2**31


def test_a_large_batch_without_a_good_key_is_refused_unread(live_stack: LiveStack) -> None:
    body = bytes(100 * 2**20)
    web = web_process(live_stack)
    before = web.memory_info().rss
    headers = PROTOBUF | {"X-API-Key": "tml-" + "x" * 43}
    with httpx.Client(timeout=60) as stranger:
        reply = stranger.post(
            f"{live_stack.url}/api/v1/forward_backward", content=body, headers=headers
        )
    assert reply.status_code == 401
    assert web.memory_info().rss - before < len(body) / 2
