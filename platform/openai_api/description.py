"""The OpenAI-compatible API's description, for `core.openapi`: its answers, fields and routes."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from core.openapi import Api, Raw, Route
from openai_api import schemas
from openai_api.urls import urlpatterns

Finish = Literal["stop", "length"]


class Model(msgspec.Struct):
    """A base model, or a sampler checkpoint."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int | UnsetType = UNSET
    parent: str | UnsetType = UNSET


class Models(msgspec.Struct):
    """What can be sampled from."""

    object: Literal["list"]
    data: list[Model]


class PromptTokens(msgspec.Struct):
    """More on the prompt's tokens."""

    cached_tokens: int


class TokenUsage(msgspec.Struct):
    """Tokens in and out."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokens


class TextLogprobs(msgspec.Struct):
    """The logprobs of a completion's tokens."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    text_offset: list[int]


class TextChoice(msgspec.Struct):
    """A completion."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Finish


class TextCompletion(msgspec.Struct):
    """Completions of the prompts."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: TokenUsage
    system_fingerprint: None


class TokenLogprob(msgspec.Struct):
    """A token that could have been."""

    token: str
    logprob: float
    bytes: list[int]


class ChosenLogprob(TokenLogprob):
    """A token of the answer."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(msgspec.Struct):
    """The logprobs of an answer's tokens."""

    content: list[ChosenLogprob]
    refusal: None


class Reply(msgspec.Struct):
    """What the model says."""

    role: Literal["assistant"]
    content: str
    refusal: None


class ChatChoice(msgspec.Struct):
    """An answer."""

    index: int
    message: Reply
    logprobs: ChatLogprobs | None
    finish_reason: Finish


class ChatCompletion(msgspec.Struct):
    """Answers to a chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: TokenUsage
    system_fingerprint: None


class Error(msgspec.Struct):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenaiRefusal(msgspec.Struct):
    """A refusal in OpenAI's shape."""

    error: Error


WORDS = {
    "audio": "Always null.",
    "bytes": "The token's bytes.",
    "cached_tokens": "Tokens of the prompt that were known already.",
    "choices": "The answers.",
    "code": "A word for programs.",
    "completion_tokens": "Tokens sampled.",
    "created": "When, in Unix seconds.",
    "error": "What went wrong.",
    "finish_reason": "`stop`: it ended by itself; `length`: there was no room for more.",
    "function_call": "Always null: use `tool_calls`.",
    "id": "Its name.",
    "index": "Its number.",
    "logprob": "The token's log-probability.",
    "max_model_len": "Tokens that prompt and answer may have together.",
    "model": "A base model's name, or the `tinker://` path of sampler weights.",
    "name": "Who says it.",
    "object": "What kind of object this is.",
    "owned_by": "The team that made it.",
    "param": "The parameter at fault.",
    "parent": "The base model.",
    "prompt_tokens": "Tokens of the prompts.",
    "prompt_tokens_details": "More on them.",
    "reasoning_content": "What the model thought, for templates that show it.",
    "refusal": "Always null.",
    "role": "Who speaks: " + ", ".join(f"`{role}`" for role in schemas.ROLES) + ".",
    "system_fingerprint": "Always null.",
    "text_offset": "Where each token begins in the text.",
    "token": "The token as text.",
    "token_logprobs": "The log-probability of each token.",
    "tokens": "The tokens as texts.",
    "tool_call_id": "Which call this is the result of.",
    "tool_calls": "Calls of tools.",
    "total_tokens": "Their sum.",
    "type": "Its kind.",
    "usage": "Tokens in and out.",
}

_COMMON = {
    "max_tokens": "How many tokens to sample at most.",
    "temperature": "1 unless given. Below 0.00001: the likeliest token, and the model's own "
    "logprobs.",
    "top_p": "Draw from the likeliest tokens that have this share together.",
    "top_k": "Draw from the k likeliest tokens; -1: from all.",
    "n": "How many answers to each prompt.",
    "stop": f"A text or up to {schemas.MOST_STOPS} at which to stop.",
    "seed": "The same seed gives the same answers.",
    "stream": "Whether the answer comes as it is sampled, in server-sent events.",
    "stream_options": "What a stream also tells.",
    "user": "Taken, and not used.",
}


def _neutral(kind: type[schemas.Sampling]) -> dict[str, str]:
    """What is said of parameters that are taken if they ask for nothing."""
    return {
        name: "Taken only if it asks for nothing: "
        + (" or ".join(f"`{msgspec.json.encode(value).decode()}`" for value in allowed) or "null")
        + "."
        for name, allowed in schemas.NEUTRAL.items()
        if name in kind.__struct_fields__
    }


FIELDS: dict[type, dict[str, str]] = {
    Models: {"data": "The models."},
    Error: {"message": "What went wrong, and what is allowed."},
    TextChoice: {"text": "What follows the prompt.", "logprobs": "If they were asked for."},
    TextLogprobs: {"top_logprobs": "The likeliest tokens at each place."},
    ChatChoice: {"message": "What the model says.", "logprobs": "If they were asked for."},
    ChatLogprobs: {"content": "Token by token."},
    ChosenLogprob: {"top_logprobs": "The likeliest tokens at its place."},
    Reply: {"content": "The text."},
    schemas.StreamOptions: {
        "include_usage": "Whether the last event tells the tokens in and out.",
        "include_obfuscation": "Taken, and not used.",
    },
    schemas.Tool: {"type": "`function`, the only kind offered.", "function": "What to call."},
    schemas.Function: {
        "name": "Its name.",
        "description": "What it does.",
        "parameters": "JSON Schema of what it is called with.",
        "strict": "Taken only if it asks for nothing: false.",
    },
    schemas.ToolCall: {"function": "What was called."},
    schemas.CalledFunction: {
        "name": "Its name.",
        "arguments": "What it was called with: JSON, as text or as an object.",
    },
    schemas.Message: {
        "content": 'A text, or parts of one: `{"type": "text", "text": "…"}`.',
        "refusal": "Always null.",
        "annotations": "Always null or empty.",
    },
    schemas.Completion: {
        **_neutral(schemas.Completion),
        **_COMMON,
        "prompt": f"A text, a list of tokens, or a list of up to {schemas.MOST_PROMPTS} of these.",
        "logprobs": "Tell each token's log-probability, and this many of the likeliest.",
        "best_of": "Must equal `n`.",
    },
    schemas.Chat: {
        **_neutral(schemas.Chat),
        **_COMMON,
        "messages": "The chat so far.",
        "max_completion_tokens": "How many tokens to sample at most; it goes before `max_tokens`.",
        "logprobs": "Whether to tell each token's log-probability.",
        "top_logprobs": "How many of the likeliest tokens to tell at each place.",
        "tools": "Functions that the model may call, if its chat template shows them to it.",
        "tool_choice": "`auto`, or `none`, which hides the tools.",
        "chat_template_kwargs": "Further variables that the model's chat template reads.",
        "metadata": "Taken, and not used.",
        "safety_identifier": "Taken, and not used.",
        "prompt_cache_key": "Taken, and not used: prompts are always cached.",
        "prompt_cache_retention": "Taken, and not used.",
    },
}

_STREAM = Raw(
    "text/event-stream",
    "The whole answer, or with `stream` its chunks as server-sent events, ended by `[DONE]`.",
    {"type": "string"},
)
_BUSY = {429: ((), "Too many samples are open; try again soon.")}
TAG = "OpenAI-compatible"

API = Api(
    prefix="/v1/",
    patterns=urlpatterns,
    routes={
        TAG: {
            "GET models": Route(gives=Models),
            "GET models/{name}": Route(gives=Model),
            "POST completions": Route(
                takes=schemas.Completion, gives=(TextCompletion, _STREAM), also=_BUSY
            ),
            "POST chat/completions": Route(
                takes=schemas.Chat, gives=(ChatCompletion, _STREAM), also=_BUSY
            ),
        }
    },
    parts={"name": "The base model's name, or the `tinker://` path of sampler weights."},
    fields=FIELDS,
    words=WORDS,
    security={
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "an API key, `tml-…`; `X-API-Key` is taken, too.",
        }
    },
    refusal=OpenaiRefusal,
)
TAGS = {TAG: "Sampling as OpenAI's own clients ask for it, from base models and checkpoints."}
