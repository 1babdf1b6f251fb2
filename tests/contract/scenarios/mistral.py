"""Mistral's own mistral-common: chats to tokens, on the vocabulary that it ships."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.messages import (
    AssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import Function, FunctionCall, Tool, ToolCall
from mistral_common.protocol.instruct.validator import ValidationMode
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from .kit import Kit

# What releases after the shipped vocabulary have named of its thousand reserved numbers
_LATER = {"[ARGS]": 32, "[CALL_ID]": 33, "[THINK]": 34, "[/THINK]": 35}


@cache
def _shipped() -> Any:
    return json.loads((files("mistral_common") / "data" / "tekken_240718.json").read_bytes())


def _controls() -> list[dict[str, Any]]:
    first = [dict(token) for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    later = [{"rank": n, "token_str": text, "is_control": True} for text, n in _LATER.items()]
    between = range(len(first), min(_LATER.values()))
    filler = [{"rank": n, "token_str": f"<SPECIAL_{n}>", "is_control": True} for n in between]
    return [*first, *filler, *later]


@cache
def _tokenizer(version: str) -> Any:
    found = dict(_shipped())
    found["config"] = found["config"] | {"version": version}
    found["special_tokens"] = _controls()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tekken.json"
        path.write_text(json.dumps(found))
        return MistralTokenizer.from_file(str(path), mode=ValidationMode.agnostic)


def vocabulary(kit: Kit) -> dict[str, Any]:
    """The tokens in base64 by their numbers, what cuts texts, and the control tokens' numbers."""
    config, reserved = _shipped()["config"], _shipped()["config"]["default_num_special_tokens"]
    size = config["default_vocab_size"] - reserved
    return {
        "tokens": [row["token_bytes"] for row in _shipped()["vocab"][:size]],
        "reserved": reserved,
        "pattern": config["pattern"],
        "controls": {str(token["token_str"]): token["rank"] for token in _controls()},
    }


def rendered(
    kit: Kit, version: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> list[int]:
    """A chat's tokens."""
    request: Any = ChatCompletionRequest(
        messages=[_message(item) for item in messages],
        tools=[Tool(function=Function(**tool["function"])) for tool in tools] or None,
    )
    tokens: list[int] = _tokenizer(version).encode_chat_completion(request).tokens
    return tokens


def _message(item: dict[str, Any]) -> Any:
    content = item["content"]
    if item["role"] == "system":
        return SystemMessage(content=content)
    if item["role"] == "user":
        return UserMessage(content=content)
    if item["role"] == "tool":
        return ToolMessage(content=content, tool_call_id=item["tool_call_id"], name=item["name"])
    calls = [
        ToolCall(
            id=call["id"],
            function=FunctionCall(
                name=call["function"]["name"], arguments=json.dumps(call["function"]["arguments"])
            ),
        )
        for call in item.get("tool_calls", [])
    ]
    if thinking := item.get("reasoning_content"):
        said = [TextChunk(text=content)] if content else []
        content = [ThinkChunk(thinking=thinking), *said]
    return AssistantMessage(content=content or None, tool_calls=calls or None)
