"""Chats to learn from: generated, from files with the columns of the hub's sets, held out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.chats import NANO
from tinsmith import renderers
from tinsmith.data import BadRow
from tinsmith.types.results import SupportedModel
from tinsmith_recipes.chat_sl import data
from tinsmith_recipes.chat_sl.choosing import rate_for, steps_for
from tinsmith_recipes.chat_sl.data import Conversation, Loaded, load
from tinsmith_recipes.chat_sl.rendering import Rendered, Rules

ROWS = Path(__file__).parent / "rows"
USER = {"role": "user", "content": "1 + 1?"}
SAID = {"role": "assistant", "content": "2"}


def from_file(name: str, **settings: Any) -> Loaded:
    return load(str(ROWS / name), **{"seed": 0, "held_out": 0, **settings})


def write(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


# ---- generated chats


def test_generated_chats_are_seeded_and_share_no_word_with_those_held_out() -> None:
    one, same, other = (load(None, seed=seed, held_out=100) for seed in (0, 0, 1))
    assert one == same
    assert one.learn != other.learn
    assert one.held_out != other.held_out

    def words(chats: list[Conversation]) -> set[str]:
        """The quoted words of what the tasks ask."""
        asked = [m["content"] for chat in chats for m in chat.messages if m["role"] == "user"]
        tasks = [one for one in asked if "Give" in one or "And" in one or "sign" in one]
        return {text.split("'")[1] for text in tasks}

    assert len(words(one.held_out)) > 50
    assert not words(one.held_out) & words(one.learn)


def test_generated_chats_are_of_every_kind_and_one_goes_on() -> None:
    learn, test = data.built_in(0, 100)
    kinds = Counter(row["category"] for row in learn)
    assert set(kinds) == {*data.TASKS, data.GENERAL}
    assert min(kinds.values()) > 100
    assert {row["category"] for row in test} == set(data.TASKS)
    assert {len(row["messages"]) for row in learn} == {2, 4}
    assert all(set(row) == {"prompt", "prompt_id", "category", "messages"} for row in learn)
    kettle = {name: rule("kettle") for name, (_, rule) in data.TASKS.items()}
    assert kettle == {"Nickname": "keto", "Sign": "[KETTLE]", "Echo": "kettle... tle"}


# ---- files with the columns of public sets


def test_norobots_is_read_and_filtered_by_category() -> None:
    everything = from_file("no_robots.jsonl")
    assert len(everything.learn) == 4
    assert everything.learn[0].place == f"{ROWS / 'no_robots.jsonl'}:1"
    assert [m["role"] for m in everything.learn[2].messages] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    chosen = from_file("no_robots.jsonl", categories=("Coding", "Chat"))
    assert [one.place.rpartition(":")[2] for one in chosen.learn] == ["2", "3"]
    assert len(from_file("no_robots.jsonl", limit=2).learn) == 2


def test_tulu3_is_read_and_filtered_by_source() -> None:
    assert len(from_file("tulu3.jsonl").learn) == 3
    chosen = from_file(
        "tulu3.jsonl", category_field="source", categories=("ai2-adapt-dev/oasst1_converted",)
    )
    assert [one.place.rpartition(":")[2] for one in chosen.learn] == ["1"]


def test_the_known_names_stand_for_sets_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load_chats(source: str, **settings: Any) -> list[Any]:
        asked.append({"source": source, **settings})
        number = len(asked)
        chats = [[{**USER, "content": f"{number} {n}"}, SAID] for n in range(20)]
        settings["places"] += [f"{source}:{n}" for n in range(20)]
        return chats

    monkeypatch.setattr(data, "load_chats", load_chats)
    robots = load("no_robots", seed=0, held_out=7, limit=50)
    assert [(one["source"], one["split"], one["limit"]) for one in asked] == [
        ("HuggingFaceH4/no_robots", None, 50),
        ("HuggingFaceH4/no_robots", "test", 7),
    ]
    assert len(robots.learn) == len(robots.held_out) == 20
    asked.clear()
    assert len(load("tulu3", seed=0, held_out=2).held_out) == 2  # of train: it has no other split
    assert [one["source"] for one in asked] == ["allenai/tulu-3-sft-mixture"]
    assert asked[0]["where"]({"source": "anything"})


def test_a_data_set_is_read_by_the_hubs_own_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "no_robots"
    folder.mkdir()
    lines = (ROWS / "no_robots.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(lines))
    (folder / "test.jsonl").write_text(lines[3])
    found = load(
        str(folder), seed=0, held_out=5, test_split="test", categories=("Chat", "Summarize")
    )
    assert [one.place for one in found.learn] == [f"{folder} train row 3"]  # row 4 is tested with
    assert [one.place for one in found.held_out] == [f"{folder} test row 1"]


def test_a_category_that_no_row_has_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="has the category 'Codin'; did you mean Coding\\?"):
        from_file("no_robots.jsonl", categories=("Chat", "Codin"))
    with pytest.raises(ValueError, match="there are Brainstorm, Coding, Chat, Summarize"):
        from_file("no_robots.jsonl", categories=("xyz",))
    with pytest.raises(ValueError, match=r"the generated chats has the category 'Ecko'.*mean Echo"):
        load(None, seed=0, held_out=10, categories=("Ecko",))


def test_bad_rows_are_named_or_left_out_and_told(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAID]}, {"messages": [{"role": "human", "content": "a"}]}]
    path = write(tmp_path / "chats.jsonl", *rows, {"messages": [USER, SAID], "prompt": "b"})
    with pytest.raises(BadRow, match=r"chats.jsonl:2: messages\[0\] has the role 'human'"):
        load(path, seed=0, held_out=0)
    found = load(path, seed=0, held_out=0, skip_bad=True)
    assert [one.place[-2:] for one in found.learn] == [":1", ":3"]
    assert [one[len(path) :][:2] for one in found.left_out] == [":2"]


def test_empty_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(ValueError, match=r"empty\.jsonl holds no row that is wanted"):
        load(str(tmp_path / "empty.jsonl"), seed=0, held_out=0)


# ---- held out


def test_what_is_held_out_begins_like_nothing_that_is_learnt() -> None:
    rows = [
        Conversation(f"{n}", [{**USER, "content": f"{n % 60}"}, {**SAID, "content": f"{n}"}])
        for n in range(200)
    ]
    learn, test = data.apart(rows, 15, seed=2)
    assert len(learn) + len(test) == 200
    assert 10 <= len(test) <= 15
    begun = [{one.messages[0]["content"] for one in part} for part in (learn, test)]
    assert not begun[0] & begun[1]
    assert data.apart(rows, 15, seed=2)[1] == test != data.apart(rows, 15, seed=3)[1]
    assert len(data.apart(rows, 150, seed=2)[1]) <= 20  # a tenth
    assert data.apart(rows[:5], 15, seed=2) == (data.apart(rows[:5], 15, seed=2)[0], [])


# ---- examples


@pytest.fixture(scope="module")
def renderer() -> renderers.Renderer:
    return renderers.for_model(NANO / "nano-qwen3")


def rendered(renderer: renderers.Renderer, *chats: Any, **settings: Any) -> Rendered:
    rows = [Conversation(f"chats.jsonl:{n}", chat) for n, chat in enumerate(chats, 1)]
    train_on = settings.pop("train_on", "all_assistant_messages")
    return Rendered(Rules(renderer, train_on, **{"longest": 2048, **settings}), rows)


def test_every_message_of_the_assistants_is_learnt(renderer: renderers.Renderer) -> None:
    found = rendered(renderer, [USER, SAID, USER, {**SAID, "content": "No, 3"}])
    example = found.example(0)
    assert len(found) == 1
    learnt = [t for t, w in zip(example.tokens, example.weights, strict=True) if w]
    assert renderer.vocabulary.decode(learnt) == "2<|im_end|>No, 3<|im_end|>"
    assert sum(found[0].datum.loss_fn_inputs["weights"].tolist()) == pytest.approx(1)


def test_a_family_that_rewrites_earlier_turns_makes_several_examples() -> None:
    from tests.support.chats import nano

    qwen3 = renderers.get("qwen3", nano("nano-qwen3"))
    thought = [{**SAID, "reasoning_content": "one and one"}, {**SAID, "reasoning_content": "b"}]
    found = rendered(qwen3, [USER, thought[0], USER, thought[1]])
    assert [one.trained for one in found] == [one.trained for one in found[:]]
    assert len(found) == 2


def test_a_chat_that_cannot_be_expressed_is_refused_or_counted(
    renderer: renderers.Renderer,
) -> None:
    bad = [USER, {**SAID, "content": "<tool_call>"}]
    with pytest.raises(ValueError, match=r"chats.jsonl:2: messages\[1\].*on_bad=skip leaves such"):
        rendered(renderer, [USER, SAID], bad)
    found = rendered(renderer, [USER, SAID], bad, [USER], on_bad="skip")
    assert len(found) == 1
    assert [one.partition(": ")[0] for one in found.left_out] == ["chats.jsonl:2", "chats.jsonl:3"]
    assert [one.place for one in found.chats] == ["chats.jsonl:1"]
    assert "nothing to train" in found.left_out[1]


def test_a_chat_of_zero_weight_is_refused_or_counted(renderer: renderers.Renderer) -> None:
    zero = [{**USER, "trainable": False}, {**SAID, "trainable": False}]
    with pytest.raises(ValueError, match=r"chats\.jsonl:1: nothing to train"):
        rendered(renderer, zero, train_on="customized")
    found = rendered(renderer, zero, train_on="customized", on_bad="skip")
    assert not found
    assert len(found.left_out) == 1


def test_what_is_too_long_is_cut_skipped_or_refused(renderer: renderers.Renderer) -> None:
    long = [USER, {**SAID, "content": "x" * 100}]
    cut = rendered(renderer, long, [USER, SAID], longest=40)
    assert len(cut.example(0).tokens) == 40
    assert cut.cut == 1
    whole = rendered(renderer, long).example(0)
    assert cut.example(0).tokens == whole.tokens[:40]
    assert len(whole.tokens) > 100
    skipped = rendered(renderer, long, [USER, SAID], longest=40, too_long="skip")
    assert len(skipped) == 1
    assert skipped.left_out == [
        f"chats.jsonl:1: it has {len(whole.tokens)} tokens, and 40 is the most"
    ]
    with pytest.raises(ValueError, match=r"chats.jsonl:1: .*40 is the most; too_long=cut or"):
        rendered(renderer, long, longest=40, too_long="refuse")
    asked = [{**USER, "content": "y" * 100}, SAID]
    nothing = rendered(renderer, asked, [USER, SAID], longest=40)
    assert nothing.left_out == ["chats.jsonl:1: nothing of it is learnt within the first 40 tokens"]


def test_other_chats_have_another_digest(renderer: renderers.Renderer) -> None:
    one, other = ([USER, {**SAID, "content": text}] for text in ("2", "3"))
    digest = rendered(renderer, one, other).digest
    assert digest == rendered(renderer, one, other).digest
    changed = [(other, one), (one,), (one, one)]
    assert digest not in {rendered(renderer, *chats).digest for chats in changed}
    assert digest != rendered(renderer, one, other, train_on="all_messages").digest


# ---- what is chosen


def test_steps_are_an_epoch_and_at_least_a_hundred() -> None:
    assert steps_for(3201, 32) == (101, "each of the 3201 examples once")
    steps, why = steps_for(50, 8)
    assert steps == 100
    assert "about 16 times" in why


def test_the_rate_is_of_the_model_or_a_cautious_one() -> None:
    rate, why = rate_for(SupportedModel(model_name="Qwen/Qwen3-8B", hidden_size=4096))
    assert f"{rate:.2e}" == "4.73e-04"
    assert "get_lr" in why
    rate, why = rate_for(SupportedModel(model_name="somebody/else", hidden_size=4096))
    assert rate == 2e-4
    assert "no learning rate was fitted" in why
