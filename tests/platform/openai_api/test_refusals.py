"""Whatever cannot be done is refused in OpenAI's shape, by name, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from accounts.models import Role, Scope, Team
from accounts.services import create_api_key
from catalog.models import BaseModel
from openai_api.lane import OpenaiLane
from operations import finish
from operations.models import Operation
from runs.models import Sampler, Session
from tests.platform.openai_api.conftest import BASE_MODEL, Worker, client_of
from tests.support.waiting import eventually_async

HI = [{"role": "user", "content": "Hi"}]


async def refusal(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a refused request, after which there is nothing new."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert not await Operation.objects.aexists()
    assert not await Sampler.objects.aexists()
    return error


@pytest.mark.parametrize("key", ["", "tml-nonsense", "sk-" + "x" * 40])
async def test_without_a_good_key(application: Any, base_model: BaseModel, key: str) -> None:
    async with client_of(application, key) as client:
        for response in (
            await client.get("models"),
            await client.get("no/such/place"),
            await client.post("chat/completions", json={"model": BASE_MODEL, "messages": HI}),
        ):
            error = await refusal(response, 401)
            assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


async def test_the_key_may_stand_in_either_header(application: Any, api_key: str) -> None:
    async with client_of(application, "") as client:
        for headers in (
            {"X-API-Key": api_key},
            {"Authorization": f"bearer {api_key}"},
            {"Authorization": "Basic abc", "X-API-Key": api_key},
        ):
            assert (await client.get("models", headers=headers)).status_code == 200


async def test_a_key_that_may_not_sample(application: Any, team: Team) -> None:
    key = await _make_key(team)
    async with client_of(application, key) as client:
        response = await client.post("completions", json={"model": BASE_MODEL, "prompt": "a"})
        error = await refusal(response, 403)
        assert error["type"] == "permission_error"
        assert "sample" in error["message"]
        assert (await client.get("models")).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
async def test_a_viewer(application: Any, team: Team, stream: bool) -> None:
    made = await sync_to_async(create_api_key)(team=team, name="v", role=Role.VIEWER)
    async with client_of(application, made.text) as client:
        for route, asked in (
            ("completions", {"prompt": "a"}),
            ("chat/completions", {"messages": HI}),
        ):
            response = await client.post(
                route, json={"model": BASE_MODEL, "stream": stream, **asked}
            )
            error = await refusal(response, 403)
            assert error["type"] == "permission_error"
            assert "takes the role member, or a higher one, to sample" in error["message"]
        assert not await Session.objects.aexists()
        assert (await client.get("models")).status_code == 200


async def _make_key(team: Team) -> str:
    made = await sync_to_async(create_api_key)(team=team, name="train", scopes=[Scope.TRAIN])
    return made.text


@pytest.mark.parametrize(
    "model",
    [
        "no/such",
        "tinker://x:train:0/sampler_weights/s",
        "a\0b",
        "tinker://a\0b/sampler_weights/x",
        "tinker://a/sampler_weights/x\0",
        "tinker://a/sampler_weights\0/x",
    ],
)
@pytest.mark.parametrize("route", ["completions", "chat/completions"])
async def test_an_unknown_model(api: httpx.AsyncClient, model: str, route: str) -> None:
    rest = {"prompt": "a"} if route == "completions" else {"messages": HI}
    response = await api.post(route, json={"model": model, **rest})
    error = await refusal(response, 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    if not model.startswith("tinker://"):
        assert BASE_MODEL in error["message"]


async def test_other_teams_checkpoints_are_not_found(
    other_api: httpx.AsyncClient, checkpoint: str
) -> None:
    sessions = await Session.objects.acount()
    for response in (
        await other_api.get(f"models/{checkpoint}"),
        await other_api.post("completions", json={"model": checkpoint, "prompt": "a"}),
        await other_api.post("chat/completions", json={"model": checkpoint, "messages": HI}),
    ):
        error = await refusal(response, 404)
        assert error["code"] == "model_not_found"
    assert await Session.objects.acount() == sessions


async def test_a_model_that_is_not_for_sampling(
    api: httpx.AsyncClient, base_model: BaseModel
) -> None:
    await BaseModel.objects.aupdate(sampleable=False)
    await refusal(await api.get(f"models/{BASE_MODEL}"), 404)


CHAT: list[tuple[dict[str, Any], str | None, str]] = [
    ({"model": 5}, "model", "text"),
    ({"messages": []}, "messages", "length >= 1"),
    ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role", "developer"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "no content"),
    (
        {"messages": [*HI, {"role": "user", "content": [{"type": "image_url", "x": 1}]}]},
        "messages[1].content",
        "image_url",
    ),
    ({"messages": [{"role": "user", "content": "a", "x": 1}]}, "messages[0].x", "tool_calls"),
    ({"nonsense": 1}, "nonsense", "max_completion_tokens"),
    ({"temperature": -0.1}, "temperature", ">= 0"),
    ({"temperature": "hot"}, "temperature", "text"),
    ({"top_p": 0}, "top_p", "> 0"),
    ({"n": 0}, "n", ">= 1"),
    ({"n": 129}, "n", "<= 128"),
    ({"max_tokens": 0}, "max_tokens", ">= 1"),
    ({"max_completion_tokens": 128}, "messages", "context holds 128"),
    ({"stop": ["a"] * 17}, "stop", "at most 16"),
    ({"stop": ""}, "stop", "1 to 1024"),
    ({"seed": 2**63}, "seed", "<="),
    ({"top_logprobs": 2}, "top_logprobs", "logprobs: true"),
    ({"frequency_penalty": 0.5}, "frequency_penalty", "leave it out or use 0"),
    ({"presence_penalty": -1}, "presence_penalty", "use 0"),
    ({"logit_bias": {"5": 1}}, "logit_bias", "use {}"),
    ({"response_format": {"type": "json_object"}}, "response_format", '"text"'),
    ({"tool_choice": "required"}, "tool_choice", '"auto" or "none"'),
    ({"store": True}, "store", "false"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "include_usage"),
    ({"stream": "yes"}, "stream", "true or false"),
]


@pytest.mark.parametrize(("changes", "param", "says"), CHAT)
async def test_a_chat_that_cannot_be(
    api: httpx.AsyncClient, changes: dict[str, Any], param: str | None, says: str
) -> None:
    body = {"model": BASE_MODEL, "messages": HI} | changes
    error = await refusal(await api.post("chat/completions", json=body), 400)
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert says in error["message"]


COMPLETIONS: list[tuple[dict[str, Any], str | None, str]] = [
    ({"prompt": ""}, "prompt", "empty"),
    ({"prompt": []}, "prompt", "list of"),
    ({"prompt": [[]]}, "prompt", "empty"),
    ({"prompt": [1, "a"]}, "prompt", "list of"),
    ({"prompt": [True]}, "prompt", "list of"),
    ({"prompt": [-1]}, "prompt", "list of"),
    ({"prompt": None}, "prompt", "list of"),
    ({"prompt": {"a": 1}}, "prompt", "list of"),
    ({"prompt": ["a"] * 257}, "prompt", "256"),
    ({"prompt": [5] * 120}, "prompt", "context holds 128"),
    ({"echo": True}, "echo", "use false"),
    ({"suffix": "x"}, "suffix", 'use ""'),
    ({"best_of": 2}, "best_of", "must equal n"),
    ({"logprobs": True}, "logprobs", "true or false"),
]


@pytest.mark.parametrize(("changes", "param", "says"), COMPLETIONS)
async def test_a_completion_that_cannot_be(
    api: httpx.AsyncClient, changes: dict[str, Any], param: str | None, says: str
) -> None:
    body = {"model": BASE_MODEL, "prompt": "Hi"} | changes
    error = await refusal(await api.post("completions", json=body), 400)
    assert error["param"] == param
    assert says in error["message"]


async def test_a_missing_parameter(api: httpx.AsyncClient) -> None:
    response = await api.post("completions", json={"model": BASE_MODEL})
    assert (await refusal(response, 400))["param"] == "prompt"


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"", b'"a"', b"[" * 10_000])
async def test_what_is_no_json_object(api: httpx.AsyncClient, body: bytes) -> None:
    await refusal(await api.post("chat/completions", content=body), 400)


async def test_addresses_and_methods(api: httpx.AsyncClient) -> None:
    for response in (await api.post("embeddings", json={}), await api.get("no/such")):
        assert "/v1/" in (await refusal(response, 404))["message"]
    response = await api.get("chat/completions")
    await refusal(response, 405)
    assert response.headers["Allow"] == "POST"


async def test_a_body_that_is_too_large(base_model: BaseModel, api_key: str) -> None:
    async with client_of(OpenaiLane(max_body_bytes=1000), api_key) as client:
        response = await client.post("chat/completions", content=b"x" * 1001)
        await refusal(response, 413)


async def test_a_model_without_a_tokenizer(
    api: httpx.AsyncClient, base_model: BaseModel, tmp_path: Any
) -> None:
    await BaseModel.objects.aupdate(tokenizer_id=str(tmp_path))
    response = await api.post("completions", json={"model": BASE_MODEL, "prompt": "a"})
    assert "tokenizer.json" in (await refusal(response, 400))["message"]


async def test_what_the_sampler_does_not_offer(api: httpx.AsyncClient, worker: Worker) -> None:
    """The likeliest tokens are refused under the names that this API gives them."""
    worker.failure = {"error": "not offered: topk_sample_logprobs", "category": "user"}
    body = {"model": BASE_MODEL, "messages": HI, "logprobs": True, "top_logprobs": 3}
    error = (await api.post("chat/completions", json=body)).json()["error"]
    assert error["param"] == "top_logprobs"
    body = {"model": BASE_MODEL, "prompt": "a", "logprobs": 3}
    error = (await api.post("completions", json=body)).json()["error"]
    assert (error["param"], error["code"]) == ("logprobs", "unsupported_parameter")


@pytest.mark.parametrize(("category", "status"), [("user", 400), ("server", 500)])
async def test_failures_of_samples(
    api: httpx.AsyncClient, worker: Worker, category: str, status: int
) -> None:
    worker.failure = {"error": "it went wrong", "category": category}
    response = await api.post("completions", json={"model": BASE_MODEL, "prompt": "a"})
    assert response.status_code == status
    assert response.json()["error"]["message"] == "it went wrong"


async def test_one_bad_prompt_gives_the_others_up(api: httpx.AsyncClient, worker: Worker) -> None:
    worker.reply = lambda body: None
    asked = api.post("completions", json={"model": BASE_MODEL, "prompt": ["a", "b"]})
    asking = asyncio.create_task(asked)
    await eventually_async(lambda: len(worker.bodies) == 2)
    first = await Operation.objects.order_by("id").afirst()
    assert first is not None
    request_id = f"{first.target}:{first.seq}"
    outcome = finish.Outcome(first.id, request_id, error="bad prompt", category="user")
    finish.record(
        worker.hand.connection, worker_id=worker.hand.worker_id, outcomes=[outcome], applied={}
    )
    finish.announce(worker.hand.connection, [request_id])
    response = await asking
    assert response.status_code == 400
    errors = [item.error async for item in Operation.objects.order_by("id")]
    assert errors == ["bad prompt", "the request was cancelled"]
