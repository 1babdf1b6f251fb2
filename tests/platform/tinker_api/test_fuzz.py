"""Random and mutated bodies to every route: never a 5xx, never another team's rows."""

from __future__ import annotations

import copy
import json
import os
from typing import Any
from urllib.parse import quote

import httpx
import pytest_asyncio
from django.urls import URLPattern
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from checkpoints.models import Checkpoint
from operations.models import Operation, Payload, Result
from runs.models import Sampler, Session, TrainingRun
from tests.platform.tinker_api.conftest import PROTOBUF, Api, create_model_body
from tests.platform.tinker_api.test_sampling import sample_body, save_checkpoint
from tests.support.hand import Hand
from tinker_api.urls import urlpatterns
from tinsmith.wire import wire_pb2

TABLES = (Session, TrainingRun, Sampler, Operation, Payload, Result, Checkpoint)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["\0", "\ud800", "x" * 300, "../..", "tinker://a/b/c", "' OR 1=1 --"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
many = settings(
    max_examples=int(os.environ.get("TINSMITH_FUZZ_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    derandomize=True,
)


class World:
    """Two teams with the same kinds of things; we ask as the first."""

    def __init__(self, api: Api, own: dict[str, str], foreign: dict[str, str]) -> None:
        self.api = api
        self.ids = own, foreign
        self.bodies = self._bodies(own)
        self.rows: list[Any] = []

    @staticmethod
    def _bodies(ids: dict[str, str]) -> dict[str, dict[str, Any]]:
        """A good body for every POST route that takes JSON."""
        run, sampler, session = ids["run"], ids["sampler"], ids["session"]
        on_run = {"model_id": run, "seq_id": 3}
        tensor = {"data": [1, 2], "dtype": "int64", "shape": [2]}
        datum = {
            "model_input": {"chunks": [{"tokens": [1, 2]}]},
            "loss_fn_inputs": {"target_tokens": tensor},
        }
        given = {"data": [datum], "loss_fn": "cross_entropy", "loss_fn_config": None}
        poll = {"sampling_session_id": sampler, "cloned_sampler_id": 0, "type": "sampling_session"}
        return {
            "client/config": {"sdk_version": "0.38.0"},
            "create_session": {"tags": ["a"], "user_metadata": {"a": 1}, "sdk_version": "0.38.0"},
            "session_heartbeat": {"session_id": session},
            f"sessions/{session}/finish": {"reason": {"type": "odd"}, "detail": None},
            "create_model": create_model_body(session, 5),
            "get_info": {"model_id": run},
            "unload_model": {"model_id": run},
            "optim_step": on_run | {"adam_params": {"learning_rate": 0.1}},
            "save_weights": on_run | {"path": "s", "ttl_seconds": 7200},
            "load_weights": on_run | {"path": ids["path"], "optimizer": True},
            "save_weights_for_sampler": on_run | {"sampling_session_seq_id": 3},
            "save_weights_external": on_run | {"path": "s"},
            "forward": on_run | {"forward_input": given},
            "forward_backward": on_run | {"forward_backward_input": given},
            "create_sampling_session": {
                "session_id": session,
                "sampling_session_seq_id": 7,
                "model_path": ids["path"],
            },
            "join_sampling_session": {"sampling_session_id": sampler},
            "asample": sample_body(sampler, 9),
            "retrieve_future": {"request_id": f"{run}:0", "allow_metadata_only": True},
            "retrieve_futures": {"target": poll, "prev_cursor": 0, "timeout": 0},
            "cancel_future": {"request_id": f"{sampler}:0"},
            "weights_info": {"tinker_path": ids["path"]},
        }

    async def foreign_rows(self) -> list[Any]:
        """Everything that belongs to the other team."""
        return [
            [row async for row in table.objects.order_by("pk").values() if self._is_foreign(row)]
            for table in TABLES
        ]

    def _is_foreign(self, row: dict[str, Any]) -> bool:
        return self.ids[1]["session"] in json.dumps(row, default=str)

    async def check(self, response: httpx.Response) -> None:
        """The answer is no accident, and the other team's rows are as they were."""
        assert response.status_code < 500, (response.request.url, response.text)
        assert "Traceback" not in response.text
        if response.status_code >= 400 and response.status_code != 408:
            assert isinstance(response.json()["detail"], str)
        assert await self.foreign_rows() == self.rows


async def _things(api: Api, hand: Hand) -> dict[str, str]:
    """A session with a run, a sampler with a sample, and a checkpoint."""
    session = await api.session()
    run, sampler = await api.run(session), await api.sampler(session)
    await api.call("asample", **sample_body(sampler, 0))
    for claimed in hand.claim():
        hand.answer(claimed, type="done", model_id=run)
    return {
        "session": session,
        "run": run,
        "sampler": sampler,
        "path": await save_checkpoint(run),
    }


@pytest_asyncio.fixture
async def world(api: Api, other_api: Api, hand: Hand) -> World:
    made = World(api, await _things(api, hand), await _things(other_api, hand))
    made.rows = await made.foreign_rows()
    assert all(made.rows[index] for index in (0, 1, 2, 3, 6))
    return made


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [at, *(place for key, item in inner for place in places(item, (*at, key)))]


def put(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else in a place."""
    if not place:
        return new
    result = copy.copy(value)
    result[place[0]] = put(value[place[0]], place[1:], new)
    return result


@many
@given(data=st.data())
async def test_mutated_json(world: World, data: st.DataObject) -> None:
    address = data.draw(st.sampled_from(sorted(world.bodies)))
    if address.startswith("sessions/"):  # each example has ids of its own
        address = f"sessions/{world.ids[0]['session']}/finish"
    body: Any = world.bodies[address]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(body)))
        body = put(body, place, data.draw(VALUES))
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    await world.check(await world.api.post(address, content=content, headers=headers))


@many
@given(data=st.data())
async def test_other_teams_ids(world: World, data: st.DataObject) -> None:
    own, foreign = world.ids
    address = data.draw(st.sampled_from(sorted(world.bodies)))
    before = json.dumps(world.bodies[address])
    names = data.draw(st.sets(st.sampled_from(sorted(own)), min_size=1))
    concerned = {name for name in names if own[name] in before + address}
    text = before
    for name in names:
        text = text.replace(own[name], foreign[name])
        address = address.replace(own[name], foreign[name])
    if "session" in concerned:  # the own session must live on
        text = text.replace("odd", "success")
    headers = {"Content-Type": "application/json"}
    response = await world.api.post(address, content=text.encode(), headers=headers)
    # what is loaded into a run is looked up in the operation's turn
    if concerned and (address, concerned) != ("load_weights", {"path"}):
        assert response.status_code == 404, (address, text, response.text)
    await world.check(response)


@many
@given(
    address=st.sampled_from(["forward_backward", "optim_step", "asample", "create_model"]),
    content=st.binary(max_size=100),
    kind=st.sampled_from([PROTOBUF, "application/json", "text/plain", "", "multipart/form-data"]),
    encoding=st.sampled_from(["", "zstd", "gzip", "br", "zstd, gzip", "\xff"]),
)
async def test_noise(world: World, address: str, content: bytes, kind: str, encoding: str) -> None:
    headers = [(b"content-type", kind.encode()), (b"content-encoding", encoding.encode("latin-1"))]
    await world.check(await world.api.post(address, content=content, headers=headers))


@many
@given(
    foreign=st.booleans(),
    seq=st.integers(-(2**31), 2**31 - 1),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
async def test_mutated_protobuf(
    world: World, foreign: bool, seq: int, changes: list[tuple[int, int]]
) -> None:
    chunk = wire_pb2.Chunk(encoded_text=wire_pb2.EncodedTextChunk(tokens=bytes(40)))
    body = wire_pb2.ForwardBackwardRequest(
        model_id=world.ids[foreign]["run"],
        seq_id=seq,
        data=[wire_pb2.Datum(model_input=[chunk])],
        loss_fn="cross_entropy",
    ).SerializeToString()
    mutated = bytearray(body)
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    headers = {"Content-Type": PROTOBUF}
    await world.check(
        await world.api.post("forward_backward", content=bytes(mutated), headers=headers)
    )


@many
@given(
    address=st.sampled_from(
        [
            pattern.pattern._route
            for pattern in urlpatterns
            if isinstance(pattern, URLPattern) and hasattr(pattern.pattern, "_route")
        ]
    ),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]),
    parts=st.lists(st.text(max_size=6) | st.just("foreign"), min_size=4, max_size=4),
    query=st.dictionaries(st.sampled_from(["limit", "offset", "day", "x"]), st.text(max_size=4)),
    body=st.binary(max_size=20) | VALUES.map(lambda value: json.dumps(value).encode()),
)
async def test_every_address(
    world: World, address: str, method: str, parts: list[str], query: dict[str, str], body: bytes
) -> None:
    pieces = [
        parts[index % 4] if piece.startswith("<") else piece
        for index, piece in enumerate(address.split("/"))
    ]
    names = {"foreign": world.ids[1]["run"]}
    path = "/".join(quote(names.get(piece, piece), safe="") for piece in pieces)
    response = await world.api.request(method, path, params=query, content=body)
    if response.status_code != 204 and response.headers.get("Content-Type") == "application/json":
        await world.check(response)
    assert response.status_code < 500, (method, path, response.text)
