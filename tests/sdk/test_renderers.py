"""What holds for every renderer, whatever a chat says."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinsmith
from tests.support.chats import (
    NANO,
    TOOLS,
    Messages,
    answers,
    chats,
    nano,
    texts,
    tokenizer,
    with_template,
)
from tinsmith import renderers
from tinsmith.renderers import Ending, Renderer, TrainOnWhat

QUICK = settings(max_examples=60, deadline=None)
# Of the three of gpt-oss one; they differ in a word, as a test below says
EVERY = sorted(renderers.FAMILIES.keys() - {"gpt_oss_low", "gpt_oss_high"})
THINKS = {"gpt_oss_medium", "mistral_v13", "kimi_k2", "qwen3", "deepseekv3_thinking"}
CALLS = {
    *("mistral_v3", "mistral_v7", "mistral_v11", "mistral_v13"),
    "gpt_oss_medium",
    "deepseekv3",
    "kimi_k2",
    "qwen2_5",
    "qwen3",
    "qwen3_instruct",
    "qwen3_disable_thinking",
}
EXTENDS = {name for name in EVERY if renderers.FAMILIES[name].extends}


@cache
def made(name: str) -> Renderer:
    if name == "chat_template":
        template = (NANO / "nano-qwen3" / "chat_template.jinja").read_text()
        return renderers.get(name, with_template(name, template))
    return renderers.get(name, tokenizer(name))


def some(name: str, with_controls: bool = False) -> st.SearchStrategy[Messages]:
    found = chats(name in THINKS, name in CALLS, with_controls, begins_anyhow=True)
    if name == "mistral_v3":  # which says nothing beside its calls
        found = found.map(
            lambda messages: [
                {**item, "content": ""} if "tool_calls" in item else item for item in messages
            ]
        )
    return found.filter(lambda messages: is_written(name, messages))


def is_written(name: str, messages: Messages) -> bool:
    """Whether the family can express it: role_colon's stop may be in no answer."""
    said = [str(item["content"]) for item in messages if item["role"] == "assistant"]
    return name != "role_colon" or not any("User:" in text for text in said)


def plain(message: dict[str, Any], name: str) -> tuple[Any, ...]:
    """What has to come back: up to what the family's template drops."""
    content = message["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    if name == "llama3":
        text = text.strip()
    elif name.startswith("mistral") and message["role"] == "assistant":
        text = text.rstrip(" ")
    elif name in ("qwen3", "qwen3_disable_thinking"):
        text = text.lstrip("\n")
    calls = [
        (call["function"]["name"], arguments(call["function"]["arguments"]))
        for call in message.get("tool_calls", [])
    ]
    return text, message.get("reasoning_content", ""), calls


def arguments(given: Any) -> Any:
    return json.loads(given) if isinstance(given, str) else given


@pytest.mark.parametrize("name", EVERY)
@QUICK
@given(data=st.data())
def test_the_trained_part_begins_right_after_the_prompt(name: str, data: st.DataObject) -> None:
    renderer, messages = made(name), data.draw(some(name, with_controls=True))
    prompt = renderer.prompt(messages[:-1]).to_ints()
    example = renderer.example(messages)
    assert example.tokens[: len(prompt)] == prompt
    assert example.weights == [0.0] * len(prompt) + [1.0] * (len(example.tokens) - len(prompt))
    assert len(example.tokens) > len(prompt)


@pytest.mark.parametrize("name", EVERY)
@QUICK
@given(data=st.data())
def test_what_is_rendered_is_read_back(name: str, data: st.DataObject) -> None:
    renderer, messages = made(name), data.draw(some(name, with_controls=True))
    prompt = renderer.prompt(messages[:-1]).to_ints()
    parsed = renderer.parse(renderer.example(messages).tokens[len(prompt) :])
    assert parsed.ending is Ending.STOP
    assert plain(parsed.message, name) == plain(messages[-1], name)
    again = renderer.example([*messages[:-1], parsed.message])
    assert plain(messages[-1], name)[2] or again == renderer.example(messages)


@pytest.mark.parametrize("name", sorted(CALLS))
@QUICK
@given(data=st.data())
def test_calls_are_read_back(name: str, data: st.DataObject) -> None:
    renderer = made(name)
    full = data.draw(some(name))
    for index, message in enumerate(full):
        if "tool_calls" in message:
            messages = full[: index + 1]
            prompt = renderer.prompt(messages[:-1], TOOLS).to_ints()
            example = renderer.example(messages, tools=TOOLS)
            assert example.tokens[: len(prompt)] == prompt
            parsed = renderer.parse(example.tokens[len(prompt) :])
            assert parsed.ending is Ending.STOP
            assert plain(parsed.message, name) == plain(message, name)


@pytest.mark.parametrize("name", EVERY)
@QUICK
@given(data=st.data())
def test_text_never_becomes_a_control_token(name: str, data: st.DataObject) -> None:
    """Control tokens are as many, and the same, as in the chat whose texts are all letters."""
    renderer, messages = made(name), data.draw(some(name, with_controls=True))
    known = tokenizer(name).get_added_vocab().values()
    harmless = [dict(item) for item in messages]
    for item in harmless:
        item["content"] = "a" if plain(item, name)[0] else ""
    controls = [
        [token for token in renderer.example(chat).tokens if token in known]
        for chat in (messages, harmless)
    ]
    assert controls[0] == controls[1]


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("train_on", ["all_assistant_messages", "last_assistant_turn"])
@QUICK
@given(data=st.data())
def test_every_trained_message_follows_the_prompt_it_is_sampled_after(
    name: str, train_on: str, data: st.DataObject
) -> None:
    renderer, messages = made(name), data.draw(some(name))
    users = [index for index, item in enumerate(messages) if item["role"] == "user"]
    first = 0 if train_on == "all_assistant_messages" else users[-1]
    ones = [
        (renderer.prompt(messages[:index]).to_ints(), renderer.example(messages[: index + 1]))
        for index in range(first, len(messages))
        if messages[index]["role"] == "assistant"
    ]
    examples = renderer.examples(messages, train_on)
    assert name not in EXTENDS or len(examples) == 1
    trained = 0
    for example in examples:
        for prompt, one in ones:
            body = one.tokens[len(prompt) :]
            if name == "role_colon":  # whose last message alone has all of its stop
                body = body[: len(body) - len(renderer.vocabulary.encode("User:"))]
            end = len(prompt) + len(body)
            if example.tokens[:end] == prompt + body and any(example.weights[len(prompt) : end]):
                assert example.weights[len(prompt) : end] == [1.0] * len(body)
                trained += len(body)
    total = sum(sum(example.weights) for example in examples)
    last = len(renderer.vocabulary.encode("User:")) if name == "role_colon" else 0
    assert trained + last == total
    assert total == sum(sum(one.weights) for _, one in ones) - last * (len(ones) - 1)


@pytest.mark.parametrize("name", sorted({*EVERY} - {"chat_template"}))
@QUICK
@given(data=st.data())
def test_modes_weigh_the_messages_they_name(name: str, data: st.DataObject) -> None:
    renderer, messages = made(name), data.draw(some(name))
    by_mode = {
        what: renderer.example(messages, what)
        for what in ("all_messages", "all_tokens", "all_user_and_system_messages")
    }
    tokens = by_mode["all_tokens"].tokens
    assert all(example.tokens == tokens for example in by_mode.values())
    assert set(by_mode["all_tokens"].weights) == {1.0}
    own = [{**item, "trainable": item["role"] in ("user", "system")} for item in messages]
    customized = renderer.example(own, "customized")
    count = len(customized.tokens)
    expected = by_mode["all_user_and_system_messages"].weights
    if name in EXTENDS:
        assert customized.weights == expected[:count]
    assert sum(customized.weights) == sum(expected)
    assert sum(expected) > 0 or name.startswith("deepseekv3")  # a user's empty text is no token
    everyone = zip(by_mode["all_messages"].weights, expected, strict=True)
    assert all(all_of_them >= users for all_of_them, users in everyone)


@pytest.mark.parametrize("name", EVERY)
@QUICK
@given(data=st.data())
def test_a_prefill_is_where_the_message_goes_on(name: str, data: st.DataObject) -> None:
    renderer, messages = made(name), data.draw(some(name))
    begins, goes_on = data.draw(answers()), data.draw(texts())
    prompt = renderer.prompt(messages[:-1]).to_ints()
    with_prefill = renderer.prompt(messages[:-1], prefill=begins).to_ints()
    assert with_prefill[: len(prompt)] == prompt
    channel = "<|channel|>final<|message|>" if begins and name.startswith("gpt_oss") else ""
    assert renderer.vocabulary.decode(with_prefill[len(prompt) :]) == channel + begins
    sampled = renderer.vocabulary.encode(goes_on)
    stopped = renderer.parse(sampled, prefill=begins)
    assert stopped.ending is Ending.CUT_OFF
    text = plain(stopped.message, "")[int(name == "deepseekv3_thinking")]  # which thinks first
    if name == "role_colon":
        assert text == (begins + goes_on).removeprefix(" ").removesuffix("\n\n")
    else:
        assert text == begins + goes_on


@pytest.mark.parametrize("kind", ["nano-qwen3", "nano-llama3"])
@QUICK
@given(data=st.data())
def test_the_nano_models_chats_are_those_of_their_templates(kind: str, data: st.DataObject) -> None:
    own = nano(kind)
    renderer = renderers.for_model(NANO / kind)
    messages = data.draw(chats())
    prompt = own.apply_chat_template(
        messages[:-1], add_generation_prompt=True, tokenize=True, return_dict=False
    )
    whole = own.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert renderer.prompt(messages[:-1]).to_ints() == prompt
    line_end = own.encode("\n", add_special_tokens=False) if kind == "nano-qwen3" else []
    assert renderer.example(messages).tokens + line_end == whole


def test_a_model_without_tokens_of_its_own_for_marks_reads_them_as_text() -> None:
    bare = renderers.get("qwen3", without_marks())
    calls = [{"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]
    said = {
        "role": "assistant",
        "content": "Two.",
        "reasoning_content": "1 + 1",
        "tool_calls": calls,
    }
    asked = [{"role": "user", "content": "1 + 1?"}]
    prompt = bare.prompt(asked).to_ints()
    assert bare.parse(bare.example([*asked, said]).tokens[len(prompt) :]).message == said


def without_marks() -> Any:
    from tokenizers import Tokenizer

    layout = json.loads(tokenizer("qwen3").backend_tokenizer.to_str())
    layout["added_tokens"] = [item for item in layout["added_tokens"] if item["special"]]
    return Tokenizer.from_str(json.dumps(layout))


@pytest.mark.parametrize(
    ("said", "ending", "message"),
    [
        ("Hello{end}", "stop", {"content": "Hello"}),
        ("Hello<|endoftext|>", "end_of_text", {"content": "Hello"}),
        ("Hello", "cut_off", {"content": "Hello"}),
        ("Hello{end}more", "malformed", {"content": "Hello"}),
        ("<think>\nHm", "cut_off", {"content": "", "reasoning_content": "Hm"}),
        ("<think>\nHm{end}", "malformed", {"content": "", "reasoning_content": "Hm"}),
        ("<think>\nHm\n</think>\n\nA{end}", "stop", {"content": "A", "reasoning_content": "Hm"}),
        ("<think>\n\n</think>\n\nA{end}", "stop", {"content": "A"}),
        ("A<|im_start|>B{end}", "malformed", {"content": "A<|im_start|>B"}),
    ],
)
def test_how_a_sample_ended(said: str, ending: str, message: dict[str, Any]) -> None:
    tokens = tokenizer("qwen3").encode(said.format(end="<|im_end|>"), add_special_tokens=False)
    parsed = made("qwen3").parse(tokens)
    assert parsed.ending.value == ending
    assert parsed.message == {"role": "assistant", **message}


@pytest.mark.parametrize(
    "call", ['{"name": "add"}', "no JSON", '["add"]', '{"name": 1, "arguments": {}}', "[" * 5000]
)
def test_a_call_that_cannot_be_read_is_told_as_it_is(call: str) -> None:
    said = f"A\n<tool_call>\n{call}\n</tool_call><|im_end|>"
    tokens = tokenizer("qwen3").encode(said, add_special_tokens=False)
    parsed = made("qwen3").parse(tokens)
    (unread,) = parsed.message["unparsed_tool_calls"]
    assert unread["text"] == f"<tool_call>\n{call}\n</tool_call>"
    assert unread["error"]
    assert parsed.message["content"] == "A"
    with pytest.raises(ValueError, match=r"messages\[1\] has calls that could not be read"):
        made("qwen3").example([{"role": "user", "content": "?"}, parsed.message])


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        (" Hello\n\nUser:", "stop"),
        (" Hello<|im_end|>", "end_of_text"),
        (" Hello", "cut_off"),
        (" Hello\n\nUser:<|im_end|>", "malformed"),
        (" Hello\n\nUser: more\n\nUser:", "malformed"),
    ],
)
def test_how_plain_text_ended(said: str, ending: str) -> None:
    tokens = tokenizer("role_colon").encode(said, add_special_tokens=False)
    parsed = made("role_colon").parse(tokens)
    assert (parsed.ending.value, parsed.message["content"]) == (ending, "Hello")


@pytest.mark.parametrize(
    ("said", "ending", "message"),
    [
        ("{final}Hello<|return|>", "stop", {"content": "Hello"}),
        ("{final}Hello", "cut_off", {"content": "Hello"}),
        ("{final}Hello<|end|>", "cut_off", {"content": "Hello"}),
        ("{final}Hello<|endoftext|>", "end_of_text", {"content": "Hello"}),
        ("{final}A<|return|>B", "malformed", {"content": "A"}),
        ("{thinks}Hm", "cut_off", {"content": "", "reasoning_content": "Hm"}),
        ("{thinks}Hm<|return|>", "malformed", {"content": "", "reasoning_content": "Hm"}),
        ("{thinks}Hm{next}{final}A<|return|>", "stop", {"content": "A", "reasoning_content": "Hm"}),
        ("Hello<|return|>", "malformed", {"content": "Hello"}),
        ("{final}A{next}{final}B<|return|>", "malformed", {"content": "AB"}),
        ("<|channel|>else<|message|>A<|return|>", "malformed", {"content": "A"}),
    ],
)
def test_how_a_sample_of_channels_ended(said: str, ending: str, message: dict[str, Any]) -> None:
    written = said.format(
        final="<|channel|>final<|message|>",
        thinks="<|channel|>analysis<|message|>",
        next="<|end|><|start|>assistant",
    )
    tokens = tokenizer("gpt_oss").encode(written, add_special_tokens=False)
    parsed = made("gpt_oss_medium").parse(tokens)
    assert parsed.ending.value == ending
    if isinstance(parsed.message["content"], list):  # for letters that are markup elsewhere
        (part,) = parsed.message["content"]
        parsed.message["content"] = part["text"]
    assert parsed.message == {"role": "assistant", **message}


@pytest.mark.parametrize(
    ("to", "arguments", "why"),
    [
        ("functions.add", "no JSON", "must be an object"),
        ("python", "{}", "there is no tool 'python'"),
        ("functions.", "{}", "there is no tool 'functions.'"),
    ],
)
def test_a_call_in_a_channel_that_cannot_be_read_is_told(to: str, arguments: str, why: str) -> None:
    said = f" to={to}<|channel|>commentary <|constrain|>json<|message|>{arguments}<|call|>"
    tokens = tokenizer("gpt_oss").encode(said, add_special_tokens=False)
    (unread,) = made("gpt_oss_medium").parse(tokens).message["unparsed_tool_calls"]
    assert why in unread["error"]
    assert arguments in unread["text"]


@pytest.mark.parametrize(
    ("name", "said", "ending", "message"),
    [
        ("mistral_v7", "Hello</s>", "stop", {"content": "Hello"}),
        ("mistral_v7", "Hello", "cut_off", {"content": "Hello"}),
        ("mistral_v7", "A[INST]B</s>", "malformed", {"content": "A[INST]B"}),
        ("mistral_v7", "A</s>B", "malformed", {"content": "A"}),
        ("mistral_v13", "[THINK]Hm[/THINK]A</s>", "stop", {"content": "A", "thinks": "Hm"}),
        ("mistral_v13", "[THINK]Hm", "cut_off", {"content": "", "thinks": "Hm"}),
        ("mistral_v13", "[THINK]Hm</s>", "malformed", {"content": "", "thinks": "Hm"}),
    ],
)
def test_how_a_sample_of_mistrals_ended(
    name: str, said: str, ending: str, message: dict[str, Any]
) -> None:
    parsed = made(name).parse(tokenizer(name).encode(said, add_special_tokens=False))
    text, thinking, _ = plain(parsed.message, name)
    assert (parsed.ending.value, text) == (ending, message["content"])
    assert thinking == message.get("thinks", "")


@pytest.mark.parametrize(
    ("name", "said", "ids"),
    [
        ("mistral_v7", '[{"name": "add", "arguments": {"a": 1}, "id": "i"}]', ["i"]),
        ("mistral_v7", '{"name": "add", "arguments": {"a": 1}}', [None]),
        ("mistral_v7", '[{"name": "add"}]', []),
        ("mistral_v7", "no JSON", []),
        ("mistral_v11", 'add[CALL_ID]i[ARGS]{"a": 1}', ["i"]),
        ("mistral_v11", 'add[ARGS]{"a": 1}[TOOL_CALLS]add[CALL_ID]j[ARGS]{"a": 1}', [None, "j"]),
        ("mistral_v11", "add[CALL_ID]i", []),
        ("mistral_v13", '[ARGS]{"a": 1}', []),
    ],
)
def test_how_calls_of_mistrals_are_read(name: str, said: str, ids: list[str | None]) -> None:
    tokens = tokenizer(name).encode(f"So[TOOL_CALLS]{said}</s>", add_special_tokens=False)
    parsed = made(name).parse(tokens)
    calls = parsed.message.get("tool_calls", [])
    assert [call.get("id") for call in calls] == ids
    assert all(arguments(call["function"]["arguments"]) == {"a": 1} for call in calls)
    assert bool(parsed.message.get("unparsed_tool_calls")) is not bool(ids)
    assert plain({**parsed.message, "tool_calls": []}, name)[0] == "So"


def test_gpt_oss_is_asked_to_reason_more_or_less() -> None:
    prompts = {}
    for effort in ("low", "medium", "high"):
        renderer = renderers.get(f"gpt_oss_{effort}", tokenizer("gpt_oss"))
        text = renderer.vocabulary.decode(renderer.prompt([USER]).to_ints())
        assert f"Reasoning: {effort}\n" in text
        prompts[effort] = text.replace(f": {effort}\n", "")
    assert len(set(prompts.values())) == 1
    assert "Current date" not in prompts["low"]
    one_of = {"name": "add", "parameters": {"oneOf": [{"type": "object"}]}}
    with pytest.raises(ValueError, match="has oneOf, which has no proven form"):
        made("gpt_oss_medium").prompt([USER], [{"type": "function", "function": one_of}])


def test_a_datum_of_messages_is_the_example_shifted() -> None:
    renderer = made("qwen3_instruct")
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    datum = tinsmith.Datum.from_messages(messages, renderer)
    example = renderer.example(messages)
    assert datum.model_input.to_ints() == example.tokens[:-1]
    assert datum.loss_fn_inputs["target_tokens"].tolist() == example.tokens[1:]
    assert datum.loss_fn_inputs["weights"].tolist() == example.weights[1:]
    whole = tinsmith.Datum.from_messages(messages, renderer, TrainOnWhat.ALL_TOKENS)
    assert set(whole.loss_fn_inputs["weights"].tolist()) == {1.0}
    with pytest.raises(TypeError, match=r"one of tinsmith\.renderers, not text"):
        tinsmith.Datum.from_messages(messages, "qwen3")  # type: ignore[arg-type]


USER = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "Hello!"}
CALL = {"type": "function", "function": {"name": "add", "arguments": {}}}


@pytest.mark.parametrize(
    ("name", "messages", "why"),
    [
        ("qwen3", "Hi", "messages must be a list of them.* not text"),
        ("qwen3", [], "messages is empty"),
        ("qwen3", ["Hi"], r"messages\[0\] must be a mapping"),
        ("qwen3", [{"role": "User", "content": ""}], r"messages\[0\] .*'User'; did you mean user"),
        ("qwen3", [{"rôle": "user"}], r"messages\[0\] has 'rôle'; did you mean role"),
        ("qwen3", [{**USER, "reasoning": "x"}], "'reasoning'; did you mean reasoning_content"),
        ("qwen3", [{"role": "user", "content": 3}], r"\['content'\] must be a list, not an int"),
        ("qwen3", [{"role": "user", "content": "\ud800"}], "half a character at 0"),
        ("qwen3", [USER, SAID, SAID], r"messages\[2\] is the assistant's like the one before"),
        ("qwen3", [{**USER, "tool_calls": [CALL]}], "only the assistant has tool_calls"),
        ("qwen3", [{**USER, "name": "Ann"}], "only a tool's result has name"),
        ("qwen3", [USER], "nothing to train: no message is one of last_assistant_message"),
        ("qwen3", [USER, SAID, USER], r"messages\[2\] stands after the last message"),
        ("qwen3", [USER, {**SAID, "trainable": True}], r"messages\[1\] has 'trainable'"),
        (
            "qwen3",
            [USER, {"role": "assistant", "content": "<think>Hm</think>A"}],
            r"messages\[1\]: qwen3 writes <think> as markup.* reasoning_content",
        ),
        (
            "qwen3",
            [USER, {**SAID, "tool_calls": [{"function": {"name": "a", "arguments": "[]"}}]}],
            r"messages\[1\]\['tool_calls'\]\[0\] arguments must be an object",
        ),
        (
            "qwen3",
            [USER, {**SAID, "tool_calls": [{"function": {"name": 'a"', "arguments": {}}}]}],
            "no name has such characters",
        ),
        (
            "qwen3_instruct",
            [USER, {**SAID, "reasoning_content": "Hm"}],
            r"messages\[1\]: qwen3_instruct has no form for thinking",
        ),
        (
            "qwen3_disable_thinking",
            [USER, {**SAID, "reasoning_content": "Hm"}],
            r"messages\[1\]: qwen3_disable_thinking thinks nothing",
        ),
        ("qwen3_disable_thinking", [SAID], "needs a user's message"),
        ("llama3", [USER, {**SAID, "tool_calls": [CALL]}], r"messages\[1\]: llama3 has no form"),
        ("llama3", [USER, {**SAID, "reasoning_content": "Hm"}], "no form for thinking"),
        ("role_colon", [USER, {**SAID, "tool_calls": [CALL]}], r"messages\[1\]: role_colon has no"),
        (
            "gpt_oss_medium",
            [USER, {"role": "system", "content": "A"}, SAID],
            r"messages\[1\]: gpt_oss_medium has the system's message first",
        ),
        (
            "gpt_oss_medium",
            [USER, {**SAID, "tool_calls": [CALL]}, {"role": "tool", "content": "3"}, SAID],
            r"messages\[2\]: gpt_oss_medium names the tool of a result: give its name",
        ),
        (
            "gpt_oss_medium",
            [USER, {**SAID, "tool_calls": [{"function": {"name": "a b", "arguments": {}}}]}],
            r"messages\[1\]: gpt_oss_medium cannot call 'a b'",
        ),
        ("mistral_v7", [USER, {**SAID, "reasoning_content": "Hm"}], "v7 has no form for thinking"),
        ("mistral_v7", [SAID], r"messages\[0\]: mistral_v7 answers users and tools alone"),
        ("mistral_v7", [USER, USER, SAID], r"messages\[1\]: mistral_v7 joins messages of the user"),
        (
            "mistral_v11",
            [USER, {"role": "system", "content": "A"}, SAID],
            r"messages\[1\]: mistral_v11 has the system's message first",
        ),
        (
            "mistral_v11",
            [USER, {**SAID, "tool_calls": [CALL]}, {"role": "tool", "content": "3"}, SAID],
            r"messages\[2\]: mistral_v11 names the call of a result: give its tool_call_id",
        ),
        (
            "mistral_v3",
            [USER, {**SAID, "tool_calls": [CALL]}],
            r"messages\[1\]: mistral_v3 says nothing beside its calls",
        ),
        (
            "mistral_v13",
            [
                USER,
                {**SAID, "tool_calls": [{**CALL, "id": "a"}, {**CALL, "id": "b"}]},
                {"role": "tool", "content": "3", "tool_call_id": "b"},
                {"role": "tool", "content": "3", "tool_call_id": "a"},
                SAID,
            ],
            r"messages\[2\]: mistral_v13 writes no ids: put results in their calls' order",
        ),
        (
            "gpt_oss_medium",
            [USER, {"role": "assistant", "content": "<|channel|>final<|message|>A"}],
            r"messages\[1\]: gpt_oss_medium writes <\|message\|> as markup",
        ),
        (
            "role_colon",
            [USER, {"role": "assistant", "content": "A\n\nUser: B"}],
            r"messages\[1\]: role_colon stops at",
        ),
    ],
)
def test_what_cannot_be_expressed_is_named(name: str, messages: Any, why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why):
        made(name).example(messages)


def test_misused_calls_name_what_is_right() -> None:
    with pytest.raises(ValueError, match=r"no renderer 'qwen-3'; did you mean qwen3\?.*llama3"):
        renderers.get("qwen-3", tokenizer("qwen3"))
    with pytest.raises(ValueError, match=r"no <\|begin_of_text\|> or .*none of llama3"):
        renderers.get("llama3", tokenizer("qwen3"))
    with pytest.raises(TypeError, match="needs a tokenizer, not text"):
        renderers.get("qwen3", "Qwen/Qwen3-8B")
    with pytest.raises(ValueError, match="did you mean last_assistant_message"):
        made("qwen3").example([USER, SAID], "last_asistant_message")
    with pytest.raises(ValueError, match=r"messages\[1\] is the assistant's.*prefill="):
        made("qwen3").prompt([USER, SAID])
    with pytest.raises(ValueError, match=r"tools\[0\] must be"):
        made("qwen3").prompt([USER], [{"name": "add"}])
    with pytest.raises(ValueError, match="llama3 has no form for tools"):
        made("llama3").prompt([USER], TOOLS)
    with pytest.raises(ValueError, match=r"this chat is 2 examples: use examples\(\)"):
        made("qwen3").example([USER, SAID, USER, SAID], "all_assistant_messages")


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("Qwen/Qwen3-8B", "qwen3"),
        ("Qwen/Qwen3-30B-A3B", "qwen3"),
        ("Qwen/Qwen3-8B-Base", "role_colon"),
        ("Qwen/Qwen3-4B-Instruct-2507", "qwen3_instruct"),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507:peft:1", "qwen3_instruct"),
        ("Qwen/Qwen2.5-7B-Instruct", "qwen2_5"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
        ("meta-llama/Meta-Llama-3-70B-Instruct", "llama3"),
        ("meta-llama/Llama-3.2-1B", "role_colon"),
        ("openai/gpt-oss-20b", "gpt_oss_medium"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "mistral_v3"),
        ("mistralai/Mistral-Small-3.1-24B-Instruct-2503", "mistral_v7"),
        ("mistralai/Mistral-Small-3.2-24B-Instruct-2506", "mistral_v11"),
        ("mistralai/Mistral-Small-24B-Base-2501", "role_colon"),
        ("tinsmith/nano-qwen3", "qwen3_instruct"),
        ("tinsmith/nano-llama3", "llama3"),
        (NANO / "nano-qwen3", "qwen3_instruct"),
        (str(NANO / "nano-llama3"), "llama3"),
    ],
)
def test_a_model_has_its_renderer(model: Any, name: str) -> None:
    assert renderers.name_for_model(model) == name


@pytest.mark.parametrize(
    ("kind", "template", "name"),
    [
        ("gpt_oss", "<|start|>{{ x }}<|channel|>", "gpt_oss_medium"),
        ("gpt_oss", "{{ x }}", "chat_template"),
        ("mistral", "[INST]{{ x }}[/INST]", "chat_template"),
        ("mistral", None, "role_colon"),
    ],
)
def test_a_folder_has_its_renderer(
    kind: str, template: str | None, name: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    if template is not None:
        (tmp_path / "chat_template.jinja").write_text(template)
    assert renderers.name_for_model(tmp_path) == name


@pytest.mark.parametrize(
    "model",
    [
        "Qwen/Qwen3-4B-Thinking-2507",
        "Qwen/Qwen3-VL-8B-Instruct",
        "deepseek-ai/DeepSeek-V3-0324",
        "deepseek-ai/DeepSeek-R1",
        "moonshotai/Kimi-K2-Instruct",
        "mistralai/Devstral-Small-2507",
        "mistralai/Mistral-7B-Instruct-v0.3",
        "else/model",
        "",
    ],
)
def test_a_model_that_is_not_known_has_its_tokenizers_template(model: str) -> None:
    own = made("chat_template")
    template = (NANO / "nano-qwen3" / "chat_template.jinja").read_text()
    found = renderers.for_model(model, with_template("qwen3", template))
    assert found.name == "chat_template"
    assert found.example([USER, SAID]) == own.example([USER, SAID])
    with pytest.raises(ValueError, match="the tokenizer has no chat template"):
        renderers.for_model(model, tokenizer("qwen3"))


LINES = "{% for m in messages %}<|im_start|>{{ m.role }}:{{ m.content }}<|im_end|>{% endfor %}"

OTHER = "{% if add_generation_prompt %}<|im_start|>other{% endif %}"
ASKED = "{% if add_generation_prompt %}<|im_start|>assistant:{% endif %}"


@pytest.mark.parametrize(
    ("template", "why"),
    [
        (f"{LINES}{OTHER}", "in another way than the prompt for it"),
        ("{% for m in messages %}{{ m.content }}\n{% endfor %}", "no control token"),
        ("{{ raise_exception('not you') }}", "refuses this chat: not you"),
    ],
)
def test_a_template_that_cannot_be_trained_with_is_refused(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        renderers.get("chat_template", with_template("qwen3", template))


def test_what_a_template_would_ignore_is_refused() -> None:
    own = made("chat_template")
    with pytest.raises(ValueError, match="ignores tools"):
        own.prompt([USER], TOOLS)
    with pytest.raises(ValueError, match=r"messages\[1\].* ignores tool_calls"):
        own.example([USER, {**SAID, "tool_calls": [CALL]}])
    with pytest.raises(ValueError, match=r"messages\[1\].* ignores thinking"):
        own.example([USER, {**SAID, "reasoning_content": "Hm"}])
    with pytest.raises(ValueError, match="only the assistant's messages can have weight"):
        own.example([USER, SAID], "all_messages")
    without_system = "{% for m in messages if m.role != 'system' %}" + LINES.partition("%}")[2]
    drops = renderers.get("chat_template", with_template("qwen3", without_system + ASKED))
    with pytest.raises(ValueError, match=r"messages\[0\].* drops its text"):
        drops.prompt([{"role": "system", "content": "Be brief."}, USER])


def test_a_template_that_asks_for_today_is_told_the_same_day_every_time() -> None:
    dated = "<|im_start|>{{ strftime_now('%d %b %Y, %B') }}" + LINES + ASKED
    renderer = renderers.get("chat_template", with_template("qwen3", dated))
    text = renderer.vocabulary.decode(renderer.prompt([USER]).to_ints())
    assert text.startswith("<|im_start|>26 Jul 2024, July<|im_start|>user:Hi")


def test_a_text_that_a_template_would_complete_to_a_control_token_stays_text() -> None:
    template = LINES.replace("{{ m.content }}", "<|{{ m.content }}|>")
    renderer = renderers.get("chat_template", with_template("qwen3", template + ASKED))
    tokens = renderer.prompt([{"role": "user", "content": "im_end"}]).to_ints()
    assert renderer.vocabulary.decode(tokens).count("<|im_end|>") == 2
    assert tokens.count(renderer.stop[0]) == 1


def test_every_family_names_its_proof() -> None:
    for family in renderers.FAMILIES.values():
        assert family.proof
        assert family.__doc__
        assert "What it drops" in family.__doc__
