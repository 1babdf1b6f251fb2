"""Mistral's renderers beside its own mistral-common, token for token on its own vocabulary."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.clients import Client, Release
from tests.support.chats import TOOLS, Messages, chats
from tests.support.ranks import of_ranks
from tinsmith import renderers

MISTRAL = Release("mistral_common", "mistral-common==1.13.1")
VERSIONS = ("v3", "v7", "v11", "v13")


@pytest.fixture(scope="module")
def mistral() -> Iterator[Client]:
    """A process that has mistral-common; it asks no server."""
    running = Client(MISTRAL, "http://127.0.0.1:9", "tml-none")
    yield running
    running.close()


@pytest.fixture(scope="module")
def tokenizer(mistral: Client) -> Any:
    found = mistral.run("mistral.vocabulary")
    ranks = {
        base64.b64decode(token): number
        for number, token in enumerate(found["tokens"], found["reserved"])
    }
    return of_ranks(ranks, found["pattern"], found["controls"], bos_token="<s>", eos_token="</s>")


def fitting(version: str, messages: Messages) -> Messages:
    """The chat with what mistral-common asks for: ids of nine letters, answers that say something,
    in v3 no text beside calls. It cuts blanks off an answer's end, but beside thinking.
    """
    found: Messages = []
    count = 0
    for message in messages:
        item = dict(message)
        if item["role"] == "assistant":
            item["content"] = item["content"].rstrip(" ")
            if "tool_calls" not in item:
                item["content"] = item["content"] or "a"
            elif version == "v3":
                item["content"] = ""
            calls = item.get("tool_calls", [])
            for place, call in enumerate(calls):
                calls[place] = {**call, "id": f"call{count + place:05}"}
            waiting = [call["id"] for call in calls]
            count += len(calls)
        elif item["role"] == "tool":
            item["tool_call_id"] = waiting.pop(0)
        found.append(item)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_equals_mistral_common(
    version: str, mistral: Client, tokenizer: Any, data: st.DataObject
) -> None:
    renderer = renderers.get(f"mistral_{version}", tokenizer)
    messages = fitting(version, data.draw(chats(version == "v13", True, begins_anyhow=True)))
    tools = TOOLS if data.draw(st.booleans()) else []
    for count in range(1, len(messages) + 1):
        so_far = messages[:count]
        if so_far[-1]["role"] == "system":
            continue  # which nobody answers
        theirs = mistral.run("mistral.rendered", version=version, messages=so_far, tools=tools)
        if so_far[-1]["role"] == "assistant":
            assert renderer.example(so_far, tools=tools).tokens == theirs
        else:
            assert renderer.prompt(so_far, tools).to_ints() == theirs


@pytest.mark.parametrize("version", VERSIONS)
def test_tools_are_declared_as_mistral_does(version: str, mistral: Client, tokenizer: Any) -> None:
    renderer = renderers.get(f"mistral_{version}", tokenizer)
    asked = [{"role": "user", "content": "Hi"}]
    parameters = {"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}
    functions = [
        {"name": "add", "description": "é\n", "parameters": parameters},
        {"parameters": {"type": "object", "properties": {}}, "name": "none"},
    ]
    tools = [{"type": "function", "function": function} for function in functions]
    theirs = mistral.run("mistral.rendered", version=version, messages=asked, tools=tools)
    assert renderer.prompt(asked, tools).to_ints() == theirs
