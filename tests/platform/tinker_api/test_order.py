"""Refused requests: each says whether it holds its place in its run's order, and is as it says."""

from __future__ import annotations

import json
import zlib
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from accounts.models import Scope, Team
from accounts.services import create_api_key
from operations.models import Operation, Payload
from operations.order import HEADER
from tests.platform.tinker_api.conftest import PROTOBUF, Api
from tests.support.hand import Hand
from tinker_api.views import futures
from tinsmith.wire import wire_pb2

JSON = "application/json"
DEEP = b"[" * 4000 + b"]" * 4000
RUBBISH = b"\xff" * 11
AGE = "age_encryption_recipients"


def batch(run: str, seq: int, **fields: Any) -> bytes:
    """A small ForwardBackwardRequest."""
    return wire_pb2.ForwardBackwardRequest(
        model_id=run, seq_id=seq, loss_fn="cross_entropy", **fields
    ).SerializeToString()


def ids(run: str, seq: int = 1) -> str:
    return f'"model_id": "{run}", "seq_id": {seq}'


async def post(
    api: httpx.AsyncClient, route: str, content: bytes, content_type: str = JSON, **headers: str
) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.post(route, content=content, headers={"Content-Type": content_type, **names})


async def kinds(api: Api, hand: Hand, run: str, seq: int = 2) -> list[tuple[int, str]]:
    """What a worker does once a good request has followed at `seq`."""
    response = await api.call("optim_step", model_id=run, seq_id=seq, adam_params={})
    assert response.status_code == 200
    return [(item.seq, item.kind) for item in hand.claim()][1:]


# each is wrong in a way that is found out before the request is stored
HELD = {
    "the literal NaN": ("optim_step", b'{IDS, "adam_params": {"eps": NaN}}', JSON),
    "NaN before the ids": ("optim_step", b'{"adam_params": {"eps": NaN}, IDS}', JSON),
    "deep nesting": ("save_weights", b'{IDS, "path": ' + DEEP + b"}", JSON),
    "cut JSON": ("save_weights", b'{IDS, "path": "a', JSON),
    "a tab in a text": ("save_weights", b'{IDS, "path": "a\tb"}', JSON),
    "recipients no list": ("save_weights_external", b'{IDS, "AGE": "me"}', JSON),
    "recipients an object": ("save_weights_external", b'{IDS, "AGE": {"a": [1]}}', JSON),
    "recipients numbers": ("save_weights_external", b'{IDS, "AGE": [1, null]}', JSON),
    "no token for another team's": ("load_weights", b'{IDS, "weights_access_token": 5}', JSON),
    "NUL in another team's token": (
        "load_weights",
        b'{IDS, "weights_access_token": "\\u0000"}',
        JSON,
    ),
    "a pass as text": ("forward_backward", b"BATCH", "text/plain"),
    "JSON as text": ("forward_backward", b"{IDS}", "text/plain"),
    "a pass asked of forward": ("forward", b"BATCH", PROTOBUF),
    "a cut pass": ("forward_backward", b"BATCH\x1a\x05ab", PROTOBUF),
    "a pass with rubbish behind": ("forward_backward", b"BATCH" + RUBBISH, PROTOBUF),
    "an old client's pass with NaN": (
        "forward_backward",
        b'{"forward_backward_input": {"data": [' + b"1, " * 60_000 + b"NaN]}, IDS}",
        JSON,
    ),
}
OTHER_FORM = {"a pass as text", "JSON as text", "a pass asked of forward"}


@pytest.mark.parametrize("name", HELD)
async def test_a_refused_request_holds_its_place(api: Api, hand: Hand, name: str) -> None:
    route, content, content_type = HELD[name]
    run = await api.run(await api.session())
    content = content.replace(b"IDS", ids(run).encode()).replace(b"AGE", AGE.encode())
    response = await post(api, route, content.replace(b"BATCH", batch(run, 1)), content_type)
    status = 415 if name in OTHER_FORM else 400
    assert (response.status_code, response.headers[HEADER]) == (status, "held")
    assert await kinds(api, hand, run) == [(1, "refused"), (2, "optim_step")]
    stored = await Payload.objects.aget(operation__target=run, operation__seq=1)
    assert response.json()["detail"].encode() == bytes(stored.body)


async def test_a_body_that_is_too_large_holds_its_place(
    api: Api, hand: Hand, settings: Any
) -> None:
    settings.MAX_BODY_BYTES = 100_000
    for route, content, content_type in (
        ("forward_backward", lambda run: batch(run, 1, data=[wire_pb2.Datum()] * 60_000), PROTOBUF),
        ("save_weights", lambda run: f'{{{ids(run)}, "path": "{"x" * 200_000}"}}'.encode(), JSON),
    ):
        run = await api.run(await api.session())
        response = await post(api, route, content(run), content_type)
        assert (response.status_code, response.headers[HEADER]) == (413, "held")
        assert await kinds(api, hand, run) == [(1, "refused"), (2, "optim_step")]


@pytest.mark.parametrize(
    ("route", "fields"),
    [
        ("save_weights", {"path": "a\0b", "user_metadata": {"a": "\0"}}),
        ("save_weights", {"path": "s", "user_metadata": {"code": 'x = "\\u0000"'}}),
        ("save_weights_for_sampler", {"path": "a\0b"}),
        ("save_weights_external", {"path": "a\0b"}),
        ("load_weights", {"path": "tinker://\0"}),
        ("optim_step", {"optimizer_params": {"type": "\0"}}),
        ("forward", {"forward_input": {"data": [], "loss_fn": "\0"}}),
    ],
)
async def test_a_nul_that_goes_into_the_log_as_bytes_is_taken(
    api: Api, hand: Hand, route: str, fields: dict[str, Any]
) -> None:
    run = await api.run(await api.session())
    response = await api.call(route, model_id=run, seq_id=1, **fields)
    assert response.status_code == 200
    (_, operation) = hand.claim()
    assert json.loads(operation.body) == {"model_id": run, "seq_id": 1, **fields}


async def test_metadata_that_spells_a_nul_is_kept_and_one_that_holds_it_is_refused(
    api: Api,
) -> None:
    spelt = await api.call("create_session", user_metadata={"a": 'print("\\u0000")'})
    assert spelt.status_code == 200
    held = await api.call("create_session", user_metadata={"a": "\0"})
    assert (held.status_code, "NUL" in held.json()["detail"]) == (400, True)


FREE = {
    "no such run": ("optim_step", b'{"model_id": "nobody:train:0", "seq_id": 1}', 404),
    "NUL in the run's id": ("optim_step", b'{"model_id": "a\\u0000", "seq_id": 1}', 404),
    "no number": ("optim_step", b'{"model_id": "RUN"}', 400),
    "no whole number": ("optim_step", b'{"model_id": "RUN", "seq_id": 1.5}', 400),
    "the number 0": ("optim_step", b'{"model_id": "RUN", "seq_id": 0}', 400),
    "a number that is none of ours": (
        "optim_step",
        b'{"model_id": "RUN", "seq_id": 99999999999999999999}',
        400,
    ),
    "a creation": ("load_weights", b'{"session_id": "RUN", "path": 5}', 400),
    "the ids in another place": (
        "optim_step",
        b'{"adam_params": {"model_id": "RUN", "seq_id": 1}, "x": "\\"seq_id\\": 1", "y": NaN}',
        400,
    ),
}


@pytest.mark.parametrize("name", FREE)
async def test_a_refusal_without_a_place_leaves_the_number_free(api: Api, name: str) -> None:
    route, content, status = FREE[name]
    run = await api.run(await api.session())
    response = await post(api, route, content.replace(b"RUN", run.encode()))
    assert (response.status_code, response.headers[HEADER]) == (status, "free")
    assert await Operation.objects.acount() == 1


async def test_a_body_that_cannot_be_unpacked_leaves_the_number_free(api: Api) -> None:
    run = await api.run(await api.session())
    packed = zlib.compress(batch(run, 1) * 200, wbits=31)
    for content, encoding, status in ((packed[:-20], "gzip", 400), (packed, "br", 415)):
        response = await post(api, "forward_backward", content, PROTOBUF, Content_Encoding=encoding)
        assert (response.status_code, response.headers[HEADER]) == (status, "free")
    assert await Operation.objects.acount() == 1


async def test_who_may_not_train_writes_nothing_into_a_run(
    api: Api, other_api: Api, team: Team
) -> None:
    run = await api.run(await api.session())
    content = f"{{{ids(run)}, NaN}}".encode()
    key = await sync_to_async(create_api_key)(team=team, name="s", scopes=[Scope.SAMPLE])
    for headers, status in (
        ({"X-API-Key": ""}, 401),
        ({"X-API-Key": "tml-nonsense"}, 401),
        ({"X-API-Key": key.text}, 403),
        ({"X-API-Key": other_api.headers["X-API-Key"]}, 404),
    ):
        response = await api.post(
            "optim_step", content=content, headers={"Content-Type": JSON, **headers}
        )
        assert (response.status_code, response.headers[HEADER]) == (status, "free")
    assert await Operation.objects.acount() == 1


async def test_an_ended_session_holds_nothing(api: Api) -> None:
    session = await api.session()
    run = await api.run(session)
    await api.call(f"sessions/{session}/finish", reason={"type": "success"}, detail=None)
    for content in (f"{{{ids(run)}}}", f"{{{ids(run)}, NaN}}"):
        response = await post(api, "optim_step", content.encode())
        assert (response.status_code, response.headers[HEADER]) == (400, "free")
    assert await Operation.objects.acount() == 1


async def test_a_failure_of_ours_says_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is known: the client has to send the request again."""
    run = await api.run(await api.session())

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError

    from operations import order

    monkeypatch.setattr(order, "hold", fail)
    response = await post(api, "optim_step", f"{{{ids(run)}, NaN}}".encode())
    assert (response.status_code, HEADER in response.headers) == (500, False)


async def test_what_has_come_before_stands_when_the_same_is_refused(api: Api, hand: Hand) -> None:
    run = await api.run(await api.session())
    await api.call("optim_step", model_id=run, seq_id=1, adam_params={})
    response = await post(api, "optim_step", f"{{{ids(run)}, NaN}}".encode())
    assert response.headers[HEADER] == "held"
    assert await kinds(api, hand, run) == [(1, "optim_step"), (2, "optim_step")]


async def test_a_poll_behind_a_gap_says_which_request_is_missing(
    api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(futures, "HOLD_S", 0.1)
    run = await api.run(await api.session())
    await api.call("optim_step", model_id=run, seq_id=2, adam_params={})
    hand.claim()
    response = await api.call("retrieve_future", request_id=f"{run}:2")
    assert (response.status_code, response.json()["queue_state"]) == (408, "paused_capacity")
    reason = response.json()["queue_state_reason"]
    assert reason.startswith("request 1 of this training run has not come; 1 later one waits")


class TestBatchesInSeveralRequests:
    """Clients send the first part last: none may be done when one is refused."""

    async def test_a_first_part_that_is_refused_takes_the_others_along(
        self, api: Api, hand: Hand
    ) -> None:
        run = await api.run(await api.session())
        for seq in (3, 2):
            await post(api, "forward_backward", batch(run, seq), PROTOBUF)
        response = await post(api, "forward_backward", batch(run, 1) + b"\x1a\x05ab", PROTOBUF)
        assert (response.status_code, response.headers[HEADER]) == (400, "held")
        await api.call("optim_step", model_id=run, seq_id=4, adam_params={})
        claimed = hand.claim()[1:]
        assert [item.kind for item in claimed] == ["refused"] * 3 + ["optim_step"]
        assert b"request 1, of the same batch, was refused: the body" in claimed[2].body

    async def test_what_is_no_pass_takes_nothing_along(self, api: Api, hand: Hand) -> None:
        run = await api.run(await api.session())
        await post(api, "forward_backward", batch(run, 2), PROTOBUF)
        await post(api, "optim_step", f"{{{ids(run)}, NaN}}".encode())
        assert [item.kind for item in hand.claim()[1:]] == ["refused", "forward_backward"]

    @pytest.mark.parametrize("come", [[2, 3], [3], [2], []])
    async def test_a_batch_whose_first_has_not_come_is_withdrawn_as_a_whole(
        self, api: Api, hand: Hand, come: list[int]
    ) -> None:
        run = await api.run(await api.session())
        for seq in come:
            await post(api, "forward_backward", batch(run, seq), PROTOBUF)
        address = f"runs/{run}/withdraw"
        for _ in range(2):
            reply = await api.call(address, first=1, last=3, reason="too large \0")
            assert reply.status_code == 200
            assert reply.json() == {"standing": []}
        claimed = hand.claim()[1:]
        assert [(item.seq, item.kind) for item in claimed] == [(n, "refused") for n in (1, 2, 3)]
        assert all(b"too large" in item.body for item in claimed)
        late = await post(api, "forward_backward", batch(run, 1), PROTOBUF)
        assert late.json()["request_id"] == f"{run}:1"
        assert await Operation.objects.filter(kind="forward_backward").acount() == 0

    async def test_what_may_have_begun_stands(self, api: Api, hand: Hand) -> None:
        run = await api.run(await api.session())
        for seq in (1, 3):
            await post(api, "forward_backward", batch(run, seq), PROTOBUF)
        reply = await api.call(f"runs/{run}/withdraw", first=1, last=4)
        assert reply.json() == {"standing": [1, 3]}
        assert [item.kind for item in hand.claim()[1:]] == [
            "forward_backward",
            "refused",
            "forward_backward",
            "refused",
        ]

    @pytest.mark.parametrize(
        "fields",
        [{"first": 0, "last": 1}, {"first": 3, "last": 2}, {"first": 1, "last": 2**63 - 1}],
    )
    async def test_numbers_that_cannot_be_withdrawn(
        self, api: Api, other_api: Api, fields: dict[str, int]
    ) -> None:
        run = await api.run(await api.session())
        assert (await api.call(f"runs/{run}/withdraw", **fields)).status_code == 400
        assert (await other_api.call(f"runs/{run}/withdraw", first=1, last=1)).status_code == 404
        assert (await api.call("runs/nobody/withdraw", first=1, last=1)).status_code == 404
        assert await Operation.objects.acount() == 1
