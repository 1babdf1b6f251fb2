"""What holds on every route: the key, errors as whole JSON replies, the limit on bodies."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from django.core.exceptions import BadRequest as DjangoBadRequest
from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from psycopg_pool import PoolTimeout

from accounts.models import ApiKey
from accounts.services import create_api_key, create_team, revoke_api_key
from core import lane
from tests.platform.tinker_api.conftest import Api, create_model_body
from tests.support.hand import Hand
from tests.support.waiting import eventually_async
from tinker_api import urls
from tinker_api.endpoint import Call, endpoint, reply
from tinker_api.lane import WireLane
from tinsmith.wire import wire_pb2

ROUTES: list[Any] = urls.urlpatterns


def _address(route: Any) -> str:
    text = str(route.pattern).removeprefix("^")
    text = re.sub(r"<(str|path):\w+>", "x", text)
    return "nowhere" if text.startswith("(") else text


def _cases(*, open_to_all: bool) -> list[tuple[str, str]]:
    return [
        (method, _address(route))
        for route in ROUTES
        if route.callback.open_to_all is open_to_all
        for method in route.callback.methods
    ]


async def test_every_route_asks_for_a_key(api: Api) -> None:
    for method, address in _cases(open_to_all=False):
        for key in ("", "tml-" + "x" * 43, "é"):
            response = await api.request(method, address, headers=[(b"X-API-Key", key.encode())])
            assert response.status_code == 401, (method, address, key)
            assert set(response.json()) == {"detail"}
            assert int(response.headers["Content-Length"]) == len(response.content) > 0


def test_only_the_health_check_and_signed_downloads_are_open() -> None:
    assert _cases(open_to_all=True) == [("GET", "healthz"), ("GET", "downloads/x/x")]


async def test_a_revoked_key_is_refused(api: Api, api_key: str) -> None:
    assert (await api.get("get_server_capabilities")).status_code == 200
    key = await ApiKey.objects.aget(last_four=api_key[-4:])
    await asyncio.to_thread(revoke_api_key, key=key)

    async def status() -> int:
        return (await api.get("get_server_capabilities")).status_code

    await eventually_async(status, equals=401, every_s=0.1)


async def test_a_key_may_do_only_what_its_scopes_say(api: Api) -> None:
    def make() -> str:
        return create_api_key(team=create_team(name="Samplers"), name="s", scopes=["sample"]).text

    api.headers["X-API-Key"] = await asyncio.to_thread(make)
    session = await api.session()
    response = await api.call("create_model", **create_model_body(session))
    assert response.status_code == 403
    assert (await api.call("get_info", model_id=f"{session}:train:0")).status_code == 404
    assert (await api.sampler(session)).startswith(session)


async def test_nonsense_is_refused_in_words(api: Api) -> None:
    for method, address in _cases(open_to_all=False):
        for body in (b"", b"[]", b"{", b"\xff\x00", b'{"a": 1}', b'{"model_id": 5, "seq_id": "x"}'):
            response = await api.request(method, address, content=body)
            assert response.status_code < 500, (method, address, body)
            if response.status_code >= 400:
                assert set(response.json()) == {"detail"}
            assert int(response.headers["Content-Length"]) == len(response.content)


async def test_a_wrong_method_names_the_right_one(api: Api) -> None:
    response = await api.get("create_session")
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert response.json() == {"detail": "GET is not allowed here; allowed: POST"}


async def test_unknown_addresses(api: Api) -> None:
    response = await api.call("no/such/thing")
    assert response.status_code == 404
    assert response.json() == {"detail": "there is no /api/v1/no/such/thing"}


@pytest.mark.parametrize("address", ["training_runs", "checkpoints", "sessions"])
async def test_too_many_parameters_are_refused_in_words(api: Api, address: str) -> None:
    response = await api.get(address + "?" + "&".join(f"a{n}=1" for n in range(1001)))
    assert response.status_code == 400
    assert response.json() == {"detail": "the request has too many parameters: 1000 are taken"}


@pytest.mark.parametrize(
    "error", [SuspiciousOperation("odd"), DisallowedHost("odd"), DjangoBadRequest("odd")]
)
async def test_what_django_refuses_is_no_mistake_of_ours(error: Exception) -> None:
    async def suspects(call: Call) -> HttpResponse:
        raise error

    request = HttpRequest()
    request.method = "GET"
    response = await endpoint(open_to_all=True, get=suspects)(request)
    assert (response.status_code, b"odd" in response.content) == (400, True)


async def test_nul_in_an_address_is_not_found(api: Api) -> None:
    assert (await api.get("samplers/a%00b")).status_code == 404


async def _boom(call: Call) -> HttpResponse:
    raise RuntimeError("secret of the house")


async def test_an_unexpected_error_is_logged_and_hidden(caplog: Any) -> None:
    request = HttpRequest()
    request.method = "GET"
    response = await endpoint(open_to_all=True, get=_boom)(request)
    assert (response.status_code, response.content) == (500, b'{"detail":"internal error"}')
    assert "secret of the house" in caplog.text


async def test_a_lost_database_asks_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(call: Call) -> HttpResponse:
        raise PoolTimeout("no connection")

    request = HttpRequest()
    request.method = "GET"
    response = await endpoint(open_to_all=True, get=lost)(request)
    assert response.status_code == 503
    assert response.headers["Retry-After"]


def test_replies_say_their_length() -> None:
    assert reply({"é": 1}).headers["Content-Length"] == str(len('{"é":1}'.encode()))


async def test_a_client_that_hangs_up_is_not_waited_for() -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def patient(call: Call) -> HttpResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return reply({})

    async def answer() -> None:
        request = HttpRequest()
        request.method = "GET"
        await endpoint(open_to_all=True, get=patient)(request)

    async def receive() -> dict[str, Any]:
        await started.wait()
        return {"type": "http.disconnect"}

    await lane._until_hung_up(answer(), receive)
    assert cancelled.is_set()


class TestBodyLimit:
    """The lane with a small limit."""

    @pytest.fixture
    def small(self, api: Api) -> httpx.AsyncClient:
        """A client of a server that takes 1,000 bytes."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(app=WireLane(max_body_bytes=1000)),
            base_url=api.base_url,
            headers={"X-API-Key": api.headers["X-API-Key"]},
        )

    async def test_up_to_the_limit(self, small: httpx.AsyncClient) -> None:
        assert (await small.post("telemetry", content=b"x" * 1000)).status_code == 200

    async def test_a_declared_length_is_refused_unread(self, api: Api) -> None:
        read: list[str] = []
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if len(read) == 3:
                await asyncio.Event().wait()
            read.append("chunk")
            return {"type": "http.request", "body": b"x" * 10, "more_body": len(read) < 3}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [
            (b"content-length", b"1001"),
            (b"x-api-key", api.headers["X-API-Key"].encode()),
        ]
        scope = {"type": "http", "method": "POST", "path": "/api/v1/telemetry", "headers": headers}
        await WireLane(max_body_bytes=1000)(scope | {"query_string": b""}, receive, send)
        assert sent[0]["status"] == 413
        assert b"this server takes 1000" in sent[1]["body"]

    async def test_a_length_that_was_not_declared(self, small: httpx.AsyncClient) -> None:
        async def chunks() -> Any:
            for _ in range(11):
                yield b"x" * 100

        response = await small.post("telemetry", content=chunks())
        assert response.status_code == 413
        assert "Content-Length" in response.headers

    async def test_the_key_is_asked_for_first(self, small: httpx.AsyncClient) -> None:
        response = await small.post("telemetry", content=b"x" * 1001, headers={"X-API-Key": ""})
        assert response.status_code == 401

    async def test_a_batch_that_is_too_large_does_not_hold_its_run_up(
        self, api: Api, small: httpx.AsyncClient, hand: Hand
    ) -> None:
        session = await api.session()
        run = await api.run(session)
        batch = wire_pb2.ForwardBackwardRequest(
            model_id=run,
            seq_id=1,
            data=[
                wire_pb2.Datum(
                    model_input=[
                        wire_pb2.Chunk(encoded_text=wire_pb2.EncodedTextChunk(tokens=b"x" * 2000))
                    ]
                )
            ],
        ).SerializeToString()
        headers = {"Content-Type": "application/x-protobuf"}
        response = await small.post("forward_backward", content=batch, headers=headers)
        assert response.status_code == 413
        await api.call("optim_step", model_id=run, seq_id=2)
        assert [(item.seq, item.kind) for item in hand.claim()] == [
            (0, "create_run"),
            (1, "refused"),
            (2, "optim_step"),
        ]
