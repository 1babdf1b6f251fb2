"""Training runs over HTTP: creation, operations on them, results."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest
import zstandard

from operations.models import Operation, Payload
from runs.models import TrainingRun
from tests.platform.tinker_api.conftest import BASE_MODEL, PROTOBUF, Api, create_model_body
from tests.support.hand import Hand
from tests.support.waiting import never_async
from tinker_api.views import futures
from tinsmith.wire import wire_pb2


def batch(run: str, seq: int) -> bytes:
    """A small ForwardBackwardRequest."""
    return wire_pb2.ForwardBackwardRequest(
        model_id=run, seq_id=seq, loss_fn="cross_entropy"
    ).SerializeToString()


async def send_batch(api: Api, body: bytes, content_type: str = PROTOBUF) -> Any:
    """POST a forward_backward body."""
    return await api.post("forward_backward", content=body, headers={"Content-Type": content_type})


async def test_creating_a_run(api: Api, hand: Hand) -> None:
    session = await api.session()
    body = create_model_body(session, user_metadata={"a": 1})
    first, again = [(await api.call("create_model", **body)).json() for _ in range(2)]
    run = f"{session}:train:0"
    assert first == again == {"request_id": f"{run}:0", "model_id": run}
    assert await TrainingRun.objects.acount() == await Operation.objects.acount() == 1

    (creation,) = hand.claim()
    hand.answer(creation, type="create_model", model_id=run)
    for _ in range(2):
        result = await api.call("retrieve_future", request_id=first["request_id"])
        assert result.json() == {"type": "create_model", "model_id": run}

    info = (await api.call("get_info", model_id=run, type="get_info")).json()
    assert info == {
        "type": "get_info",
        "model_id": run,
        "model_data": {"arch": "qwen3", "model_name": BASE_MODEL, "tokenizer_id": BASE_MODEL},
        "is_lora": True,
        "lora_rank": 8,
        "model_name": BASE_MODEL,
        "optimizer_config": {"type": "adamw"},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_model": "no/such"}, BASE_MODEL),
        ({"base_model": f"{BASE_MODEL}s"}, f"did you mean {BASE_MODEL!r}?"),
        ({"lora_config": {"rank": 0}}, "between 1 and 16"),
        ({"lora_config": {"rank": 17}}, "between 1 and 16"),
        ({"lora_config": {"rank": "8"}}, "lora_config.rank must be a whole number, not text"),
        ({"lora_config": {"rank": 8, "seed": 2**63}}, "lora_config.seed"),
        ({"lora_config": {"rank": 8, "alpha": 1}}, "allowed: rank, seed"),
        ({"lora_config": None}, "lora_config is missing"),
        (
            {
                "lora_config": {
                    "rank": 8,
                    "train_attn": False,
                    "train_mlp": False,
                    "train_unembed": False,
                }
            },
            "nothing to train",
        ),
        ({"optimizer_config": {"type": "dimuon", "version": 1}}, "allowed: adamw"),
        ({"model_seq_id": -1}, "model_seq_id"),
        ({"model_seq_id": 2**63}, "model_seq_id"),
        ({"base_modell": "x"}, "unknown field `base_modell`"),
    ],
)
async def test_a_run_that_cannot_be(api: Api, changes: dict[str, Any], message: str) -> None:
    session = await api.session()
    response = await api.call("create_model", **create_model_body(session, **changes))
    assert response.status_code == 400
    assert message in response.json()["detail"]
    assert await TrainingRun.objects.acount() == await Operation.objects.acount() == 0


async def test_old_clients_create_runs(api: Api) -> None:
    session = await api.session()
    lora = {"rank": 4, "seed": None, "train_mlp": None}
    body = {"session_id": session, "model_seq_id": 0, "base_model": BASE_MODEL}
    response = await api.call("create_model", **body, lora_config=lora, user_metadata=None)
    assert response.status_code == 200


async def test_operations_run_in_order_whatever_order_they_come_in(api: Api, hand: Hand) -> None:
    run = await api.run(await api.session())
    for seq in (3, 2):
        response = await send_batch(api, batch(run, seq))
        assert response.json() == {"request_id": f"{run}:{seq}", "model_id": run}
    assert [item.seq for item in hand.claim()] == [0]
    await send_batch(api, batch(run, 1))
    await api.call("optim_step", model_id=run, seq_id=4, type="optim_step", adam_params={})
    claimed = hand.claim()
    assert [(item.seq, item.kind) for item in claimed] == [
        (1, "forward_backward"),
        (2, "forward_backward"),
        (3, "forward_backward"),
        (4, "optim_step"),
    ]
    assert bytes(claimed[0].body) == batch(run, 1)
    assert json.loads(bytes(claimed[3].body))["type"] == "optim_step"


async def test_a_resent_operation_is_the_same_operation(api: Api) -> None:
    run = await api.run(await api.session())
    replies = [(await send_batch(api, batch(run, 1))).json() for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    assert await Operation.objects.filter(kind="forward_backward").acount() == 1
    saves = [
        await api.call(
            "save_weights_for_sampler", model_id=run, seq_id=2, sampling_session_seq_id=number
        )
        for number in (0, 1)
    ]
    assert saves[0].json() == saves[1].json()
    kept = await Payload.objects.aget(operation__seq=2)
    assert json.loads(bytes(kept.body))["sampling_session_seq_id"] == 0


async def test_what_is_wrong_beyond_the_ids_is_the_workers_to_say(api: Api) -> None:
    run = await api.run(await api.session())
    response = await api.call("optim_step", model_id=run, seq_id=1, adam_params="nonsense", x=1)
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("address", "body", "message"),
    [
        ("optim_step", {"seq_id": 1}, "model_id"),
        ("optim_step", {"model_id": "RUN"}, "seq_id"),
        ("optim_step", {"model_id": "RUN", "seq_id": "1"}, "seq_id"),
        ("optim_step", {"model_id": "RUN", "seq_id": 0}, "seq_id must be a positive number"),
        ("optim_step", {"model_id": "RUN", "seq_id": 2**64}, "seq_id"),
        ("load_weights", {"path": "tinker://a/weights/b"}, "session_id"),
    ],
)
async def test_operations_without_a_place(
    api: Api, address: str, body: dict[str, Any], message: str
) -> None:
    run = await api.run(await api.session())
    if body.get("model_id") == "RUN":
        body = body | {"model_id": run}
    response = await api.call(address, **body)
    assert response.status_code == 400
    assert message in response.json()["detail"]
    assert await Operation.objects.acount() == 1


@pytest.mark.parametrize("body", [b"", b"\x0a\x01a", b"\xff" * 20, b'{"model_id": "x"}'])
async def test_batches_that_are_none(api: Api, body: bytes) -> None:
    response = await send_batch(api, body)
    assert response.status_code == 400
    assert "not a ForwardBackwardRequest" in response.json()["detail"]


async def test_batches_in_another_form(api: Api) -> None:
    response = await send_batch(api, b"{}", "text/plain")
    assert response.status_code == 415
    assert PROTOBUF in response.json()["detail"]
    empty = await send_batch(api, b"{}", "application/json")
    assert (empty.status_code, "model_id" in empty.json()["detail"]) == (400, True)
    forward = await api.post("forward", content=b"", headers={"Content-Type": PROTOBUF})
    assert forward.status_code == 415
    for encoding, status in (("zstd", 400), ("gzip", 400), ("br", 415)):
        packed = await api.post(
            "forward_backward",
            content=b"x",
            headers={"Content-Type": PROTOBUF, "Content-Encoding": encoding},
        )
        assert packed.status_code == status
        assert encoding in packed.json()["detail"]


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_packed_batches(api: Api, hand: Hand, encoding: str) -> None:
    run = await api.run(await api.session())
    body = batch(run, 1)
    packed = zstandard.compress(body) if encoding == "zstd" else gzip.compress(body)
    headers = {"Content-Type": PROTOBUF, "Content-Encoding": encoding}
    response = await api.post("forward_backward", content=packed, headers=headers)
    assert response.json()["request_id"] == f"{run}:1"
    assert hand.claim()[1].body == body


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
async def test_a_bomb_is_refused_and_does_not_hold_its_run_up(
    api: Api, hand: Hand, settings: Any, encoding: str
) -> None:
    run = await api.run(await api.session())
    settings.MAX_BODY_BYTES = 100_000
    body = wire_pb2.ForwardBackwardRequest(model_id=run, seq_id=1, loss_fn="x" * 10_000_000)
    data = body.SerializeToString()
    packed = zstandard.compress(data) if encoding == "zstd" else gzip.compress(data)
    assert len(packed) < 100_000
    headers = {"Content-Type": PROTOBUF, "Content-Encoding": encoding}
    response = await api.post("forward_backward", content=packed, headers=headers)
    assert response.status_code == 413
    assert [(item.seq, item.kind) for item in hand.claim()] == [(0, "create_run"), (1, "refused")]


async def test_large_answers_are_packed_for_who_reads_packed_ones(api: Api, hand: Hand) -> None:
    run = await api.run(await api.session())
    (creation,) = hand.claim()
    hand.finish(creation, content_type=PROTOBUF, body=bytes(1_000_000))
    for accepted, expected in (("gzip, zstd", "zstd"), ("gzip", "gzip"), ("identity", None)):
        headers = {"Accept": PROTOBUF, "Accept-Encoding": accepted}
        response = await api.post(
            "retrieve_future", json={"request_id": f"{run}:0"}, headers=headers
        )
        assert response.headers.get("Content-Encoding") == expected
        assert response.content == bytes(1_000_000)


async def test_other_teams_runs_are_not_found(api: Api, other_api: Api) -> None:
    session = await api.session()
    run = await api.run(session)
    before = await Operation.objects.acount()
    responses = [
        await send_batch(other_api, batch(run, 1)),
        await send_batch(api, batch("a\0b", 1)),
        await other_api.call("optim_step", model_id=run, seq_id=1),
        await other_api.call("load_weights", model_id=run, seq_id=1, path="x"),
        await other_api.call("get_info", model_id=run),
        await other_api.call("retrieve_future", request_id=f"{run}:0"),
        await other_api.call("create_model", **create_model_body(session, 1)),
        await other_api.get(f"training_runs/{run}"),
        await other_api.get(f"training_runs/{run}/checkpoints"),
        await other_api.call(
            "load_weights",
            session_id=await other_api.session(),
            model_seq_id=0,
            path=f"tinker://{run}/weights/x",
        ),
    ]
    assert [response.status_code for response in responses] == [404] * len(responses)
    assert await Operation.objects.acount() == before


async def test_a_finished_session_takes_no_more_work(api: Api) -> None:
    session = await api.session()
    run = await api.run(session)
    await api.call(f"sessions/{session}/finish", reason={"type": "success"}, detail=None)
    response = await api.call("optim_step", model_id=run, seq_id=1)
    assert response.status_code == 400
    assert "has ended" in response.json()["detail"]


class TestResults:
    """retrieve_future."""

    async def test_a_poll_is_held_until_the_result_is_there(self, api: Api, hand: Hand) -> None:
        run = await api.run(await api.session())
        (creation,) = hand.claim()
        poll = asyncio.create_task(
            api.post(
                "retrieve_future",
                json={"request_id": f"{run}:0", "allow_metadata_only": True},
                headers={"Accept": PROTOBUF},
            )
        )
        await never_async(
            poll.done,
            for_s=0.2,
            but_after=lambda: hand.finish(creation, content_type=PROTOBUF, body=b"\x00\x01"),
        )
        response = await asyncio.wait_for(poll, 2)
        assert (response.status_code, response.content) == (200, b"\x00\x01")
        assert response.headers["Content-Type"] == PROTOBUF

    async def test_failures_say_whose_fault_it_is(self, api: Api, hand: Hand) -> None:
        run = await api.run(await api.session())
        (creation,) = hand.claim()
        hand.finish(creation, error="no such loss", category="user")
        for _ in range(2):
            response = await api.call("retrieve_future", request_id=f"{run}:0")
            assert response.status_code == 200
            assert response.json() == {"error": "no such loss", "category": "user"}

    async def test_after_the_hold_the_client_is_told_to_ask_again(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(futures, "HOLD_S", 0.1)
        run = await api.run(await api.session())
        response = await api.call("retrieve_future", request_id=f"{run}:0")
        assert (response.status_code, response.json()) == (408, {"queue_state": "active"})

    async def test_a_missing_worker_is_named_as_the_reason(
        self, api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(futures, "HOLD_S", 0.1)
        run = await api.run(await api.session())
        hand.connection.execute("UPDATE operations_worker SET alive_until = now()")
        response = await api.call("retrieve_future", request_id=f"{run}:0")
        assert response.status_code == 408
        assert response.json()["queue_state"] == "paused_capacity"
        assert "no worker" in response.json()["queue_state_reason"]

    @pytest.mark.parametrize("request_id", ["x", "x:1", ":", "x:-1", "x:99999999999999999999"])
    async def test_unknown_requests(self, api: Api, request_id: str) -> None:
        response = await api.call("retrieve_future", request_id=request_id)
        assert response.status_code == 404
