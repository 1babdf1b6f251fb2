"""What requests may contain: OpenAI's names, of which we refuse those that we cannot keep.

A parameter that would be ignored is refused unless its value asks for nothing: many clients always
send a `frequency_penalty` of 0. Null means that a parameter was left out.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from openai_api.errors import Refused

MOST_CHOICES = 128
MOST_PROMPTS = 256
MOST_STOPS = 16
MOST_STOP_CHARACTERS = 1024
MOST_TOP_LOGPROBS = 20
ROLES = ("system", "developer", "user", "assistant", "tool")

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Choices = Annotated[int, Meta(ge=1, le=MOST_CHOICES)]
Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Temperature = Annotated[float, Meta(ge=0, le=100)]
Share = Annotated[float, Meta(gt=0, le=1)]


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True):
    """What a stream also tells."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What both kinds of completion have in common."""

    model: Annotated[str, Meta(min_length=1, max_length=500)]
    max_tokens: Positive | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    n: Choices | None = None
    stop: str | list[str] | None = None
    seed: Seed | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    # taken only if they ask for nothing (see NEUTRAL)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    # names of other servers, which their clients send as they are wont to
    min_p: Any = None
    repetition_penalty: Any = None
    length_penalty: Any = None
    min_tokens: Any = None
    ignore_eos: Any = None
    use_beam_search: Any = None
    stop_token_ids: Any = None
    skip_special_tokens: Any = None
    include_stop_str_in_output: Any = None


class Completion(Sampling, kw_only=True):
    """`POST /v1/completions`."""

    prompt: Any
    logprobs: Annotated[int, Meta(ge=0, le=MOST_TOP_LOGPROBS)] | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: int | None = None


class Function(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, forbid_unknown_fields=True):
    """What the model may call; only functions are taken."""

    type: str
    function: Function


class CalledFunction(msgspec.Struct, forbid_unknown_fields=True):
    """Which function was called, and with what: JSON, as the model wrote it."""

    name: str
    arguments: str | dict[str, Any]


class ToolCall(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """A call that an assistant made."""

    id: str | None = None
    type: str | None = None
    function: CalledFunction


class Message(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One message of a chat; parts of its content must be text."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    # answers have them, with nothing in them
    refusal: Any = None
    annotations: Any = None
    audio: Any = None
    function_call: Any = None


class Chat(Sampling, kw_only=True):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=MOST_TOP_LOGPROBS)] | None = None
    tools: list[Tool] | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    # said about a request, not asked of the model
    metadata: dict[str, str] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    # taken only if they ask for nothing (see NEUTRAL)
    service_tier: str | None = None
    store: bool | None = None
    modalities: list[str] | None = None
    parallel_tool_calls: bool | None = None
    functions: Any = None
    function_call: Any = None
    prediction: Any = None
    reasoning_effort: Any = None
    verbosity: Any = None
    web_search_options: Any = None
    audio: Any = None
    moderation: Any = None
    prompt_cache_options: Any = None
    # names of other servers
    add_generation_prompt: Any = None
    continue_final_message: Any = None


NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "suffix": ("",),
    "echo": (False,),
    "tool_choice": ("auto", "none"),
    "response_format": ({"type": "text"},),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "modalities": (["text"],),
    "parallel_tool_calls": (True,),
    "functions": ([],),
    "function_call": ("auto", "none"),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": ("medium",),
    "web_search_options": (),
    "audio": (),
    "moderation": (),
    "prompt_cache_options": (),
    "min_p": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "use_beam_search": (False,),
    "stop_token_ids": ([],),
    "skip_special_tokens": (True,),
    "include_stop_str_in_output": (False,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
}
"""Parameters that are taken with these values (or null) alone: what they say is done anyway."""


def check(wanted: Completion | Chat) -> None:
    """Refuse what would be ignored, by name.

    Raises:
        Refused: with the parameter's name and the values that are allowed.
    """
    for name, allowed in NEUTRAL.items():
        value = getattr(wanted, name, None)
        if value is not None and value not in allowed:
            instead = f" or use {' or '.join(map(_shown, allowed))}" if allowed else ""
            raise Refused(
                f"{name} {_shown(value)} is not offered; leave it out{instead}",
                name,
                "unsupported_parameter",
            )
    if wanted.stream_options is not None and not wanted.stream:
        raise Refused("stream_options needs stream: true", "stream_options")
    if isinstance(wanted, Completion):
        if wanted.best_of not in (None, wanted.n or 1):
            raise Refused("best_of must equal n: answers are not ranked here", "best_of")
    elif wanted.top_logprobs is not None and not wanted.logprobs:
        raise Refused("top_logprobs needs logprobs: true", "top_logprobs")


def stops_of(wanted: Sampling) -> list[str]:
    """The stop strings, checked."""
    stops = [wanted.stop] if isinstance(wanted.stop, str) else wanted.stop or []
    if len(stops) > MOST_STOPS:
        raise Refused(f"stop has {len(stops)} strings; at most {MOST_STOPS} are allowed", "stop")
    for text in stops:
        if not 0 < len(text) <= MOST_STOP_CHARACTERS:
            raise Refused(
                f"a stop string has {len(text)} characters; "
                f"allowed are 1 to {MOST_STOP_CHARACTERS}",
                "stop",
            )
    return stops


def _shown(value: Any) -> str:
    return msgspec.json.encode(value).decode()[:100]
