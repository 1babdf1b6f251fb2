"""The public cookbook's own renderers: tokens, weights, and what they read."""

from __future__ import annotations

from functools import cache
from typing import Any

from tinker_cookbook.renderers import TrainOnWhat, get_renderer
from tinker_cookbook.renderers.base import ToolCall
from transformers import PreTrainedTokenizerFast

from .kit import Kit


@cache
def _renderer(name: str, folder: str) -> Any:
    return get_renderer(name, PreTrainedTokenizerFast.from_pretrained(folder))


def rendered(
    kit: Kit, name: str, folder: str, messages: list[dict[str, Any]], train_on: str
) -> dict[str, Any]:
    """The prompt before the last message, and the whole chat with its weights."""
    renderer = _renderer(name, folder)
    given = [_message(item) for item in messages]
    prompt = renderer.build_generation_prompt(given[:-1])
    whole, weights = renderer.build_supervised_example(given, TrainOnWhat(train_on))
    return {
        "prompt": prompt.to_ints(),
        "tokens": whole.to_ints(),
        "weights": [float(weight) for weight in weights.tolist()],
    }


def _message(item: dict[str, Any]) -> dict[str, Any]:
    """A message in the cookbook's form."""
    found = {"role": item["role"], "content": item["content"]}
    if item.get("reasoning_content"):
        found["content"] = [
            {"type": "thinking", "thinking": item["reasoning_content"]},
            {"type": "text", "text": item["content"]},
        ]
    if item.get("tool_calls"):
        found["tool_calls"] = [ToolCall.model_validate(call) for call in item["tool_calls"]]
    return found | {key: item[key] for key in ("name", "tool_call_id") if key in item}


def declared(
    kit: Kit, name: str, folder: str, tools: list[dict[str, Any]], system: str
) -> list[int]:
    """The prompt of a chat with tools."""
    renderer = _renderer(name, folder)
    prefix = renderer.create_conversation_prefix_with_tools(tools, system)
    prompt = renderer.build_generation_prompt([*prefix, {"role": "user", "content": "Hi"}])
    tokens: list[int] = prompt.to_ints()
    return tokens
