"""Whole answers: what is asked of the sampler, and how its answer is told."""

from __future__ import annotations

import struct
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async

from catalog.models import BaseModel
from gpu_workers import nano
from openai_api import doors
from openai_api.answers import Choice, TextShape
from openai_api.detokenizer import Detokenizer, Piece, ShownToken
from openai_api.vocabulary import Vocabulary
from operations import finish
from operations.models import Lane, Operation
from runs import lifecycle
from runs.models import Sampler, Session
from tests.platform.openai_api.conftest import (
    BASE_MODEL,
    END,
    Worker,
    answer,
    events,
    packed,
    progress,
    tokens_of,
)
from tests.support.hand import Hand
from tests.support.sessions import end_sessions
from tinsmith.wire import wire_pb2

HELLO = [{"role": "user", "content": "Hello"}]
KIND = {"type": "text", "text": "kind"}


async def chat(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A chat completion that succeeds."""
    asked = {"model": BASE_MODEL, "messages": HELLO} | body
    response = await api.post("chat/completions", json=asked)
    assert response.status_code == 200, response.text
    return response.json()


async def complete(api: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """A completion that succeeds."""
    response = await api.post("completions", json={"model": BASE_MODEL, "prompt": "Hi"} | body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_chat(api: httpx.AsyncClient, worker: Worker) -> None:
    reply = await chat(api)
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    assert reply["model"] == BASE_MODEL
    assert reply["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello you", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    prompt = tokens_of("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    sampled = len(tokens_of("Hello you")) + 1
    assert reply["usage"]["prompt_tokens"] == len(prompt)
    assert reply["usage"]["completion_tokens"] == sampled
    assert reply["usage"]["total_tokens"] == len(prompt) + sampled
    (body,) = worker.bodies
    assert body["prompt"] == {"chunks": [{"type": "encoded_text", "tokens": prompt}]}
    params = body["sampling_params"]
    assert (params["temperature"], params["top_p"], params["top_k"]) == (1.0, 1.0, -1)
    assert "max_tokens" not in params
    assert "stop" not in params
    assert isinstance(params["seed"], int)
    assert body["report_tokens"] is False


async def test_what_is_asked_for_is_asked(api: httpx.AsyncClient, worker: Worker) -> None:
    await chat(
        api,
        temperature=0,
        top_p=0.5,
        top_k=3,
        seed=-7,
        n=2,
        max_completion_tokens=9,
        stop=["a", "b c"],
        user="me",
        frequency_penalty=0,
        response_format={"type": "text"},
        metadata={"a": "b"},
        stream=False,
    )
    (body,) = worker.bodies
    assert body["num_samples"] == 2
    assert body["sampling_params"] == {
        "max_tokens": 9,
        "seed": -7,
        "temperature": 0.0,
        "top_k": 3,
        "top_p": 0.5,
        "stop": [439, 441, "a", "b c"],
    }


async def test_messages_of_every_kind(api: httpx.AsyncClient, worker: Worker) -> None:
    await chat(
        api,
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be "}, KIND]},
            {"role": "user", "content": "u\u0000"},
            {"role": "assistant", "content": None, "refusal": None, "annotations": []},
            {"role": "tool", "content": "4", "tool_call_id": "1"},
        ],
    )
    prompt = worker.bodies[0]["prompt"]["chunks"][0]["tokens"]
    assert prompt == tokens_of(
        "<|im_start|>system\nBe kind<|im_end|>\n<|im_start|>user\nu\u0000<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\n4<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


async def test_the_template_gets_options(api: httpx.AsyncClient, worker: Worker) -> None:
    await chat(api, chat_template_kwargs={"enable_thinking": False})
    prompt = worker.bodies[0]["prompt"]["chunks"][0]["tokens"]
    assert prompt[-len(tokens_of("</think>\n\n")) :] == tokens_of("</think>\n\n")


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("Hi", [tokens_of("Hi")]),
        (["Hi", "you"], [tokens_of("Hi"), tokens_of("you")]),
        ([5, 6], [[5, 6]]),
        ([[5], [6, 7]], [[5], [6, 7]]),
    ],
)
async def test_prompts_in_four_ways(
    api: httpx.AsyncClient, worker: Worker, prompt: Any, asked: list[list[int]]
) -> None:
    def letter(tokens: list[int]) -> list[int]:
        return tokens_of(chr(ord("a") + tokens[0] % 26))

    worker.reply = lambda body: answer(
        *[[*letter(body["prompt"]["chunks"][0]["tokens"]), END]] * body["num_samples"]
    )
    reply = await complete(api, prompt=prompt, n=2, max_tokens=5)
    assert sorted(body["prompt"]["chunks"][0]["tokens"] for body in worker.bodies) == sorted(asked)
    assert {body["sampling_params"]["max_tokens"] for body in worker.bodies} == {5}
    choices = reply["choices"]
    assert [choice["index"] for choice in choices] == list(range(2 * len(asked)))
    letters = [chr(ord("a") + tokens[0] % 26) for tokens in asked for _ in range(2)]
    assert [choice["text"] for choice in choices] == letters
    assert reply["usage"]["prompt_tokens"] == sum(map(len, asked))
    assert reply["usage"]["completion_tokens"] == 2 * len(choices)


async def test_completions_are_short_unless_told(api: httpx.AsyncClient, worker: Worker) -> None:
    worker.reply = lambda body: answer(tokens_of("abc"), stopped=False, cached=2)
    reply = await complete(api)
    assert worker.bodies[0]["sampling_params"]["max_tokens"] == 16
    assert reply["object"] == "text_completion"
    assert reply["choices"] == [
        {"index": 0, "text": "abc", "logprobs": None, "finish_reason": "length"}
    ]
    assert reply["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


async def test_a_stop_string_is_not_told(api: httpx.AsyncClient, worker: Worker) -> None:
    tokens = tokens_of("one two. Three")
    worker.reply = lambda body: answer(tokens)
    reply = await complete(api, stop=". T", logprobs=0)
    choice = reply["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("one two", "stop")
    assert "".join(choice["logprobs"]["tokens"]) == "one two"
    assert reply["usage"]["completion_tokens"] == len(tokens)


async def test_logprobs_of_a_chat(api: httpx.AsyncClient, worker: Worker) -> None:
    text = "Hé 😀"
    worker.reply = lambda body: answer([*tokens_of(text), END])
    reply = await chat(api, logprobs=True)
    content = reply["choices"][0]["logprobs"]["content"]
    assert b"".join(bytes(item["bytes"]) for item in content) == text.encode()
    assert [item["logprob"] for item in content] == [-float(n) for n in range(len(content))]
    assert len(content) == len(tokens_of(text))  # the token that ended the answer is no text
    assert all(item["top_logprobs"] == [] for item in content)


async def test_logprobs_of_a_completion(api: httpx.AsyncClient, worker: Worker) -> None:
    worker.reply = lambda body: answer(tokens_of("ab cd"), stopped=False)
    reply = await complete(api, logprobs=0)
    found = reply["choices"][0]["logprobs"]
    assert "".join(found["tokens"]) == "ab cd"
    assert found["text_offset"][0] == 0
    assert found["top_logprobs"] is None
    assert [found["text_offset"][n + 1] for n in range(len(found["tokens"]) - 1)] == [
        sum(len(token) for token in found["tokens"][: n + 1])
        for n in range(len(found["tokens"]) - 1)
    ]


async def test_the_likeliest_tokens_if_the_sampler_gives_them(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    first, second = tokens_of("ab")

    def reply(body: dict[str, Any]) -> bytes:
        assert body["topk_sample_logprobs"] == 2
        sequence = packed([first, second], stopped=False)
        sequence.topk_sampled_logprobs.CopyFrom(
            wire_pb2.TopkLogprobs(
                token_ids=struct.pack("<4i", first, second, second, first),
                logprobs=struct.pack("<4f", -0.5, -1, -0.25, -2),
                k=2,
                length=2,
            )
        )
        return wire_pb2.SampleResponse(sequences=[sequence]).SerializeToString()

    worker.reply = reply
    for found in (
        await chat(api, logprobs=True, top_logprobs=2),
        await complete(api, logprobs=2),
    ):
        logprobs = found["choices"][0]["logprobs"]
        if "content" in logprobs:
            top = [
                {item["token"]: item["logprob"] for item in token["top_logprobs"]}
                for token in logprobs["content"]
            ]
        else:
            top = logprobs["top_logprobs"]
        assert top == [{"a": -0.5, "b": -1.0}, {"b": -0.25, "a": -2.0}]


def with_top(tokens: list[int], rows: list[list[tuple[int, float]]]) -> bytes:
    """A SampleResponse with the likeliest tokens; short rows are filled up as the wire does."""
    k = max(map(len, rows))
    sequence = packed(tokens, stopped=False)
    flat = [pair for row in rows for pair in [*row, *[(0, -99999.0)] * (k - len(row))]]
    sequence.topk_sampled_logprobs.CopyFrom(
        wire_pb2.TopkLogprobs(
            token_ids=struct.pack(f"<{len(flat)}i", *(token for token, _ in flat)),
            logprobs=struct.pack(f"<{len(flat)}f", *(logprob for _, logprob in flat)),
            k=k,
            length=len(rows),
        )
    )
    return wire_pb2.SampleResponse(sequences=[sequence]).SerializeToString()


async def test_likeliest_tokens_are_those_there_are(api: httpx.AsyncClient, worker: Worker) -> None:
    """Filters may leave fewer than were asked for, and token 0 may be one of them."""
    letter, nul = tokens_of("a\0")
    rows = [[(letter, 0.0)], [(letter, -0.5), (nul, -1.0), (letter + 1, -200_000.0)]]
    worker.reply = lambda body: with_top([letter, nul], rows)
    told = (await chat(api, logprobs=True, top_logprobs=3))["choices"][0]["logprobs"]["content"]
    assert [[item["logprob"] for item in token["top_logprobs"]] for token in told] == [
        [0.0],
        [-0.5, -1.0, -200_000.0],
    ]
    told = (await complete(api, logprobs=3))["choices"][0]["logprobs"]["top_logprobs"]
    assert told == [{"a": 0.0}, {"a": -0.5, "\0": -1.0, "b": -200_000.0}]


async def test_likeliest_tokens_of_equal_text_stay_apart(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    first, one = tokens_of("é")
    _, other = tokens_of("ü")
    end = tokens_of("<|im_end|>")[0]
    letter = tokens_of("a")[0]
    rows = [
        [(first, -0.5), (one, -1.0), (other, -1.5)],
        # the sampled token is none of the likeliest
        [(letter, -0.25), (end, -0.75)],
    ]
    worker.reply = lambda body: with_top([first, one], rows)
    told = (await complete(api, logprobs=3))["choices"][0]["logprobs"]
    assert told["tokens"] == ["bytes:\\xc3", "bytes:\\xa9"]
    assert told["top_logprobs"] == [
        {"bytes:\\xc3": -0.5, "bytes:\\xa9": -1.0, "bytes:\\xbc": -1.5},
        {"a": -0.25, "<|im_end|>": -0.75, "bytes:\\xa9": -1.0},
    ]
    content = (await chat(api, logprobs=True, top_logprobs=3))["choices"][0]["logprobs"]["content"]
    assert [item["bytes"] for item in content[0]["top_logprobs"]] == [[0xC3], [0xA9], [0xBC]]
    assert [item["token"] for item in content] == ["\\xc3", "\\xa9"]


def test_tokens_of_one_name_are_told_by_number() -> None:
    """As in vocabularies that hold a text twice; the sampled one keeps its name and logprob."""

    class Twice(Vocabulary):
        def bytes_of(self, token: int) -> bytes:
            return b"same" if token in (7, 8, 9) else b"else"

    shape = TextShape(Twice(nano.folder("nano-qwen3")), logprobs=True)
    choice = Choice(0, Detokenizer(shape.vocabulary, []), [-3.0], [[(7, -1.0), (9, -2.0), (5, -4)]])
    piece = Piece("same", [ShownToken(0, 8, 0)])
    told = shape.whole(choice, piece, "length")["logprobs"]
    assert (told["tokens"], told["token_logprobs"]) == (["same"], [-3.0])
    assert told["top_logprobs"] == [
        {"token_id:7": -1.0, "token_id:9": -2.0, "else": -4, "same": -3.0}
    ]


async def test_models(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, checkpoint: str, base_model: BaseModel
) -> None:
    listed = (await api.get("models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == [BASE_MODEL, checkpoint]
    base = (await api.get(f"models/{BASE_MODEL}")).json()
    assert base == listed["data"][0]
    assert base["created"] == int(base_model.created_at.timestamp())
    tuned = (await api.get(f"models/{checkpoint}")).json()
    assert tuned == listed["data"][1]
    assert (tuned["owned_by"], tuned["parent"]) == ("Team", BASE_MODEL)
    assert [m["id"] for m in (await other_api.get("models")).json()["data"]] == [BASE_MODEL]


async def test_a_checkpoint_is_sampled_from(
    api: httpx.AsyncClient, worker: Worker, checkpoint: str
) -> None:
    reply = await chat(api, model=checkpoint)
    assert reply["model"] == checkpoint
    sampler = await Sampler.objects.aget()
    assert (sampler.model_path, sampler.weights_key) == (checkpoint, "some/key")


async def test_one_session_for_a_key(
    api: httpx.AsyncClient, worker: Worker, checkpoint: str
) -> None:
    for model in (BASE_MODEL, checkpoint, BASE_MODEL, checkpoint):
        await chat(api, model=model)
    (session,) = [session async for session in Session.objects.filter(tags=["openai"])]
    assert worker.targets == [f"{session.id}:sample:{number}" for number in (0, 1, 0, 1)]


@pytest.mark.parametrize("silent", [True, False])
async def test_an_ended_session_is_replaced(
    api: httpx.AsyncClient, worker: Worker, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await chat(api)
    await sync_to_async(end_sessions)(reason="expired")
    if silent:
        monkeypatch.setattr(doors, "HEARTBEAT_EVERY_S", 0.0)
    await chat(api)
    assert await Session.objects.acount() == 2
    assert worker.targets[0] != worker.targets[1]


@pytest.mark.parametrize("end", ["finished", "deleted"])
@pytest.mark.parametrize("model", ["the same", "a new one"])
async def test_a_session_is_replaced_on_the_spot(
    api: httpx.AsyncClient, worker: Worker, checkpoint: str, end: str, model: str
) -> None:
    """Whatever is asked next, and by whichever way the session has ended."""
    await chat(api)
    session = await Session.objects.aget(tags=["openai"])
    before = session.id
    if end == "finished":
        url = f"http://testserver/api/v1/sessions/{session.id}/finish"
        key = api.headers["Authorization"].removeprefix("Bearer ")
        response = await api.post(url, json={}, headers={"X-API-Key": key})
        assert response.status_code == 200, response.text
    else:
        await Operation.objects.all().adelete()
        await Lane.objects.all().adelete()
        await Sampler.objects.all().adelete()
        await session.adelete()
    await chat(api, model=BASE_MODEL if model == "the same" else checkpoint)
    assert not worker.targets[1].startswith(before)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_session_that_ends_under_a_sample_is_replaced(
    api: httpx.AsyncClient, worker: Worker, hand: Hand, stream: bool
) -> None:
    """The sample is asked again, with the same seed: whoever reads along sees it go on."""
    tokens = tokens_of("Hello you")
    worker.announcements = [[progress(0, 0, tokens[:3])]]

    def end_session(body: dict[str, Any]) -> bytes | None:
        if len(worker.bodies) > 1:
            return answer([*tokens, END])
        end_sessions(conn=hand.connection)
        (released,) = lifecycle.release_ended(hand.connection, worker_id=hand.worker_id)
        finish.announce(hand.connection, released.failed_requests)
        return None

    worker.reply = end_session
    asked = {"model": BASE_MODEL, "messages": HELLO, "stream": stream}
    response = await api.post("chat/completions", json=asked)
    if stream:
        text = "".join(
            choice["delta"].get("content", "")
            for event in events(response)
            for choice in event["choices"]
        )
    else:
        text = response.json()["choices"][0]["message"]["content"]
    assert text == "Hello you"
    first, second = worker.bodies
    assert first["sampling_session_id"] != second["sampling_session_id"]
    assert first["sampling_params"] == second["sampling_params"]


async def test_use_keeps_the_session_alive(
    api: httpx.AsyncClient, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "HEARTBEAT_EVERY_S", 0.0)
    await chat(api)
    before = (await Session.objects.aget()).heartbeat_at
    await chat(api)
    assert (await Session.objects.aget()).heartbeat_at > before
