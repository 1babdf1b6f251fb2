"""What is asked in distillation: generated, of files, in the form of public data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tinsmith.data import BadRow
from tinsmith_recipes.distillation.exercises import exercises
from tinsmith_recipes.distillation.off_policy.train import OffPolicy
from tinsmith_recipes.distillation.on_policy.train import OnPolicy
from tinsmith_recipes.prompt_distillation.data import requests
from tinsmith_recipes.prompt_distillation.train import PromptDistillation
from tinsmith_recipes.training.distillation import asked_of

ROWS = Path(__file__).with_name("rows")
# What requests say beside the words that they are about
COMMON = {"say", "write", "the", "word", "twice", "what", "is", "first", "letter", "of", "without"}
COMMON |= {"swap", "words", "spell", "repeat:"}


def test_rows_of_openthoughts_are_questions_with_their_answers() -> None:
    settings = OffPolicy(data=str(ROWS / "openthoughts.jsonl"), held_out=1)
    learn, test = asked_of(settings)
    found = {one.question[-1]["content"]: one for one in (*learn, *test)}
    assert set(found) == {"What is 7 times 6?", "What is 2 plus 2?", "Name a bird."}
    assert (len(learn), len(test)) == (2, 1)
    bird = found["Name a bird."]
    assert [one["role"] for one in bird.question] == ["system", "user"]
    assert bird.answer is not None
    assert bird.answer["role"] == "assistant"
    answer = found["What is 7 times 6?"].answer
    assert answer is not None
    assert answer["content"].startswith("<think>\nSeven")
    assert asked_of(settings) == (learn, test)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": [{"from": "robot", "value": "Hi"}]}, "is from 'robot'; known are"),
        ({"conversations": [{"role": "user"}]}, "has no 'from' and 'value'"),
        ({"messages": [{"role": "system", "content": "Hi"}]}, "nothing is asked"),
        ({"text": "Hi"}, "a chat has 'messages'"),
    ],
)
def test_a_row_that_asks_nothing_is_named(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "Hi"}\n' + json.dumps(row) + "\n")
    with pytest.raises(BadRow, match=reason) as error:
        asked_of(OffPolicy(data=str(file), held_out=1))
    assert error.value.place.endswith("rows.jsonl:2")


def test_one_question_many_times_leaves_none_to_learn(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "Hi"}\n' * 5)
    with pytest.raises(ValueError, match="holds 1 different questions, so with held_out=1 none"):
        asked_of(OffPolicy(data=str(file), held_out=1))


@pytest.mark.parametrize("seed", [0, 1])
def test_no_exercise_is_in_two_lists_nor_its_letters(seed: int) -> None:
    lists = exercises(seed, 300, 200, 100)
    answers = [{one.answer for one in some} for some in lists]
    assert [len(some) for some in answers] == [300, 200, 100]
    assert len(set.union(*answers)) == 600
    assert lists == exercises(seed, 300, 200, 100) != exercises(seed + 2, 300, 200, 100)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_word_to_test_with_is_in_any_request_to_learn_from(seed: int) -> None:
    learn, test, unseen = requests(700, 100, seed)
    words = [
        {word.strip("'.?").lower() for one in some for word in one.text.split()}
        for some in (learn, test, unseen)
    ]
    assert words[0] & (words[1] | words[2]) <= COMMON
    assert len({one.text for one in learn}) == 700
    assert {one.text.split()[0] for one in unseen} == {"Spell", "Repeat:"}
    assert all(one.answer == one.answer.upper() for one in learn)


@pytest.mark.parametrize(
    ("recipe", "settings", "reason"),
    [
        (OffPolicy, {"data": "x.jsonl", "soft_targets": 4}, "soft_targets needs a teacher"),
        (OnPolicy, {"data": "x.jsonl"}, "data has no teacher of its own"),
        (OnPolicy, {"teacher": "a,b", "data": "x.jsonl"}, "2 teachers .* data names 1"),
        (OnPolicy, {"teacher": "a,b"}, "2 teachers .* data names none"),
        (PromptDistillation, {"prompt": "A", "prompt_file": "b"}, "choose one"),
    ],
)
def test_settings_that_do_not_fit_each_other_are_refused(
    recipe: Any, settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        recipe(**settings)


def test_a_prompt_comes_from_a_file_if_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Answer in French.\n")
    assert PromptDistillation(prompt_file=str(file)).instructions == "Answer in French."
    file.write_text(" \n")
    with pytest.raises(ValueError, match="the prompt is empty"):
        _ = PromptDistillation(prompt_file=str(file)).instructions
    with pytest.raises(ValueError, match=r"there is no file .*other\.txt"):
        _ = PromptDistillation(prompt_file=str(tmp_path / "other.txt")).instructions
