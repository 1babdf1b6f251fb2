"""What would be ignored is refused by name; null, and what asks for nothing, is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsBase as CompletionParams
from tokenizers import Tokenizer

from catalog.models import BaseModel
from gpu_workers import nano
from openai_api import chats, schemas
from openai_api.errors import Refused
from openai_api.vocabulary import Vocabulary
from tests.platform.openai_api.conftest import BASE_MODEL, Worker
from tests.platform.openai_api.test_refusals import refusal
from tests.platform.openai_api.tokenizers_of_all_kinds import THINKING, with_template

HI = {"role": "user", "content": "Hi"}
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
CALL = {
    "id": "1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
}
CALLED = [
    HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "rain", "tool_call_id": "1"},
]
NAMES = {
    "chat/completions": (ChatParams, {"messages": [HI]}),
    "completions": (CompletionParams, {"prompt": "Hi"}),
}
ONLY_CHAT = {*schemas.Chat.__struct_fields__} - {*schemas.Completion.__struct_fields__}
ONLY_TEXT = {*schemas.Completion.__struct_fields__} - {*schemas.Chat.__struct_fields__}
OTHERS = {"chat/completions": ONLY_TEXT, "completions": ONLY_CHAT}
NULLS = [
    (route, name)
    for route, (params, _) in NAMES.items()
    for name in sorted(
        {*params.__annotations__, "stream", *(schemas.NEUTRAL.keys() - OTHERS[route])}
    )
    if name not in ("model", "messages", "prompt")
]


@pytest.mark.parametrize(("route", "name"), NULLS)
async def test_null_means_left_out(
    api: httpx.AsyncClient, worker: Worker, route: str, name: str
) -> None:
    """For every field of OpenAI's API, and for those of other servers that are known here."""
    body = {"model": BASE_MODEL, "max_tokens": 2, name: None} | NAMES[route][1]
    response = await api.post(route, json=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "more",
    [
        {name: value}
        for name, values in schemas.NEUTRAL.items()
        for value in values
        if name not in ONLY_TEXT
    ],
    ids=str,
)
async def test_what_asks_for_nothing_is_taken(
    api: httpx.AsyncClient, worker: Worker, more: dict[str, Any]
) -> None:
    body = {"model": BASE_MODEL, "max_tokens": 2, "messages": [HI]} | more
    response = await api.post("chat/completions", json=body)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    "more",
    [
        {"min_p": 0.1},
        {"repetition_penalty": 1.1},
        {"min_tokens": 1},
        {"ignore_eos": True},
        {"parallel_tool_calls": False},
        {"functions": [{"name": "f"}]},
        {"function_call": {"name": "f"}},
        {"prediction": {"type": "content", "content": "x"}},
        {"reasoning_effort": "high"},
        {"verbosity": "low"},
        {"web_search_options": {}},
        {"audio": {"voice": "a"}},
    ],
    ids=str,
)
async def test_what_asks_for_something_is_refused_by_name(
    api: httpx.AsyncClient, base_model: BaseModel, more: dict[str, Any]
) -> None:
    ((name, _),) = more.items()
    body = {"model": BASE_MODEL, "messages": [HI]} | more
    error = await refusal(await api.post("chat/completions", json=body), 400)
    assert error["param"] == name
    assert "leave it out" in error["message"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"messages": CALLED}, "messages[1].tool_calls"),
        (
            {"messages": [HI, {"role": "assistant", "content": "x", "reasoning_content": "y"}]},
            "messages[1].reasoning_content",
        ),
        ({"messages": [HI | {"name": "Ada"}]}, "messages[0].name"),
        ({"chat_template_kwargs": {"enable_thinkign": False}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
        ({"messages": [HI | {"refusal": "no"}]}, "messages[0].refusal"),
        ({"messages": [HI | {"annotations": [{"a": 1}]}]}, "messages[0].annotations"),
        (
            {"messages": [HI | {"content": [{"type": "text", "text": "a", "cache": True}]}]},
            "messages[0].content",
        ),
    ],
)
async def test_what_the_template_would_ignore_is_refused_by_name(
    api: httpx.AsyncClient, base_model: BaseModel, more: dict[str, Any], param: str
) -> None:
    body = {"model": BASE_MODEL, "messages": [HI]} | more
    error = await refusal(await api.post("chat/completions", json=body), 400)
    assert error["param"] == param


async def test_a_misspelt_option_is_told_what_there_is(
    api: httpx.AsyncClient, worker: Worker
) -> None:
    body = {"model": BASE_MODEL, "messages": [HI], "chat_template_kwargs": {"enable_thinkign": 1}}
    error = await refusal(await api.post("chat/completions", json=body), 400)
    assert "'enable_thinkign'" in error["message"]
    assert "enable_thinking" in error["message"].split("reads")[1]
    body["chat_template_kwargs"] = {"enable_thinking": False}
    assert (await api.post("chat/completions", json=body)).status_code == 200


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"type": "function"}, "function"),
        ({"type": "function", "function": {"name": "f", "paramters": {}}}, "paramters"),
        ({"type": "retrieval", "function": {"name": "f"}}, "retrieval"),
        ({"type": "function", "function": {"name": "f", "strict": True}}, "strict"),
    ],
)
async def test_a_tool_that_is_none_is_refused_by_name(
    api: httpx.AsyncClient, base_model: BaseModel, tool: dict[str, Any], says: str
) -> None:
    body = {"model": BASE_MODEL, "messages": [HI], "tools": [tool]}
    error = await refusal(await api.post("chat/completions", json=body), 400)
    assert says in error["message"]
    assert error["param"].startswith("tools")


def asked(messages: list[dict[str, Any]], **more: Any) -> schemas.Chat:
    """A chat as it is read."""
    return msgspec.convert({"model": "m", "messages": messages, **more}, schemas.Chat)


def text_of(words: Vocabulary, wanted: schemas.Chat, folder: Path) -> str:
    """What the model is shown."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return tokenizer.decode(chats.prompt_of(words, wanted), skip_special_tokens=False)


def test_a_template_that_knows_tools_shows_them() -> None:
    folder = with_template(THINKING)
    words = Vocabulary(folder)
    messages = [HI | {"name": "Ada"}, *CALLED[1:], HI]
    shown = text_of(words, asked(messages, tools=[TOOL]), folder)
    assert '"name": "weather", "parameters": {"type": "object", "properties": {}}' in shown
    assert '{"name": "weather", "arguments": {"city": "Oslo"}}' in shown
    assert "<tool_response>\nrain\n</tool_response>" in shown
    assert "user(Ada)" in shown
    hidden = text_of(words, asked(messages, tools=[TOOL], tool_choice="none"), folder)
    assert '"parameters"' not in hidden


EACH = "{% for m in messages %}"
# reads the name of a function, and no name of a message
NAMELESS = (
    EACH + "{{ m.content }}{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
    "{% endfor %}"
)
FIRST_CALL = EACH + "{{ m.content }}{{ m.tool_calls[0].function.name if m.tool_calls }}{% endfor %}"
CALLS_INSTEAD = EACH + "{{ m.tool_calls | tojson if m.tool_calls else m.content }}{% endfor %}"
USERS_ONLY = EACH + "{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"


def called(content: str, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    """A chat whose assistant calls tools."""
    return [HI, {"role": "assistant", "content": content, "tool_calls": list(calls)}]


@pytest.mark.parametrize(
    ("template", "messages", "param"),
    [
        (NAMELESS, [HI | {"name": "Ada"}], "messages[0].name"),
        (FIRST_CALL, called("", CALL, CALL), "messages[1].tool_calls"),
        (CALLS_INSTEAD, called("I look", CALL), "messages[1].content"),
        (USERS_ONLY, [{"role": "developer", "content": "be kind"}, HI], "messages[0]"),
    ],
    ids=["no names", "one call", "calls instead of words", "users only"],
)
def test_what_only_some_templates_ignore_is_found_out(
    template: str, messages: list[dict[str, Any]], param: str
) -> None:
    words = Vocabulary(with_template(template))
    with pytest.raises(Refused) as caught:
        chats.prompt_of(words, asked(messages))
    assert caught.value.param == param


HELPFUL = "You are a helpful assistant."
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}system: " + HELPFUL + "\n{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
)
SYSTEM_IF_ANY = (
    EACH + "{% if m.role != 'system' or m.content %}{{ m.role }}: {{ m.content }}\n{% endif %}"
    "{% endfor %}"
)
# as templates of thinking models do with earlier turns
THOUGHTLESS = (
    EACH + "{{ m.content.split('</think>')[-1].strip() }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}{% endfor %}"
)
THOUGHT = "<think>\nI look it up\n</think>\n\n"


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        (DEFAULT_SYSTEM, [{"role": "system", "content": HELPFUL}, HI]),
        (DEFAULT_SYSTEM, [{"role": "developer", "content": HELPFUL}, HI]),
        (SYSTEM_IF_ANY, [{"role": "system", "content": ""}, HI]),
        (THOUGHTLESS, called(THOUGHT, CALL)),
        (CALLS_INSTEAD, called("\n\n", CALL)),
        (NAMELESS, [HI | {"name": ""}]),
        (NAMELESS, [HI, {"role": "assistant", "content": "x", "reasoning_content": ""}, HI]),
    ],
    ids=[
        "the default system message",
        "the default from a developer",
        "no system message",
        "thoughts beside a call",
        "white space beside a call",
        "no name",
        "no thoughts",
    ],
)
def test_what_changes_nothing_although_the_template_reads_it_is_taken(
    template: str, messages: list[dict[str, Any]]
) -> None:
    """Among them the commonest system message of all, which many templates have as default."""
    assert chats.prompt_of(Vocabulary(with_template(template)), asked(messages))


def test_a_template_that_cannot_be_read_is_refused_and_prompts_are_not() -> None:
    words = Vocabulary(with_template("{% for %}"))
    with pytest.raises(Refused, match="cannot be read"):
        chats.prompt_of(words, asked([HI]))
    assert words.encode("Hi", special=True)


def test_the_nano_templates_are_as_they_were() -> None:
    for name in ("nano-qwen3", "nano-llama3"):
        words = Vocabulary(nano.folder(name))
        expected = words.encode(words.render([HI], None, {}), special=False)
        assert chats.prompt_of(words, asked([HI])) == expected
