"""Streams: what is shown when, whatever is lost on the way, and clients that hang up."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from openai_api import asking
from operations import partial
from operations.models import Operation, Payload
from tests.platform.openai_api.conftest import (
    BASE_MODEL,
    END,
    Worker,
    answer,
    events,
    progress,
    tokens_of,
)
from tests.support.hand import Hand
from tests.support.waiting import eventually_async

TEXT = "Grüße 😀 and more"
TOKENS = tokens_of(TEXT)


def request(**body: Any) -> dict[str, Any]:
    """A streamed chat."""
    return {
        "model": BASE_MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    } | body


def deltas(found: list[dict[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    """The choices of one answer."""
    return [item for event in found for item in event["choices"] if item["index"] == index]


def text_of(found: list[dict[str, Any]], index: int = 0) -> str:
    """What a stream says."""
    return "".join(item["delta"].get("content", "") for item in deltas(found, index))


async def test_tokens_are_shown_as_they_come(api: httpx.AsyncClient, worker: Worker) -> None:
    half = len(TOKENS) // 2
    worker.announcements = [
        [progress(0, 0, TOKENS[:half])],
        [progress(0, half, TOKENS[half:])],
    ]
    worker.reply = lambda body: answer([*TOKENS, END])
    found = events(await api.post("chat/completions", json=request()))
    assert worker.bodies[0]["report_tokens"] is True
    said = deltas(found)
    assert said[0]["delta"] == {"role": "assistant", "content": ""}
    assert said[-1] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert [item["finish_reason"] for item in said[:-1]] == [None] * (len(said) - 1)
    assert len(said) >= 4
    assert text_of(found) == TEXT
    assert {event["object"] for event in found} == {"chat.completion.chunk"}
    assert len({(event["id"], event["created"], event["model"]) for event in found}) == 1
    assert "usage" not in found[0]


@pytest.mark.parametrize(
    "announcements",
    [
        [],
        [[progress(0, 0, TOKENS[:3])], [progress(0, 5, TOKENS[5:])]],
        [[progress(0, 2, TOKENS[2:])]],
        [[progress(0, 0, TOKENS[:6])], [progress(0, 0, TOKENS[:4])], [progress(0, 4, TOKENS[4:])]],
    ],
    ids=["none came", "some were lost", "the first were lost", "another worker began again"],
)
async def test_what_is_lost_comes_at_the_end(
    api: httpx.AsyncClient, worker: Worker, announcements: Any
) -> None:
    worker.announcements = announcements
    worker.reply = lambda body: answer([*TOKENS, END])
    found = events(await api.post("chat/completions", json=request(logprobs=True)))
    assert text_of(found) == TEXT
    entries = [
        entry for item in deltas(found) if item["logprobs"] for entry in item["logprobs"]["content"]
    ]
    assert [entry["logprob"] for entry in entries] == [-float(n) for n in range(len(TOKENS))]
    assert b"".join(bytes(entry["bytes"]) for entry in entries) == TEXT.encode()


async def test_answers_side_by_side_and_usage(api: httpx.AsyncClient, worker: Worker) -> None:
    other = tokens_of("Else")
    worker.announcements = [[progress(1, 0, other[:1]), progress(0, 0, TOKENS[:2])]]
    worker.reply = lambda body: answer([*TOKENS, END], other, stopped=False)
    body = request(n=2, stream_options={"include_usage": True})
    found = events(await api.post("chat/completions", json=body))
    assert (text_of(found, 0), text_of(found, 1)) == (TEXT, "Else")
    assert found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] == len(TOKENS) + 1 + len(other)
    assert all(event["usage"] is None for event in found[:-1])


async def test_several_prompts(api: httpx.AsyncClient, worker: Worker) -> None:
    worker.reply = lambda body: answer(body["prompt"]["chunks"][0]["tokens"], stopped=False)
    response = await api.post(
        "completions",
        json={"model": BASE_MODEL, "prompt": ["ab", "cde"], "stream": True, "logprobs": 0},
    )
    found = events(response)
    texts = {item["index"]: item["text"] for event in found for item in event["choices"]}
    assert texts == {0: "ab", 1: "cde"}
    assert {event["object"] for event in found} == {"text_completion"}


async def test_a_stop_string_is_never_shown(api: httpx.AsyncClient, worker: Worker) -> None:
    tokens = tokens_of("one STOP")
    worker.announcements = [[progress(0, n, tokens[n : n + 1])] for n in range(len(tokens))]
    worker.reply = lambda body: answer(tokens)
    found = events(await api.post("chat/completions", json=request(stop="STOP")))
    assert text_of(found) == "one "
    assert deltas(found)[-1]["finish_reason"] == "stop"


async def test_a_failure_before_the_first_token_is_an_ordinary_one(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    worker.failure = {"error": "token out of range", "category": "user"}
    response = await api.post("chat/completions", json=request())
    assert response.status_code == 400
    assert response.json()["error"]["message"] == "token out of range"


async def test_a_later_failure_ends_the_stream(api: httpx.AsyncClient, worker: Worker) -> None:
    worker.announcements = [[progress(0, 0, TOKENS[:2])]]
    worker.failure = {"error": "broken", "category": "server"}
    response = await api.post("chat/completions", json=request())
    assert response.status_code == 200
    last = response.text.strip().split("\n\n")[-1]
    assert json.loads(last.removeprefix("data: "))["error"] == {
        "message": "broken",
        "type": "server_error",
        "param": None,
        "code": None,
    }


async def test_an_answer_that_contradicts_what_was_shown(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    worker.announcements = [[progress(0, 0, TOKENS[:4])]]
    worker.reply = lambda body: answer(tokens_of("Something else"))
    response = await api.post("chat/completions", json=request())
    assert "a worker was lost" in response.text
    assert "[DONE]" not in response.text


async def test_a_silent_stream_stays_alive(
    api: httpx.AsyncClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "SILENCE_S", 0.05)
    worker.announcements = [[]] * 6
    worker.reply = lambda body: answer([*TOKENS, END])
    response = await api.post("chat/completions", json=request())
    assert ": waiting" in response.text
    assert text_of(events(response)) == TEXT


async def test_a_pool_without_a_worker(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "SILENCE_S", 0.05)
    monkeypatch.setattr(asking, "WITHOUT_WORKER_S", 0.2)
    response = await api.post("chat/completions", json=request(stream=False))
    assert response.status_code == 503
    assert "no worker" in response.json()["error"]["message"]
    assert response.headers["Retry-After"]
    operation = await Operation.objects.aget()
    assert (operation.state, operation.error) == ("failed", "the request was cancelled")


async def test_what_takes_too_long(
    api: httpx.AsyncClient, hand: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "SILENCE_S", 0.05)
    monkeypatch.setattr(asking, "AT_MOST_S", 0.2)
    response = await api.post("chat/completions", json=request(stream=False))
    assert response.status_code == 503
    assert (await Operation.objects.aget()).state == "failed"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_a_client_that_hangs_up(
    application: Any, api_key: str, hand: Hand, stream: bool, begun: bool
) -> None:
    """Nobody waits for the sample any more, so it is given up, whether it was begun or not.

    Without `begun` it hangs up as soon as there is a sample, often before its submit has returned.
    """
    gone = asyncio.Event()
    body = json.dumps(request(stream=stream)).encode()
    sent: list[dict[str, Any]] = []
    chunks = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if chunks:
            return chunks.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {api_key}".encode())],
    }
    hand.connection.execute("LISTEN tinsmith_cancel")
    serving = asyncio.create_task(application(scope, receive, send))
    await eventually_async(Operation.objects.aexists)
    if begun:
        (operation,) = hand.claim()
        if stream:
            request_id = f"{operation.target}:{operation.seq}"
            texts = partial.payloads(request_id, [progress(0, 0, TOKENS[:3])])
            partial.announce(hand.connection, texts)
            await eventually_async(lambda: any(message.get("body") for message in sent))
    gone.set()
    await asyncio.wait_for(serving, 10)
    found = await Operation.objects.aget()
    assert (found.state, found.error_category) == ("failed", "user")
    assert not await Payload.objects.aexists()
    (notice,) = hand.connection.notifies(timeout=5, stop_after=1)
    assert notice.payload == f"{found.target}:{found.seq}"
