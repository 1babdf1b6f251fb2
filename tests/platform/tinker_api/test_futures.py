"""Futures beyond the plain poll: session polls, cancelling, sizes first, JSON for old clients."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import disk
from operations import completions, pressure
from operations.models import Operation, Result
from tests.platform.tinker_api.conftest import PROTOBUF, Api
from tests.platform.tinker_api.test_sampling import sample_body
from tests.support.hand import Hand
from tests.support.waiting import never_async
from tinker_api.views import futures
from tinsmith import wire


def response(**fields: Any) -> bytes:
    """A SampleResponse of one sequence."""
    sequence = wire.SampledSequence(
        stop_reason=wire.STOP_REASON_LENGTH,
        tokens=np.array([5, 6], "<i4").tobytes(),
        logprobs=np.array([-0.5, -1.5], "<f4").tobytes(),
    )
    return wire.SampleResponse(sequences=[sequence], **fields).SerializeToString()


async def ask(api: Api, sampler: str, *seqs: int) -> None:
    for seq in seqs:
        reply = await api.call("asample", **sample_body(sampler, seq))
        assert reply.status_code == 200


def finish(hand: Hand, *, fails: tuple[int, ...] = ()) -> None:
    """Answer all samples there are."""
    for claimed in hand.claim():
        if claimed.seq in fails:
            hand.finish(claimed, error="no", category="user")
        else:
            hand.finish(claimed, content_type=PROTOBUF, body=response())


async def poll(api: Api, sampler: str, cursor: int = 0, **more: Any) -> dict[str, Any]:
    target = {"type": "sampling_session", "sampling_session_id": sampler}
    target |= more.pop("target", {})
    body = {"target": target, "prev_cursor": cursor, "retrieved_request_ids": []} | more
    reply = await api.call("retrieve_futures", **body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_one_poll_tells_of_all_samples(api: Api, hand: Hand) -> None:
    sampler = await api.sampler(await api.session())
    assert await poll(api, sampler, timeout=0) == {"completions": [], "cursor": 0}
    await ask(api, sampler, 0, 1, 2)
    waiting = asyncio.create_task(poll(api, sampler))
    await never_async(waiting.done, for_s=0.1, but_after=lambda: finish(hand, fails=(1,)))
    seen, cursor = {}, 0
    while len(seen) < 3:
        reply = await waiting if not seen else await poll(api, sampler, cursor)
        assert reply["cursor"] > cursor
        cursor = reply["cursor"]
        for item in reply["completions"]:
            assert item["request_id"] not in seen
            seen[item["request_id"]] = item
    assert {seen[f"{sampler}:{seq}"]["state"] for seq in (0, 2)} == {"finished"}
    assert seen[f"{sampler}:1"] == {"state": "failed", "request_id": f"{sampler}:1"}
    assert seen[f"{sampler}:0"]["response_payload_uncompressed_size"] == len(response())
    # nothing is told twice, and everything again to who begins anew
    assert (await poll(api, sampler, cursor, timeout=0))["completions"] == []
    assert len((await poll(api, sampler, timeout=0))["completions"]) == 3


async def test_clients_that_share_a_sampler_hear_of_their_own(api: Api, hand: Hand) -> None:
    sampler = await api.sampler(await api.session())
    counters = [
        (await api.call("join_sampling_session", sampling_session_id=sampler)).json()
        for _ in range(2)
    ]
    assert counters == [{"client_counter": 1}, {"client_counter": 2}]
    await ask(api, sampler, 1, 2_000_000_001)
    finish(hand)
    for clone, seq in ((0, 1), (2, 2_000_000_001)):
        reply = await poll(api, sampler, target={"cloned_sampler_id": clone}, timeout=0)
        assert [item["request_id"] for item in reply["completions"]] == [f"{sampler}:{seq}"]


async def test_samples_of_many_other_clients_are_passed_over_at_once(
    api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "MOST_AT_ONCE", 2)
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, *range(7))
    finish(hand)
    await ask(api, sampler, 2_000_000_001)
    finish(hand)
    started = time.monotonic()
    reply = await poll(api, sampler, target={"cloned_sampler_id": 2})
    assert [item["request_id"] for item in reply["completions"]] == [f"{sampler}:2000000001"]
    assert time.monotonic() - started < 2


async def test_results_that_were_fetched_may_go(api: Api, hand: Hand) -> None:
    session = await api.session()
    sampler, other = await api.sampler(session), await api.sampler(session, 1)
    await ask(api, sampler, 0, 1)
    await ask(api, other, 0)
    finish(hand)
    await poll(api, sampler, timeout=0, retrieved_request_ids=[f"{sampler}:0"])
    assert await Result.objects.acount() == 2
    body = {
        "target": {"sampling_session_id": sampler},
        "retrieved_request_ids": [f"{other}:0"],
        "timeout": 0,
    }
    refused = await api.call("retrieve_futures", **body)
    assert refused.status_code == 400
    assert await Result.objects.acount() == 2


async def test_other_teams(api: Api, other_api: Api, hand: Hand) -> None:
    session = await api.session()
    sampler, run = await api.sampler(session), await api.run(session)
    await ask(api, sampler, 0)
    before = [row async for row in Operation.objects.order_by("id").values()]
    for address, body in (
        ("retrieve_futures", {"target": {"sampling_session_id": sampler}, "timeout": 0}),
        (
            "retrieve_futures",
            {
                "target": {"sampling_session_id": sampler},
                "timeout": 0,
                "retrieved_request_ids": [f"{sampler}:0"],
            },
        ),
        ("join_sampling_session", {"sampling_session_id": sampler}),
        ("cancel_future", {"request_id": f"{sampler}:0"}),
        ("unload_model", {"model_id": run}),
        ("retrieve_future", {"request_id": f"{run}:unload"}),
        ("forward", {"model_id": run, "seq_id": 1}),
        ("forward_backward", {"model_id": run, "seq_id": 1}),
    ):
        assert (await other_api.call(address, **body)).status_code == 404, address
    assert [row async for row in Operation.objects.order_by("id").values()] == before
    joined = await api.call("join_sampling_session", sampling_session_id=sampler)
    assert joined.json() == {"client_counter": 1}


async def test_a_sample_is_cancelled_once(api: Api, hand: Hand) -> None:
    session = await api.session()
    sampler, run = await api.sampler(session), await api.run(session)
    await ask(api, sampler, 0, 1)
    (first,) = [item for item in hand.claim() if item.target == sampler and item.seq == 0]
    for seq in (0, 1):
        for cancelled in (True, False):
            reply = await api.call("cancel_future", request_id=f"{sampler}:{seq}")
            assert reply.json()["cancelled"] is cancelled
    # what the worker still says of it comes too late
    hand.finish(first, content_type=PROTOBUF, body=response())
    for seq in (0, 1):
        failed = (await api.call("retrieve_future", request_id=f"{sampler}:{seq}")).json()
        assert (failed["category"], "cancelled" in failed["error"]) == ("user", True)
    assert len((await poll(api, sampler, timeout=0))["completions"]) == 2
    kept = await api.call("cancel_future", request_id=f"{run}:0")
    assert kept.json()["cancelled"] is False
    assert (await Operation.objects.aget(target=run)).state in ("queued", "running")


async def test_large_results_are_announced_first(
    api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, 0)
    finish(hand)
    size = len(response())
    monkeypatch.setattr(futures, "LARGE_BYTES", size - 1)
    wanted = {"request_id": f"{sampler}:0"}
    headers = {"Accept": PROTOBUF}
    first = await api.post(
        "retrieve_future", json=wanted | {"allow_metadata_only": True}, headers=headers
    )
    assert first.json() == {"status": "complete_metadata", "response_payload_size": size}
    again = await api.post(
        "retrieve_future", json=wanted | {"allow_metadata_only": False}, headers=headers
    )
    assert again.content == response()


async def test_old_clients_get_samples_as_json(api: Api, hand: Hand) -> None:
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, 0)
    (claimed,) = hand.claim()
    body = response(
        prompt_logprobs=np.array([math.nan, -2.5], "<f4").tobytes(),
        topk_prompt_logprobs=wire.TopkLogprobs(
            token_ids=np.array([0, 0, 7, 8], "<i4").tobytes(),
            logprobs=np.array([-99999, -99999, -0.5, -1], "<f4").tobytes(),
            k=2,
            length=2,
        ),
    )
    hand.finish(claimed, content_type=PROTOBUF, body=body)
    reply = await api.post(
        "retrieve_future",
        json={"request_id": f"{sampler}:0"},
        headers={"Accept": "application/json"},
    )
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json() == {
        "type": "sample",
        "sequences": [{"stop_reason": "length", "tokens": [5, 6], "logprobs": [-0.5, -1.5]}],
        "prompt_logprobs": [None, -2.5],
        "topk_prompt_logprobs": [None, [[7, -0.5], [8, -1.0]]],
    }


async def test_old_clients_send_and_get_passes_as_json(api: Api, hand: Hand) -> None:
    run = await api.run(await api.session())
    for address, seq in (("forward", 1), ("forward_backward", 2)):
        body = {f"{address}_input": {"data": []}, "model_id": run, "seq_id": seq}
        assert (await api.call(address, **body)).json()["request_id"] == f"{run}:{seq}"
    claimed = {item.seq: item for item in hand.claim()}
    assert {item.content_type for item in claimed.values()} == {"application/json"}
    output = wire.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    output.metrics["loss:sum"] = 1.5
    for shape in ((2,), (3, 2)):
        values = np.arange(math.prod(shape), dtype="<f4")
        tensor = wire.BatchedTensor(
            data=values.tobytes(),
            offsets=np.array([0, values.nbytes], "<i8").tobytes(),
            dtype=wire.DTYPE_FLOAT32,
            trailing_shape=shape[1:],
        )
        output.loss_fn_outputs.append(
            wire.ArrayRecord(type_tag="x", fields={"logprobs": tensor}, num_datums=1)
        )
    hand.answer(claimed[0], type="create_model", model_id=run)
    hand.finish(claimed[1], content_type=PROTOBUF, body=output.SerializeToString())
    reply = await api.call("retrieve_future", request_id=f"{run}:1")
    assert reply.json() == {
        "loss_fn_output_type": "ArrayRecord",
        "loss_fn_outputs": [
            {"logprobs": {"data": [0.0, 1.0], "dtype": "float32", "shape": [2]}},
            {"logprobs": {"data": [0.0, 1, 2, 3, 4, 5], "dtype": "float32", "shape": [3, 2]}},
        ],
        "metrics": {"loss:sum": 1.5},
    }
    unloaded = (await api.call("unload_model", model_id=run)).json()
    answer = await api.call("retrieve_future", request_id=unloaded["request_id"])
    assert answer.json() == {"type": "unload_model", "model_id": run}


async def test_samples_beyond_the_limit_wait_with_the_client(
    api: Api, other_api: Api, hand: Hand, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pressure, "_open", pressure._Open())
    monkeypatch.setattr(pressure, "COUNT_EVERY_S", 0.0)
    settings.MAX_OPEN_SAMPLES_PER_TEAM = 2
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, 0, 1)
    refused = await api.call("asample", **sample_body(sampler, 2))
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert await Operation.objects.filter(target=sampler).acount() == 2
    # one team's samples are no other's matter, until all are too many
    other = await other_api.sampler(await other_api.session())
    await ask(other_api, other, 0)
    settings.MAX_OPEN_SAMPLES = 3
    assert (await other_api.call("asample", **sample_body(other, 1))).status_code == 429
    finish(hand)
    await ask(api, sampler, 2)


async def test_without_a_worker_the_wait_is_short(api: Api, hand: Hand) -> None:
    sampler = await api.sampler(await api.session())
    await ask(api, sampler, 0)
    hand.connection.execute("UPDATE operations_worker SET alive_until = now()")
    started = time.monotonic()
    reply = await api.call("retrieve_future", request_id=f"{sampler}:0")
    assert reply.status_code == 408
    assert reply.json()["queue_state"] == "paused_capacity"
    assert "no worker" in reply.json()["queue_state_reason"]
    assert 2 < time.monotonic() - started < 15
    started = time.monotonic()
    assert await poll(api, sampler) == {"completions": [], "cursor": 0, **reply.json()}
    assert 2 < time.monotonic() - started < 15


async def test_who_waits_while_the_disk_is_full_is_told_so(
    api: Api, hand: Hand, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(futures, "FULL_HOLD_S", 0.05)
    run, sampler = await api.run(await api.session()), await api.sampler(await api.session())
    await ask(api, sampler, 0)
    reply = await api.call("save_weights", model_id=run, seq_id=1)
    monkeypatch.setattr(disk, "LEAST_BYTES", 2**63)
    told = {
        "queue_state": "paused_capacity",
        "queue_state_reason": f"the disk of {data_folder} is full: make room and try again",
    }
    waiting = await api.call("retrieve_future", request_id=reply.json()["request_id"])
    assert (waiting.status_code, waiting.json()) == (408, told)
    assert told.items() <= (await poll(api, sampler, timeout=0)).items()
    monkeypatch.setattr(disk, "LEAST_BYTES", 0)
    assert "disk" not in str(await poll(api, sampler, timeout=0))
