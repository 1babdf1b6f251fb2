"""The built-in pairs, and rows of public sets in their real columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.chats import nano
from tinsmith import renderers
from tinsmith.data import Preference
from tinsmith_recipes.preference import data, kind_words
from tinsmith_recipes.training.preference import Pair

ROWS = Path(__file__).parent / "rows"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(name: str) -> tuple[list[Preference], list[str]]:
    """The preferences of a file, and why other rows are none."""
    found, reasons = [], []
    for line in (ROWS / f"{name}.jsonl").read_text().splitlines():
        try:
            found.append(data.preference(json.loads(line)))
        except ValueError as error:
            reasons.append(str(error))
    return found, reasons


def test_rows_of_hh() -> None:
    found, reasons = read("hh")
    hello = [user("Hi"), said("Hello! What can I do?"), user("Name a bird")]
    assert found == [
        (
            [user("What is a kettle?")],
            said("A pot to boil water in."),
            said("I do not know."),
        ),
        (hello, said("An owl"), said("No.\n\nReally not.")),
    ]
    assert reasons == [
        "chosen and rejected are the same",
        "chosen and rejected differ before their last message",
    ]


def test_rows_of_helpsteer3() -> None:
    found, reasons = read("helpsteer3")
    chat = [user("Print 1."), said("print(1)"), user("And 2.")]
    assert found == [
        ([user("Name a bird.")], said("An owl."), said("A cow.")),
        (chat, said("print(2)"), said("print(3)")),
    ]
    assert reasons == ["overall_preference is 0: neither answer is preferred"]


def test_rows_of_ultrafeedback() -> None:
    found, reasons = read("ultrafeedback")
    assert found == [
        ([user("Name a bird.")], said("An owl."), said("A cow.")),
        ([user("Say hello.")], said("Hello!"), said("No.")),
    ]
    assert reasons == ["both answers are rated 9: neither is preferred"]


@pytest.mark.parametrize(("name", "split", "test_split"), data.HUB.values())
def test_public_sets_are_asked_for_the_splits_that_they_have(
    name: str, split: str, test_split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    (short,) = (key for key, known in data.HUB.items() if known[0] == name)
    rows = [json.loads(line) for line in (ROWS / f"{short}.jsonl").read_text().splitlines()]

    def load_rows(source: str, *, split: str | None, limit: int | None) -> object:
        asked.append((source, split))
        these = rows[:1] if split == test_split else rows[::-1]
        return iter([(f"{source} row {n}", row) for n, row in enumerate(these, 1)])

    monkeypatch.setattr(data, "load_rows", load_rows)
    found = data.load(short, learn=None, held_out=1, seed=0)
    assert asked == [(name, test_split), (name, split)]
    assert len(found.held_out) == len(found.learn) == 1
    assert found.held_out[0].prompt != found.learn[0].prompt  # it is in both splits here
    assert found.left_out


def test_a_file_gives_some_of_its_rows_for_tests(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"{n % 7}?", "chosen": f"yes {n}", "rejected": "no"} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    found = data.load(str(file), learn=10, held_out=5, seed=3)
    assert (len(found.learn), len(found.held_out)) == (10, 5)
    asked = [{str(one.prompt) for one in some} for some in (found.learn, found.held_out)]
    assert not asked[0] & asked[1]
    assert found == data.load(str(file), learn=10, held_out=5, seed=3)
    assert found != data.load(str(file), learn=10, held_out=5, seed=4)


def test_too_little_data_and_names_of_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"hh\.jsonl has 0 pairs .* held_out is 5; 2 rows are no"):
        data.load(str(ROWS / "hh.jsonl"), learn=None, held_out=5, seed=0)
    with pytest.raises(ValueError, match="did you mean kind_words"):
        data.load("kind_word", learn=None, held_out=5, seed=0)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(ValueError, match="has 0 pairs to learn from and 0 to test with"):
        data.load(str(empty), learn=None, held_out=5, seed=0)


def test_kindness_counts_different_words() -> None:
    assert kind_words.kindness("The kettle is warm and rude.") == 0
    assert kind_words.kindness("The kettle is kind, kind and kind, and warm.") == 2
    assert kind_words.kindness("It is unkind and grim.") == -1


@pytest.mark.parametrize("seed", range(3))
def test_the_built_in_pairs(seed: int) -> None:
    found = data.load(data.BUILT_IN, learn=300, held_out=100, seed=seed)
    assert found == data.load(data.BUILT_IN, learn=300, held_out=100, seed=seed)
    asked = [{str(one.prompt) for one in some} for some in (found.learn, found.held_out)]
    assert not asked[0] & asked[1]
    renderer = renderers.for_model("tinsmith/nano-qwen3", nano("nano-qwen3"))
    for one in found.learn + found.held_out:
        kinder, less = (kind_words.kindness(m["content"]) for m in (one.chosen, one.rejected))
        assert kinder > less
        pair = Pair.of(one, renderer)
        assert len(pair.chosen) == len(pair.rejected)
    assert len({str(one) for one in found.learn}) == 300


def test_demonstrations_are_as_often_kind_as_not() -> None:
    chats = kind_words.demonstrations(["kettle", "owl"], 2000, seed=0)
    kind = [kind_words.kindness(chat[-1]["content"]) for chat in chats]
    assert abs(sum(kind)) < 200  # a mean of 0, give or take three times its error
    assert {chat[0]["content"] for chat in chats} == {
        "What is the kettle like?",
        "What is the owl like?",
    }
