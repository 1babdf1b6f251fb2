"""OpenAI's own harmony: chats to tokens, and tokens to messages, on its own vocabulary."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import openai_harmony as harmony

from .kit import Kit

_CONSTRAIN = "<|constrain|>json"


@cache
def _folder() -> str:
    """A folder with the vocabulary, which harmony checks by its hash; a package ships it."""
    folder = tempfile.mkdtemp()
    packed = files("bpe_openai") / "data" / "o200k_base.tiktoken.gz"
    (Path(folder) / "o200k_base.tiktoken").write_bytes(gzip.decompress(packed.read_bytes()))
    return folder


@cache
def _encoding() -> Any:
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = _folder()
    return harmony.load_harmony_encoding(harmony.HarmonyEncodingName.HARMONY_GPT_OSS)


def vocabulary(kit: Kit) -> dict[str, Any]:
    """Where the vocabulary is, and the numbers of control tokens by their texts."""
    encoding = _encoding()
    names = ("startoftext", "endoftext", "return", "constrain", "channel", "start", "end")
    names += ("message", "call")
    controls = {}
    for name in names:
        (controls[f"<|{name}|>"],) = encoding.encode(f"<|{name}|>", allowed_special="all")
    return {"path": f"{_folder()}/o200k_base.tiktoken", "controls": controls}


def rendered(
    kit: Kit,
    messages: list[dict[str, Any]],
    tools: list[dict[str, Any]],
    effort: str,
    drops: bool = False,
) -> dict[str, list[int]]:
    """A chat as the prompt for what comes next, and as it is trained."""
    conversation = harmony.Conversation.from_messages(
        [_system(effort), *_developer(messages, tools), *_said(messages)]
    )
    config = harmony.RenderConversationConfig(auto_drop_analysis=drops)
    encoding = _encoding()
    return {
        "prompt": encoding.render_conversation_for_completion(
            conversation, harmony.Role.ASSISTANT, config
        ),
        "trained": encoding.render_conversation_for_training(conversation, config),
    }


def declared(kit: Kit, tools: list[dict[str, Any]]) -> str:
    """The developer's message about tools, as text."""
    (message,) = _developer([], tools)
    return str(_encoding().decode_utf8(_encoding().render(message)))


def read(kit: Kit, tokens: list[int]) -> list[dict[str, Any]]:
    """Messages that a sample is."""
    found = _encoding().parse_messages_from_completion_tokens(tokens, harmony.Role.ASSISTANT)
    return [
        {"channel": one.channel, "to": one.recipient, "text": one.content[0].text} for one in found
    ]


def _system(effort: str) -> Any:
    content = harmony.SystemContent.new().with_reasoning_effort(
        harmony.ReasoningEffort(effort.capitalize())
    )
    return harmony.Message.from_role_and_content(harmony.Role.SYSTEM, content)


def _developer(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[Any]:
    content = harmony.DeveloperContent.new()
    has_system = bool(messages) and messages[0]["role"] == "system"
    if has_system:
        content = content.with_instructions(messages[0]["content"])
    if tools:
        described = [
            harmony.ToolDescription.new(
                tool["function"]["name"],
                tool["function"].get("description", ""),
                parameters=tool["function"].get("parameters"),
            )
            for tool in tools
        ]
        content = content.with_function_tools(described)
    if not (has_system or tools):
        return []
    return [harmony.Message.from_role_and_content(harmony.Role.DEVELOPER, content)]


def _said(messages: list[dict[str, Any]]) -> list[Any]:
    found: list[Any] = []
    for item in messages:
        if item["role"] == "user":
            found.append(harmony.Message.from_role_and_content(harmony.Role.USER, item["content"]))
        elif item["role"] == "tool":
            author = harmony.Author.new(harmony.Role.TOOL, f"functions.{item['name']}")
            result = harmony.Message.from_author_and_content(author, item["content"])
            found.append(result.with_recipient("assistant").with_channel("commentary"))
        elif item["role"] == "assistant":
            found += _assistants(item)
    return found


def _assistants(item: dict[str, Any]) -> list[Any]:
    def said(text: str, channel: str) -> Any:
        message = harmony.Message.from_role_and_content(harmony.Role.ASSISTANT, text)
        return message.with_channel(channel)

    found = [said(item["reasoning_content"], "analysis")] if item.get("reasoning_content") else []
    calls = item.get("tool_calls", [])
    if not calls:
        return [*found, said(item["content"], "final")]
    if item["content"]:
        found.append(said(item["content"], "commentary"))
    for call in calls:
        function = call["function"]
        message = said(json.dumps(function["arguments"], ensure_ascii=False), "commentary")
        message = message.with_recipient(f"functions.{function['name']}")
        found.append(message.with_content_type(_CONSTRAIN))
    return found
