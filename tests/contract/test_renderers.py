"""Our renderers beside what others have made of the same families, token for token.

Chat templates come from the wheel of `trl`, which ships copies of those that models have. The
public cookbook's renderers run in its own Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.clients import Client, pip_install, virtual_environment
from tests.contract.cookbook import COOKBOOK
from tests.support.chats import TOOLS, Messages, chats, tokenizer, with_template
from tinsmith import renderers

TEMPLATES = "trl==1.16.0"
# (our name, the template, what it is given, thinks, calls)
SHIPPED = [
    ("llama3", "llama3", {}, False, False),
    ("qwen2_5", "qwen2_5", {}, False, True),
    ("qwen3_instruct", "qwen3_instruct_2507", {}, False, True),
    ("qwen3", "qwen3", {}, True, True),
    ("qwen3_disable_thinking", "qwen3", {"enable_thinking": False}, False, True),
]
THE_COOKBOOKS = [
    "role_colon",
    "llama3",
    "qwen3",
    "qwen3_disable_thinking",
    "qwen3_instruct",
    "deepseekv3",
    "deepseekv3_thinking",
    "kimi_k2",
]
SLOW = settings(max_examples=80, deadline=None)


def templates() -> Path:
    """The folder of a Python that has the templates."""

    def fill(folder: Path) -> None:
        pip_install(folder, "--no-deps", TEMPLATES)

    return Path(virtual_environment(TEMPLATES, fill)).parents[1]


@cache
def template(name: str) -> str:
    """A chat template as it is shipped."""
    (found,) = templates().glob(f"lib/*/site-packages/trl/chat_templates/{name}.jinja")
    return found.read_text()


def by_template(name: str, shipped: str, messages: Messages, **options: Any) -> list[int]:
    tokens: list[int] = tokenizer(name).apply_chat_template(
        messages, chat_template=template(shipped), tokenize=True, return_dict=False, **options
    )
    return tokens


@pytest.mark.parametrize(("name", "shipped", "options", "thinks", "calls"), SHIPPED)
@SLOW
@given(data=st.data())
def test_equals_the_familys_template(
    name: str,
    shipped: str,
    options: dict[str, Any],
    thinks: bool,
    calls: bool,
    data: st.DataObject,
) -> None:
    renderer = renderers.get(name, tokenizer(name))
    messages = data.draw(chats(thinks, calls))
    tools = TOOLS if calls and data.draw(st.booleans()) else None
    for count in range(1, len(messages)):
        if messages[count - 1]["role"] == "assistant":
            continue
        shown = messages[:count]
        if options and shown[-1]["role"] == "system":
            continue  # there is no message of the user's yet
        ours = renderer.prompt(shown, tools).to_ints()
        options_too = {"tools": tools, "add_generation_prompt": True, **options}
        assert ours == by_template(name, shipped, shown, **options_too)
    example = renderer.example(messages, tools=tools)
    line_end = [] if name == "llama3" else renderer.vocabulary.encode("\n")
    whole = by_template(name, shipped, messages, tools=tools)
    assert example.tokens + line_end == whole


@pytest.mark.parametrize(
    ("name", "shipped", "thinks", "calls"), [(row[0], row[1], *row[3:]) for row in SHIPPED[:4]]
)
@SLOW
@given(data=st.data())
def test_a_template_that_is_taken_as_it_is_equals_the_family(
    name: str, shipped: str, thinks: bool, calls: bool, data: st.DataObject
) -> None:
    """Also where texts hold what are control tokens elsewhere."""
    known = renderers.get(name, tokenizer(name))
    taken = renderers.get("chat_template", with_template(name, template(shipped)))
    messages = data.draw(chats(thinks, calls, with_controls=True))
    tools = TOOLS if calls and data.draw(st.booleans()) else None
    assert taken.prompt(messages[:-1], tools) == known.prompt(messages[:-1], tools)
    assert taken.example(messages, tools=tools) == known.example(messages, tools=tools)
    prompt = known.prompt(messages[:-1], tools).to_ints()
    said = known.example(messages, tools=tools).tokens[len(prompt) :]
    assert taken.stop == known.stop
    assert taken.parse(said) == known.parse(said)


@pytest.mark.parametrize("shipped", ["deepseek_r1_distill", "deepseekv3"])
def test_a_template_that_opens_thinking_and_leaves_it_out_is_refused(shipped: str) -> None:
    """What DeepSeek-R1's would train is never sampled."""
    own = with_template("deepseekv3", template(shipped))
    with pytest.raises(ValueError, match="writes a chat in another way than the prompt for it"):
        renderers.for_model("deepseek-ai/DeepSeek-R1", own)


@pytest.fixture(scope="module")
def cookbook() -> Iterator[Client]:
    """A process that has the cookbook; its renderers ask no server."""
    running = Client(COOKBOOK, "http://127.0.0.1:9", "tml-none")
    yield running
    running.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tokenizers of the families, where the cookbook finds them."""
    found = {}
    for name in THE_COOKBOOKS:
        found[name] = str(tmp_path_factory.mktemp(name))
        tokenizer(name).save_pretrained(found[name])
    return found


LAST = ["last_assistant_message"]
AS_IT_STANDS = [*LAST, "all_messages", "all_tokens", "all_user_and_system_messages"]
EVERY = [*AS_IT_STANDS, "all_assistant_messages"]
MODES = {
    "role_colon": EVERY,
    "llama3": EVERY,
    "qwen3_instruct": EVERY,
    # of several messages of the assistant's it only warns
    "qwen3": AS_IT_STANDS,
    # where more than the last has weight, it gives weight to the empty block of its prompt, too
    "qwen3_disable_thinking": LAST,
    "deepseekv3": EVERY,
    "deepseekv3_thinking": LAST,
    # it gives weight to its own system's text, too, as if the chat had it
    "kimi_k2": [*LAST, "all_tokens"],
}


@pytest.mark.parametrize("name", THE_COOKBOOKS)
@SLOW
@given(data=st.data())
def test_equals_the_cookbooks_renderer(
    name: str, cookbook: Client, folders: dict[str, str], data: st.DataObject
) -> None:
    renderer = renderers.get(name, tokenizer(name))
    thinks = name in ("qwen3", "deepseekv3_thinking", "kimi_k2")
    messages = data.draw(chats(thinks).map(_without_edges))
    if name.startswith("deepseekv3"):  # where the cookbook writes no end after an empty text
        messages = [{**item, "content": item["content"] or "a"} for item in messages]
    train_on = data.draw(st.sampled_from(MODES[name]))
    theirs = cookbook.run(
        "cookbook_renderers.rendered",
        name=name,
        folder=folders[name],
        messages=messages,
        train_on=train_on,
    )
    ours = renderer.example(messages, train_on)
    assert renderer.prompt(messages[:-1]).to_ints() == theirs["prompt"]
    assert ours.tokens == theirs["tokens"]
    # A first token is predicted by nothing; the cookbook gives it no weight where it opens a chat
    assert ours.weights[1:] == theirs["weights"][1:]


def _without_edges(messages: Messages) -> Messages:
    """Texts without white space around them: there the cookbook and the template differ."""
    return [
        {**item, "content": str(item["content"]).strip().replace("User:", "")} for item in messages
    ]


def test_calls_equal_the_cookbooks(cookbook: Client, folders: dict[str, str]) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": json.dumps({"a": 1})}}
    messages = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "content": "So:", "tool_calls": [call, call]},
        {"role": "tool", "content": "2", "name": "add", "tool_call_id": "add:0"},
        {"role": "assistant", "content": "2", "tool_calls": [call]},
    ]
    for name in ("kimi_k2", "deepseekv3", "qwen3_instruct", "qwen3_disable_thinking", "qwen3"):
        renderer = renderers.get(name, tokenizer(name))
        theirs = cookbook.run(
            "cookbook_renderers.rendered",
            name=name,
            folder=folders[name],
            messages=messages,
            train_on="last_assistant_message",
        )
        ours = renderer.example(messages)
        assert (ours.tokens, ours.weights) == (theirs["tokens"], theirs["weights"]), name


@pytest.mark.parametrize("name", ["kimi_k2", "deepseekv3", "qwen3_instruct", "qwen3"])
def test_tools_are_declared_as_the_cookbook_does(
    name: str, cookbook: Client, folders: dict[str, str]
) -> None:
    function = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}] * 2
    theirs = cookbook.run(
        "cookbook_renderers.declared",
        name=name,
        folder=folders[name],
        tools=[function, function],
        system="Be brief.",
    )
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert renderers.get(name, tokenizer(name)).prompt(asked, tools).to_ints() == theirs
