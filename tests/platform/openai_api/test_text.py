"""Tokens, templates and text: as transformers has them, without transformers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from gpu_workers import nano
from openai_api.detokenizer import Detokenizer, ShownToken
from openai_api.templates import BadChat, ChatTemplate
from openai_api.vocabulary import NoTokenizer, Vocabulary

REPOSITORY = Path(__file__).resolve().parents[3]
NAMES = ("nano-qwen3", "nano-llama3")
WORDS = {name: Vocabulary(nano.folder(name)) for name in NAMES}
STRINGS = ["", "Hello", "Grüße 😀\n\tund\u0000 mehr", "<|im_end|> literal", "日本語 👩‍👩‍👧"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", STRINGS)
def test_tokens_are_those_of_transformers(name: str, text: str) -> None:
    theirs, ours = AutoTokenizer.from_pretrained(nano.folder(name)), WORDS[name]
    for special in (False, True):
        tokens = ours.encode(text, special=special)
        assert tokens == theirs.encode(text, add_special_tokens=special)
        assert ours.decode(tokens) == theirs.decode(tokens, skip_special_tokens=True)
    tokens = ours.encode(text, special=False)
    assert b"".join(map(ours.bytes_of, tokens)) == text.encode()


@pytest.mark.parametrize("name", NAMES)
def test_chats_are_those_of_transformers(name: str) -> None:
    theirs = AutoTokenizer.from_pretrained(nano.folder(name))
    messages = [
        {"role": "system", "content": " Be kind. "},
        {"role": "user", "content": "{{ messages }} ü"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "<b>"},
    ]
    for options in ({}, {"enable_thinking": False}):
        expected = theirs.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **options
        )
        assert WORDS[name].render(messages, None, options) == expected


@pytest.mark.parametrize("name", NAMES)
def test_what_ends_an_answer_is_what_the_engine_stops_at(name: str) -> None:
    config = json.loads((nano.folder(name) / "generation_config.json").read_text())
    assert WORDS[name].end_tokens == set(config["eos_token_id"])


def test_templates_as_models_bring_them() -> None:
    template = ChatTemplate(
        """{{ bos_token }}
{%- for tool in tools or [] %}
    {{- tool | tojson }}
{%- endfor %}
{%- set found = namespace(last=none) %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}{% continue %}{% endif %}
    {%- if message.role == 'assistant' %}{% generation %}{{ message.content }}{% endgeneration %}
    {%- endif %}
    {%- if message.tool_calls is defined -%}
        {{ message.tool_calls[0].function.arguments.a }}
    {%- endif %}
    {%- set found.last = message.role %}
{%- endfor %}
{{- found.last }}{{ '>' if add_generation_prompt }}""",
        {"bos_token": "<s>"},
    )
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "<a>"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": {"a": 7}}}]},
        {"role": "tool", "content": "x"},
    ]
    tools = [{"type": "function", "function": {"name": "é<"}}]
    rendered = template.render(messages, tools, {})
    assert rendered.split() == [
        '<s>{"type":',
        '"function",',
        '"function":',
        '{"name":',
        '"é<"}}<a>7assistant>',
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% for a in range(9999999) %}x{% endfor %}", "range"),
        (
            "{% for a in range(9000) %}{% for b in range(9000) %}xxxx{% endfor %}{% endfor %}",
            "char",
        ),
    ],
)
def test_templates_cannot_do_what_they_like(source: str, says: str) -> None:
    with pytest.raises(BadChat) as caught:
        ChatTemplate(source, {}).render([{"role": "user", "content": "a"}], None, {})
    assert says in str(caught.value)


def test_templates_by_name_and_without(tmp_path: Path) -> None:
    tokenizer = (nano.folder("nano-qwen3") / "tokenizer.json").read_text()
    (tmp_path / "tokenizer.json").write_text(tokenizer)
    bare = Vocabulary(tmp_path)
    assert bare.end_tokens == frozenset()
    with pytest.raises(NoTokenizer, match="no chat template"):
        bare.render([], None, {})
    templates = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "tools"},
    ]
    config = {"chat_template": templates, "eos_token": {"content": "<|im_end|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    # files are remembered by their time of change
    os.utime(tmp_path / "tokenizer_config.json", (1, 1))
    named = Vocabulary(tmp_path)
    assert named.render([], None, {}) == "plain"
    assert named.render([], [{}], {}) == "tools"
    assert named.end_tokens == {441}


@given(
    name=st.sampled_from(NAMES),
    tokens=st.lists(st.integers(0, 447), max_size=40)
    | st.text(max_size=20).map(lambda text: WORDS["nano-qwen3"].encode(text, special=False)),
    cuts=st.lists(st.integers(1, 5), max_size=40),
    stops=st.lists(st.text(st.sampled_from("ab e\ufffdé"), min_size=1, max_size=3), max_size=3),
    lead=st.sampled_from(["", " ", "ab"]),
)
def test_pieces_add_up_whatever_the_cuts(
    name: str, tokens: list[int], cuts: list[int], stops: list[str], lead: str
) -> None:
    whole = Detokenizer(WORDS[name], stops, lead=lead)
    whole.feed(tokens)
    expected = whole.take(final=True)

    pieces = Detokenizer(WORDS[name], stops, lead=lead)
    text, shown, rest = "", list[ShownToken](), list(tokens)
    for cut in [*cuts, len(tokens) + 1]:
        pieces.feed(rest[:cut])
        rest = rest[cut:]
        piece = pieces.take()
        assert not pieces.stopped or not any(stop in text + piece.text for stop in stops)
        text += piece.text
        shown += piece.tokens
    last = pieces.take(final=True)
    assert text + last.text == expected.text
    assert shown + last.tokens == expected.tokens
    assert not any(stop in expected.text for stop in stops)
    expected.text.encode()
    if not stops and "\ufffd" not in expected.text:
        assert expected.text == WORDS[name].decode(tokens).removeprefix(lead)


def test_characters_wait_for_their_bytes() -> None:
    words = WORDS["nano-qwen3"]
    told = Detokenizer(words, [])
    pieces = []
    for token in words.encode("é😀", special=False):
        told.feed([token])
        pieces.append(told.take().text)
    assert [piece for piece in pieces if piece] == ["é", "😀"]
    assert told.take(final=True).text == ""


def test_what_may_be_a_stop_string_waits() -> None:
    words = WORDS["nano-qwen3"]
    told = Detokenizer(words, ["xyz"])
    told.feed(words.encode("a xy", special=False))
    assert told.take().text == "a "
    told.feed(words.encode("w", special=False))
    assert told.take().text == "xyw"


def test_the_web_process_tokenizes_without_torch() -> None:
    """Loading a vocabulary, rendering and decoding bring in no model library."""
    program = f"""
import sys
sys.path[:0] = [{str(REPOSITORY / "platform")!r}, {str(REPOSITORY)!r}]
import config.asgi
assert "tokenizers" not in sys.modules
from pathlib import Path
from openai_api.vocabulary import Vocabulary
words = Vocabulary(Path({str(nano.folder("nano-qwen3"))!r}))
text = words.render([{{"role": "user", "content": "Hi"}}], None, {{}})
assert words.decode(words.encode(text, special=True))
heavy = {{"torch", "transformers", "peft", "safetensors"}}
print(*(heavy & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
