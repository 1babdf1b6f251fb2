"""What is served is what was trained: chats of known families are the SDK's renderers'."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Team
from catalog.services import OfferedModel
from openai_api import chats, schemas
from openai_api.detokenizer import Detokenizer
from openai_api.doors import Chosen
from openai_api.errors import Refused
from openai_api.families import Written
from openai_api.vocabulary import Vocabulary
from runs.models import TrainingRun
from tests.platform.openai_api.conftest import Worker, answer, events, tokens_of
from tests.support import chats as generated
from tests.support.chats import NANO, TOOLS, Messages
from tinsmith import renderers

MODELS = {
    "Qwen/Qwen3-8B": "qwen3",
    "Qwen/Qwen3-4B-Instruct-2507": "qwen3_instruct",
    "Qwen/Qwen2.5-7B-Instruct": "qwen2_5",
    "Qwen/Qwen3-8B-Base": "role_colon",
    "meta-llama/Llama-3.1-8B-Instruct": "llama3",
    "deepseek-ai/DeepSeek-V3.1": "deepseekv3",
    "moonshotai/Kimi-K2-Thinking": "kimi_k2",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": "mistral_v7",
}
CALLS = {"qwen3", "qwen3_instruct", "qwen2_5", "deepseekv3", "kimi_k2", "mistral_v7"}
# whose marks of calls are special tokens, which no text shows
UNSEEN_CALLS = {"deepseekv3", "kimi_k2", "mistral_v7"}
THINK = {"qwen3", "kimi_k2"}
HI = [{"role": "user", "content": "Hi"}]
QUICK = settings(max_examples=40, deadline=None)
_FOLDERS = tempfile.TemporaryDirectory(prefix="tinsmith-test-")


@cache
def words_of(family: str, template: str | None = None) -> Vocabulary:
    """The family's small tokenizer as a folder of a model."""
    folder = Path(tempfile.mkdtemp(dir=_FOLDERS.name))
    made = generated.tokenizer(family)
    if template is not None:
        made = generated.with_template(family, template)
    made.save_pretrained(folder)
    return Vocabulary(folder)


def chosen(model: str, renderer_name: str | None = None) -> Chosen:
    """A base model of that name; with a renderer's name a checkpoint."""
    base = cast(OfferedModel, SimpleNamespace(name=model))
    return Chosen(model, base, renderer_name=renderer_name)


def write(words: Vocabulary, model: Chosen, messages: Messages, **more: Any) -> Written:
    """The chat as it is served."""
    wanted = msgspec.convert({"model": "m", "messages": messages, **more}, schemas.Chat)
    return chats.write(words, model, wanted)


def some(family: str, with_controls: bool = False) -> st.SearchStrategy[Messages]:
    """Chats that the family can express."""
    found = generated.chats(family in THINK, family in CALLS, with_controls, begins_anyhow=True)
    if family == "role_colon":  # whose stop may be in no answer
        found = found.filter(lambda chat: "User:" not in str([m["content"] for m in chat]))
    return found


@pytest.mark.parametrize("model", MODELS)
@QUICK
@given(data=st.data())
def test_a_familys_chats_are_its_renderers(model: str, data: st.DataObject) -> None:
    """Whatever the messages say, and with tools where the family has them."""
    family = MODELS[model]
    messages = data.draw(some(family, with_controls=True))[:-1]
    tools = TOOLS if family in CALLS and data.draw(st.booleans()) else None
    trained = renderers.for_model(model, generated.tokenizer(family))
    assert trained.name == family
    written = write(words_of(family), chosen(model), messages, tools=tools)
    assert written.tokens == trained.prompt(messages, tools).to_ints()
    assert [*written.end_tokens, *written.stops] == list(trained.stop)


@pytest.mark.parametrize("model", MODELS)
@QUICK
@given(data=st.data())
def test_an_answer_that_comes_back_is_written_as_it_was_sampled(
    model: str, data: st.DataObject
) -> None:
    """Thinking and calls are told in the answer's text; there they are found when it comes back."""
    family = MODELS[model]
    words, trained = words_of(family), renderers.for_model(model, generated.tokenizer(family))
    *before, said = data.draw(some(family))
    if family in CALLS - UNSEEN_CALLS and data.draw(st.booleans()):
        function = {"name": "add", "arguments": {"a": 1}}
        said["tool_calls"] = [{"type": "function", "function": function}]
    learnt = trained.example([*before, said])
    written = write(words, chosen(model), before)
    told = Detokenizer(words, written.stops, written.end_tokens, written.lead)
    sampled = [token for token, w in zip(learnt.tokens, learnt.weights, strict=True) if w]
    told.feed(sampled)
    shown = {"role": "assistant", "content": told.take(final=True).text}
    after = {"role": "user", "content": "And?"}
    again = write(words, chosen(model), [*before, shown, after])
    read = trained.parse(sampled).message
    assert again.tokens == trained.prompt([*before, read, after]).to_ints()


@pytest.mark.parametrize(("nano", "family"), [("nano-qwen3", "qwen3"), ("nano-llama3", "llama3")])
@QUICK
@given(data=st.data())
def test_a_model_that_is_not_known_is_written_as_chat_template_trains_it(
    nano: str, family: str, data: st.DataObject
) -> None:
    template = (NANO / nano / "chat_template.jinja").read_text()
    messages = data.draw(generated.chats())[:-1]
    trained = renderers.for_model("ours/new", generated.with_template(family, template))
    assert trained.name == "chat_template"
    written = write(words_of(family, template), chosen("ours/new"), messages)
    assert written.tokens == trained.prompt(messages).to_ints()


def test_a_template_that_asks_for_today_is_told_what_training_tells_it() -> None:
    template = (
        "<|im_start|>{{ strftime_now('%d %B %Y, %H') }}{% for m in messages %}"
        "{{ m.content }}<|im_end|>{% endfor %}"
    )
    trained = renderers.for_model("ours/new", generated.with_template("qwen3", template))
    written = write(words_of("qwen3", template), chosen("ours/new"), HI)
    assert written.tokens == trained.prompt(HI).to_ints()


@pytest.mark.parametrize(
    ("model", "trained_with", "options", "family"),
    [
        ("Qwen/Qwen3-8B", None, {"enable_thinking": False}, "qwen3_disable_thinking"),
        ("Qwen/Qwen3-8B", None, {"enable_thinking": True}, "qwen3"),
        ("Qwen/Qwen3-8B", "qwen3_disable_thinking", {}, "qwen3_disable_thinking"),
        ("Qwen/Qwen3-8B", "qwen3_disable_thinking", {"enable_thinking": True}, "qwen3"),
        ("Qwen/Qwen3-8B", "role_colon", {}, "role_colon"),
        ("Qwen/Qwen3-8B", "of another package", {}, "qwen3"),
        ("Qwen/Qwen3-8B", "llama3", {}, "qwen3"),  # no such tokenizer
        ("ours/new", "qwen3", {}, "qwen3"),
        ("ours/new", "chat_template", {}, "chat_template"),
        ("Qwen/Qwen3-8B", "chat_template", {}, "chat_template"),
    ],
)
def test_the_run_and_the_options_choose(
    model: str, trained_with: str | None, options: dict[str, Any], family: str
) -> None:
    template = (NANO / "nano-qwen3" / "chat_template.jinja").read_text()
    words = words_of("qwen3", template)
    trained = renderers.get(family, generated.with_template("qwen3", template))
    written = write(words, chosen(model, trained_with), HI, chat_template_kwargs=options)
    assert written.tokens == trained.prompt(HI).to_ints()


LLAMAS = "meta-llama/Llama-3.1-8B-Instruct"
WITH_TOOLS = (
    "{{ tools | tojson if tools }}{% for m in messages %}<|start_header_id|>{{ m.role }}"
    "<|end_header_id|>{{ m.content }}<|eot_id|>{% endfor %}"
)


def test_what_a_family_has_no_form_for_is_written_by_the_models_own_template() -> None:
    words = words_of("llama3", WITH_TOOLS)
    written = write(words, chosen(LLAMAS), HI, tools=TOOLS)
    assert '"name": "add"' in words.decode(written.tokens)
    last = [*HI, {"role": "assistant", "content": "I"}]
    assert words.decode(write(words, chosen(LLAMAS), last).tokens).endswith("I")


@pytest.mark.parametrize(
    ("model", "renderer_name", "template", "more", "param"),
    [
        (LLAMAS, "llama3", WITH_TOOLS, {"tools": TOOLS}, "tools"),
        (LLAMAS, None, None, {"tools": TOOLS}, "tools"),
        ("Qwen/Qwen3-8B-Base", None, None, {"tools": TOOLS}, "tools"),
        (LLAMAS, None, None, {"messages": [*HI, HI[0] | {"name": "Ada"}]}, "messages[1]"),
        (LLAMAS, None, None, {"chat_template_kwargs": {"enable_thinking": False}}, "model"),
    ],
)
def test_what_nothing_can_write_is_refused_by_name(
    model: str, renderer_name: str | None, template: str | None, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(Refused) as caught:
        write(words_of("llama3", template), chosen(model, renderer_name), **{"messages": HI} | more)
    assert caught.value.param == param


@pytest.fixture
def of_its_renderer(checkpoint: str, team: Team) -> str:
    """The team's checkpoint, whose run was trained with role_colon."""
    TrainingRun.objects.update(user_metadata={"renderer_name": "role_colon"})
    return checkpoint


async def test_a_checkpoint_is_served_with_its_runs_renderer(
    api: httpx.AsyncClient, worker: Worker, of_its_renderer: str
) -> None:
    """Its stop stops, and what stands before the answer's text is none of it; streams are alike."""
    sampled = tokens_of(" Hello you\n\nUser:")
    worker.reply = lambda body: answer(sampled)
    body = {"model": of_its_renderer, "messages": HI, "max_tokens": 9}
    reply = (await api.post("chat/completions", json=body)).json()
    assert reply["choices"][0]["message"]["content"] == "Hello you"
    assert reply["choices"][0]["finish_reason"] == "stop"
    streamed = events(await api.post("chat/completions", json=body | {"stream": True}))
    parts = [choice["delta"].get("content", "") for part in streamed for choice in part["choices"]]
    assert "".join(parts) == "Hello you"
    for asked in worker.bodies:
        assert asked["prompt"]["chunks"][0]["tokens"] == [
            *tokens_of("User:"),
            *tokens_of(" Hi\n\n"),
            *tokens_of("Assistant:"),
        ]
        assert "\n\nUser:" in asked["sampling_params"]["stop"]
