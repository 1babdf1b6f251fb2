"""Chats as families of models are trained to read them: by the SDK's renderers.

What is served is what was trained. A checkpoint's run may say its renderer (`renderer_name` of its
user metadata); else the base model's name tells the family, as in `renderers.for_model`. Where that
knows none, the model's own chat template writes the chat (`chats.py`), token for token as the
SDK's `chat_template` does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from openai_api.doors import Chosen
from openai_api.vocabulary import Vocabulary
from tinsmith.renderers import FAMILIES, Ending, Renderer, name_for_model
from tinsmith.renderers.vocabulary import Control

# options of chat templates that choose among a model's renderers
_CHOICES: dict[tuple[str, str, bool], str] = {
    ("qwen3", "enable_thinking", True): "qwen3",
    ("qwen3", "enable_thinking", False): "qwen3_disable_thinking",
    ("qwen3_disable_thinking", "enable_thinking", True): "qwen3",
    ("qwen3_disable_thinking", "enable_thinking", False): "qwen3_disable_thinking",
    ("deepseekv3", "thinking", True): "deepseekv3_thinking",
    ("deepseekv3", "thinking", False): "deepseekv3",
}
OWN_TEMPLATE = "chat_template"


@dataclass(frozen=True, slots=True)
class Written:
    """A chat's prompt, in tokens; how its answer ends, and what stands before the answer's text."""

    tokens: list[int]
    end_tokens: frozenset[int] = frozenset()
    stops: list[str] = field(default_factory=list)
    lead: str = ""


def renderer_of(words: Vocabulary, chosen: Chosen, options: dict[str, Any]) -> Renderer | None:
    """The renderer of a model's family; None: its own template writes chats, or these options."""
    for name in (chosen.renderer_name, name_for_model(chosen.base.name)):
        if name in FAMILIES:
            meant = _with_options(name, options)
            found = None if meant == OWN_TEMPLATE else words.renderer(meant)
            if found is not None or meant == OWN_TEMPLATE:
                return found
    return None


def write(
    renderer: Renderer, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None
) -> Written:
    """The prompt for the assistant's next message.

    Args:
        messages: of renderers' form; parts of an assistant's content are letters, whatever they
            spell, and its text is read as the model wrote it.

    Raises:
        ValueError: the family cannot express the chat; the text says which message and why.
    """
    told = [_as_written(renderer, message) for message in messages]
    tokens = renderer.prompt(told, tools).to_ints()
    ends, stops = frozenset[int](), list[str]()
    for stop in renderer.stop:
        if isinstance(stop, str):
            stops.append(stop)
        else:
            ends |= {stop}
    return Written(tokens, ends, stops, renderer.lead)


def _with_options(name: str, options: dict[str, Any]) -> str:
    """The renderer that is meant by a template's options; of other options the template knows."""
    for option, value in options.items():
        if not isinstance(value, bool) or (name, option, value) not in _CHOICES:
            return OWN_TEMPLATE
        name = _CHOICES[name, option, value]
    return name


def _as_written(renderer: Renderer, message: dict[str, Any]) -> dict[str, Any]:
    """An earlier answer with the thinking and the calls that stand in its text as the model's own.

    Answers are told with both in their text, so that is how they come back.
    """
    text = message.get("content")
    if message["role"] != "assistant" or not isinstance(text, str):
        return message
    pattern = "|".join(map(re.escape, renderer.marks)) or "(?!)"
    if not re.search(pattern, text):
        return message
    parts = enumerate(re.split(f"({pattern})", text))
    pieces = [Control(part) if place % 2 else part for place, part in parts]
    tokens = renderer.encode([((0, True), pieces)]).tokens
    read = renderer.parse([*tokens, *(stop for stop in renderer.stop if isinstance(stop, int))])
    if read.ending is not Ending.STOP or read.message.keys() & message.keys() - {"role", "content"}:
        return message  # no markup as the family writes it, which the renderer then refuses
    return {**message, **read.message}
