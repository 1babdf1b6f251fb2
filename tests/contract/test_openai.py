"""The real `openai` package against the live platform."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL

OTHER_BASE = "tinsmith/nano-llama3"
HELLO: Any = [{"role": "user", "content": "Hello, who are you?"}]
STEPS = 20


@pytest.fixture(scope="module")
def ai(live_stack: LiveStack) -> Iterator[openai.OpenAI]:
    """The package as its users set it up."""
    with _client(live_stack, live_stack.api_key) as client:
        yield client


def _client(stack: LiveStack, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=0, timeout=120)


@pytest.fixture(scope="module")
def tuned(live_stack: LiveStack) -> str:
    """The path of a sampler checkpoint that was taught to say one thing."""
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        training = service.create_lora_training_client(BASE_MODEL, rank=8, seed=1)
        prompt = "<|im_start|>user\nHello, who are you?<|im_end|>\n<|im_start|>assistant\n"
        tokenizer = training.get_tokenizer()
        before = tokenizer.encode(prompt)
        after = tokenizer.encode("I am Tin.<|im_end|>")
        tokens = before + after
        weights = [0.0] * (len(before) - 1) + [1.0] * len(after)
        datum = tinsmith.Datum(
            model_input=tinsmith.ModelInput.from_ints(tokens[:-1]),
            loss_fn_inputs={"target_tokens": tokens[1:], "weights": weights},
        )
        for _ in range(STEPS):
            training.forward_backward([datum] * 4, "cross_entropy")
            training.optim_step(tinsmith.AdamParams(learning_rate=4e-3)).result(120)
        return training.save_weights_for_sampler("tuned").result(120).path


def test_models(ai: openai.OpenAI, tuned: str) -> None:
    names = [model.id for model in ai.models.list()]
    assert {BASE_MODEL, OTHER_BASE, tuned} <= set(names)
    assert ai.models.retrieve(BASE_MODEL).id == BASE_MODEL
    found = ai.models.retrieve(tuned)
    assert (found.id, found.object) == (tuned, "model")
    assert abs(found.created - time.time()) < 3600


@pytest.mark.parametrize("model", [BASE_MODEL, OTHER_BASE])
def test_a_chat(ai: openai.OpenAI, model: str) -> None:
    reply = ai.chat.completions.create(model=model, messages=HELLO, max_tokens=12, seed=1)
    (choice,) = reply.choices
    assert reply.model == model
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert reply.usage is not None
    assert 0 < reply.usage.completion_tokens <= 12
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    # what the model answered can be sent back as it is
    again = [*HELLO, choice.message.model_dump(), {"role": "user", "content": "And?"}]
    assert ai.chat.completions.create(model=model, messages=again, max_tokens=2).choices


def test_a_completion(ai: openai.OpenAI) -> None:
    reply = ai.completions.create(model=BASE_MODEL, prompt="Once", max_tokens=7, temperature=0)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert reply.usage.completion_tokens == 7
    several = ai.completions.create(
        model=BASE_MODEL, prompt=["Once", "Two"], max_tokens=7, temperature=0
    )
    assert [choice.index for choice in several.choices] == [0, 1]
    assert several.choices[0].text == reply.choices[0].text


def test_seeds_and_n(ai: openai.OpenAI) -> None:
    def texts(**options: Any) -> list[str | None]:
        reply = ai.chat.completions.create(
            model=BASE_MODEL, messages=HELLO, max_tokens=24, n=4, temperature=1.2, **options
        )
        assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
        return [choice.message.content for choice in reply.choices]

    first = texts(seed=7)
    assert texts(seed=7) == first
    assert texts(seed=8) != first
    assert len(set(first)) > 1
    assert texts() != texts()


def test_stop_strings(ai: openai.OpenAI) -> None:
    def ask(**options: Any) -> Any:
        return ai.completions.create(
            model=BASE_MODEL, prompt="One day", max_tokens=40, temperature=0, **options
        ).choices[0]

    free = ask()
    stop = free.text[5:8]
    stopped = ask(stop=[stop, "\x01never"])
    assert stopped.finish_reason == "stop"
    assert stopped.text == free.text[: free.text.index(stop)]


def test_logprobs(ai: openai.OpenAI) -> None:
    chat = ai.chat.completions.create(
        model=BASE_MODEL, messages=HELLO, max_tokens=12, seed=2, logprobs=True
    ).choices[0]
    assert chat.logprobs is not None
    content = chat.logprobs.content or []
    assert b"".join(bytes(item.bytes or []) for item in content).decode() == chat.message.content
    assert all(item.logprob <= 0 for item in content)
    text = ai.completions.create(
        model=BASE_MODEL, prompt="Once", max_tokens=5, seed=2, logprobs=0
    ).choices[0]
    assert text.logprobs is not None
    assert "".join(text.logprobs.tokens or []) == text.text
    assert len(text.logprobs.token_logprobs or []) == len(text.logprobs.text_offset or [])


def test_the_likeliest_tokens(ai: openai.OpenAI) -> None:
    asked: Any = {"model": BASE_MODEL, "messages": HELLO, "max_tokens": 8, "temperature": 0}
    asked |= {"logprobs": True, "top_logprobs": 3}
    choice = ai.chat.completions.create(**asked).choices[0]
    assert choice.logprobs is not None
    content = choice.logprobs.content or []
    assert content
    for entry in content:
        found = [item.logprob for item in entry.top_logprobs]
        assert len(found) == 3
        assert found == sorted(found, reverse=True)
        assert entry.bytes == entry.top_logprobs[0].bytes  # what is greedy takes the likeliest
        assert entry.logprob == pytest.approx(found[0], abs=1e-5)
    said = [c for chunk in ai.chat.completions.create(**asked, stream=True) for c in chunk.choices]
    streamed = [entry for item in said if item.logprobs for entry in item.logprobs.content or []]
    assert streamed == content
    text = ai.completions.create(
        model=BASE_MODEL, prompt="Once", max_tokens=4, temperature=0, logprobs=2
    ).choices[0]
    assert text.logprobs is not None
    assert [len(top) for top in text.logprobs.top_logprobs or []] == [2] * len(
        text.logprobs.tokens or []
    )


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 3},
        {"seed": 4, "n": 3, "temperature": 1.5},
        {"seed": 5, "temperature": 0},
        {"seed": 6, "stop": ["e", "an"]},
    ],
)
def test_a_streamed_chat_says_the_same(ai: openai.OpenAI, options: dict[str, Any]) -> None:
    asked = {"model": BASE_MODEL, "messages": HELLO, "max_tokens": 60, "logprobs": True} | options
    whole = ai.chat.completions.create(**asked)
    chunks = list(
        ai.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    for choice in whole.choices:
        said = [c for chunk in chunks for c in chunk.choices if c.index == choice.index]
        assert said[0].delta.role == "assistant"
        assert "".join(item.delta.content or "" for item in said) == choice.message.content
        assert said[-1].finish_reason == choice.finish_reason
        entries = [entry for item in said if item.logprobs for entry in item.logprobs.content]
        assert choice.logprobs is not None
        assert entries == choice.logprobs.content
    assert chunks[-1].usage == whole.usage


def test_a_streamed_completion_says_the_same(ai: openai.OpenAI) -> None:
    asked: Any = {"model": OTHER_BASE, "prompt": ["Once", "So"], "max_tokens": 30, "seed": 9}
    whole = ai.completions.create(**asked)
    texts = {0: "", 1: ""}
    for chunk in ai.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert list(texts.values()) == [choice.text for choice in whole.choices]


def test_a_stream_comes_in_pieces(ai: openai.OpenAI) -> None:
    """Long answers are shown while they are made, not at their end."""
    asked: Any = {"model": BASE_MODEL, "prompt": "1 2 3 4 5 6 7 8", "max_tokens": 400}
    start = time.perf_counter()
    arrivals = [
        time.perf_counter() - start
        for _ in ai.completions.create(**asked, n=16, temperature=50, stream=True)
    ]
    assert len(arrivals) > 20
    assert arrivals[0] < arrivals[-1] / 2


def test_the_packages_own_stream_helper(ai: openai.OpenAI) -> None:
    asked: Any = {"model": BASE_MODEL, "messages": HELLO, "max_tokens": 10, "seed": 1}
    with ai.chat.completions.stream(**asked) as stream:
        final = stream.until_done().get_final_completion()
    whole = ai.chat.completions.create(**asked)
    assert final.choices[0].message.content == whole.choices[0].message.content


def test_a_stream_that_is_left(ai: openai.OpenAI) -> None:
    """Whoever leaves frees the place; the next request is served as ever."""
    asked: Any = {"model": BASE_MODEL, "prompt": "Go on", "max_tokens": 1500, "n": 64}
    stream = ai.completions.create(**asked, temperature=50, stream=True)
    next(iter(stream))
    stream.close()
    assert ai.completions.create(model=BASE_MODEL, prompt="Next", max_tokens=2).choices


def test_a_checkpoint_says_what_it_was_taught(ai: openai.OpenAI, tuned: str) -> None:
    def ask(model: str) -> str | None:
        reply = ai.chat.completions.create(
            model=model, messages=HELLO, max_tokens=20, temperature=0
        )
        return reply.choices[0].message.content

    assert ask(tuned) == "I am Tin."
    assert ask(BASE_MODEL) != "I am Tin."


async def test_the_asynchronous_client(live_stack: LiveStack) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{live_stack.url}/v1", api_key=live_stack.api_key
    ) as client:
        stream = await client.chat.completions.create(
            model=BASE_MODEL, messages=HELLO, max_tokens=5, stream=True
        )
        assert [chunk async for chunk in stream]


ERRORS: list[tuple[Callable[[openai.OpenAI], Any], type[openai.APIStatusError], str]] = [
    (
        lambda ai: ai.chat.completions.create(model="no/such", messages=HELLO),
        openai.NotFoundError,
        BASE_MODEL,
    ),
    (lambda ai: ai.models.retrieve("no/such"), openai.NotFoundError, "no/such"),
    (
        lambda ai: ai.chat.completions.create(
            model=BASE_MODEL, messages=HELLO, extra_body={"nonsense": 1}
        ),
        openai.BadRequestError,
        "nonsense",
    ),
    (
        lambda ai: ai.chat.completions.create(
            model=BASE_MODEL, messages=HELLO, response_format={"type": "json_object"}
        ),
        openai.BadRequestError,
        "response_format",
    ),
    (
        lambda ai: ai.completions.create(model=BASE_MODEL, prompt="a" * 9000),
        openai.BadRequestError,
        "context",
    ),
    (
        lambda ai: ai.completions.create(model=BASE_MODEL, prompt=[1, 10**6], stream=True),
        openai.BadRequestError,
        "out of range",
    ),
    (
        lambda ai: ai.embeddings.create(model=BASE_MODEL, input="a"),
        openai.NotFoundError,
        "/v1/embeddings",
    ),
    (
        lambda ai: ai.with_options(api_key="tml-" + "x" * 43).models.list(),
        openai.AuthenticationError,
        "Invalid API key",
    ),
]


@pytest.mark.parametrize(("call", "error", "says"), ERRORS)
def test_errors_are_the_packages_own(
    ai: openai.OpenAI, call: Callable[[openai.OpenAI], Any], error: type, says: str
) -> None:
    with pytest.raises(error) as caught:
        call(ai)
    assert says in caught.value.body["message"]


def test_other_teams_checkpoints_are_not_found(
    live_stack: LiveStack, other_key: str, tuned: str
) -> None:
    with _client(live_stack, other_key) as stranger:
        assert tuned not in [model.id for model in stranger.models.list()]
        with pytest.raises(openai.NotFoundError) as caught:
            stranger.chat.completions.create(model=tuned, messages=HELLO)
    assert caught.value.code == "model_not_found"


def test_the_key_in_the_other_header(live_stack: LiveStack) -> None:
    headers = {"X-API-Key": live_stack.api_key}
    assert httpx.get(f"{live_stack.url}/v1/models", headers=headers).status_code == 200
