"""gpt-oss's renderer beside OpenAI's own harmony, token for token on its own vocabulary."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.clients import Client, Release, pip_install, virtual_environment
from tests.support.chats import TOOLS, Messages, chats
from tests.support.ranks import of_ranks
from tinsmith import renderers
from tinsmith.renderers import Renderer, typescript

# bpe-openai ships the vocabulary, and nothing of it runs
NEEDS = ("bpe-openai==0.1.4", "numpy")
PATTERN = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
EFFORTS = ("low", "medium", "high")
SLOW = settings(max_examples=40, deadline=None)


@dataclass(frozen=True)
class HarmonyRelease(Release):
    """A release of harmony, with a vocabulary."""

    def python(self) -> str:
        """The interpreter that has it."""
        assert self.requirement is not None

        def fill(folder: Path) -> None:
            pip_install(folder, str(self.requirement), *NEEDS)

        return virtual_environment(self.requirement, fill)


HARMONY = HarmonyRelease("openai_harmony", "openai-harmony==0.0.8")


@pytest.fixture(scope="module")
def harmony() -> Iterator[Client]:
    """A process that has harmony; it asks no server."""
    running = Client(HARMONY, "http://127.0.0.1:9", "tml-none")
    yield running
    running.close()


@pytest.fixture(scope="module")
def family(harmony: Client) -> dict[str, Renderer]:
    """Our renderers on gpt-oss's own vocabulary, by effort."""
    found = harmony.run("harmony.vocabulary")
    lines = Path(found["path"]).read_bytes().splitlines()
    pairs = (line.split() for line in lines)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    tokenizer = of_ranks(ranks, PATTERN, found["controls"], eos_token="<|return|>")
    return {effort: renderers.get(f"gpt_oss_{effort}", tokenizer) for effort in EFFORTS}


def shown(messages: Messages) -> Messages:
    """Messages without the thinking that a model is not shown again: up to its last answer."""
    answers = [
        index
        for index, item in enumerate(messages[:-1])
        if item["role"] == "assistant" and "tool_calls" not in item
    ]
    last = max(answers, default=-1)
    return [
        {key: value for key, value in item.items() if key != "reasoning_content" or index > last}
        for index, item in enumerate(messages)
    ]


@SLOW
@given(data=st.data())
def test_equals_harmony(harmony: Client, family: dict[str, Renderer], data: st.DataObject) -> None:
    messages = data.draw(chats(True, True, begins_anyhow=True))
    tools = TOOLS if data.draw(st.booleans()) else []
    effort = data.draw(st.sampled_from(EFFORTS))
    renderer = family[effort]
    for count in range(1, len(messages) + 1):
        so_far = shown(messages[:count])
        theirs = harmony.run("harmony.rendered", messages=so_far, tools=tools, effort=effort)
        if so_far[-1]["role"] == "assistant":
            assert renderer.example(messages[:count], tools=tools).tokens == theirs["trained"]
        else:
            assert renderer.prompt(messages[:count], tools).to_ints() == theirs["prompt"]


@SLOW
@given(data=st.data())
def test_what_harmony_drops_of_a_turn_that_is_over_is_dropped(
    harmony: Client, family: dict[str, Renderer], data: st.DataObject
) -> None:
    """In chats of one answer and a new question; of longer ones harmony drops the first alone."""
    messages = data.draw(chats(True, True).filter(lambda chat: _answers(chat) == 1))
    messages = [*messages, {"role": "user", "content": "And?"}]
    theirs = harmony.run("harmony.rendered", messages=messages, tools=[], effort="low", drops=True)
    assert family["low"].prompt(messages).to_ints() == theirs["prompt"]


def _answers(messages: Messages) -> int:
    return sum(item["role"] == "assistant" and "tool_calls" not in item for item in messages)


@SLOW
@given(data=st.data())
def test_reads_what_harmony_reads(
    harmony: Client, family: dict[str, Renderer], data: st.DataObject
) -> None:
    renderer = family["medium"]
    messages = data.draw(chats(True, True))
    prompt = renderer.prompt(messages[:-1]).to_ints()
    sampled = renderer.example(messages).tokens[len(prompt) :]
    said = renderer.parse(sampled).message
    theirs = harmony.run("harmony.read", tokens=sampled)
    by_channel = {one["channel"]: one["text"] for one in theirs}
    assert said.get("reasoning_content", "") == by_channel.get("analysis", "")
    assert said["content"] == by_channel["final"]


def test_calls_are_read_wherever_their_tool_is_named(
    harmony: Client, family: dict[str, Renderer]
) -> None:
    """The model writes it before the channel or after it; harmony reads both."""
    renderer = family["medium"]
    control = renderer.vocabulary.number
    before = [*renderer.vocabulary.encode(" to=functions.add"), control("<|channel|>")]
    before += renderer.vocabulary.encode("commentary ")
    after = [control("<|channel|>"), *renderer.vocabulary.encode("commentary to=functions.add ")]
    rest = [control("<|constrain|>"), *renderer.vocabulary.encode("json"), control("<|message|>")]
    rest += [*renderer.vocabulary.encode('{"a": 1}'), control("<|call|>")]
    call = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    for sampled in (before + rest, after + rest):
        (theirs,) = harmony.run("harmony.read", tokens=sampled)
        assert (theirs["to"], theirs["text"]) == ("functions.add", '{"a": 1}')
        parsed = renderer.parse(sampled)
        assert (parsed.ending.value, parsed.message["tool_calls"]) == ("stop", [call])


_WORDS = st.sampled_from(["A number.", "é", 'says "so"', "two  words"])
_LEAVES = st.one_of(
    st.booleans(),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null"])},
        optional={
            "description": _WORDS,
            "title": _WORDS,
            "nullable": st.booleans(),
            "default": st.one_of(st.integers(), st.booleans(), st.none(), _WORDS, st.just([1, 2])),
            "examples": st.lists(_WORDS, max_size=2),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "enum": st.lists(_WORDS, max_size=3)},
        optional={"default": _WORDS},
    ),
    st.fixed_dictionaries({"type": st.just(["integer", "null"])}),
    st.fixed_dictionaries({"anyOf": st.just([{"type": "string"}, {"type": "null"}])}),
)


def _objects(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(st.sampled_from(["a", "b", "c"]), schemas, max_size=3),
            "required": st.lists(st.sampled_from(["a", "b"]), unique=True),
            "description": _WORDS,
            "additionalProperties": st.booleans(),
        },
    )


_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        _objects(inner),
        st.fixed_dictionaries({"type": st.just("array")}, optional={"items": inner}),
    ),
    max_leaves=6,
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_tools_are_declared_as_harmony_does(harmony: Client, data: st.DataObject) -> None:
    function = st.fixed_dictionaries(
        {"name": st.just("add")},
        optional={
            "description": st.sampled_from(["Adds.", "Two\nlines", ""]),
            "parameters": st.one_of(_objects(_SCHEMAS), st.just({})),
        },
    )
    functions = data.draw(st.lists(function, min_size=1, max_size=2))
    tools = [{"type": "function", "function": one} for one in functions]
    theirs = harmony.run("harmony.declared", tools=tools)
    ours = typescript.namespace("functions", [json.dumps(tool) for tool in tools])
    assert theirs == f"<|start|>developer<|message|># Tools\n\n{ours}<|end|>"
