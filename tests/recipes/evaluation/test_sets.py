"""Evaluation sets by name, and general tasks whose answers are looked at from the other side."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tinsmith_recipes.evaluation import sets
from tinsmith_recipes.evaluation.general import TASKS, general, of_task

CHAT = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]


def test_general_tasks_come_in_turn_and_the_same_every_time() -> None:
    chats = general(3 * len(TASKS), seed=5)
    assert chats == general(3 * len(TASKS), seed=5) != general(3 * len(TASKS), seed=6)
    assert chats[: len(TASKS)] == general(len(TASKS), seed=5)
    assert len({chat[0]["content"] for chat in chats}) == len(chats)


def test_the_answers_of_general_tasks_are_right() -> None:
    for name, question, answer in (
        (task, chat[0]["content"], chat[1]["content"])
        for task in TASKS
        for chat in of_task(task, 40)
    ):
        told = (re.findall(r"['\"](.*?)['\"]", question) or [question.split()[-1]])[-1]
        told = re.sub(r"\.$", "", told)
        letters = "".join(re.findall("[a-z]", answer.lower()))
        if name in ("copy", "capitals", "capitalise", "spell", "join", "split"):
            assert letters == told.replace(" ", "").lower()
        if name == "capitals":
            assert answer.isupper()
        if name == "capitalise":
            assert answer.istitle()
        if name == "plural":
            assert answer[:-1] == told
            assert answer[-1] == "s"
        if name == "swap":
            assert answer.split() == told.split()[::-1]
        if name == "split":
            assert re.fullmatch(r"[^aeiou-]+-[aeiou].*", answer)
        if name == "add":
            end, word = re.findall(r"'(.*?)'", question)
            assert answer == word + end


def test_numbers_in_words_and_in_digits_are_the_same_numbers() -> None:
    to_words = {
        re.findall(r"\d+", chat[0]["content"])[0]: chat[1]["content"]
        for chat in of_task("number_words", 600)
    }
    to_digits = {
        chat[0]["content"].removeprefix("Write ").removesuffix(" in digits."): chat[1]["content"]
        for chat in of_task("number_digits", 600)
    }
    assert len(to_words) > 95
    assert to_words["40"] == "forty"
    assert to_words["13"] == "thirteen"
    for digits, words in to_words.items():
        assert to_digits.get(words, digits) == digits


@pytest.mark.parametrize("name", sets.names())
def test_every_set_can_be_asked(name: str) -> None:
    chats, left_out = sets.load(name, 12, seed=3)
    assert len(chats) == 12
    assert not left_out
    assert all(chat[-1]["role"] == "assistant" and chat[-1]["content"] for chat in chats)
    assert chats == sets.load(name, 12, seed=3)[0]
    assert len(sets.load(name, 5)[0]) == 5


def test_held_out_sets_of_recipes_are_what_their_runs_are_tested_with() -> None:
    from tinsmith_recipes.chat_sl.data import load
    from tinsmith_recipes.pig_latin.data import split_words

    ours = load(None, seed=4, held_out=30)
    assert sets.load("chat_sl", 30, seed=4)[0] == [one.messages for one in ours.held_out]
    learn, _ = split_words(100, 4)
    questions = {chat[0]["content"] for chat in sets.load("pig_latin", 100, seed=4)[0]}
    assert len(questions) == 100
    assert not questions & {word.question[0]["content"] for word in learn}


def test_a_file_is_a_set_without_its_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "chats.jsonl"
    rows = [{"messages": CHAT}, {"messages": CHAT[:1]}, {"text": "a"}, {"messages": CHAT}]
    rows.append({"messages": CHAT[1:]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chats, left_out = sets.load(str(path), 10)
    assert chats == [CHAT, CHAT]
    assert left_out[0].startswith(f"{path}:3: a chat has 'messages'")
    assert left_out[1] == "2 of its chats do not end with an answer of the assistant's"
    assert len(sets.load(str(path), 1)[0]) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("plurals", "did you mean plural\\?"),
        ("mmlu", "there are general, copy, .* of the hub as owner/name"),
        ("nothing.jsonl", "there is no file nothing.jsonl"),
    ],
)
def test_a_set_that_is_none_is_refused_with_what_there_is(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sets.load(name, 10)


def test_a_file_without_answers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text(json.dumps({"messages": CHAT[:1]}) + "\n")
    with pytest.raises(ValueError, match="no chat ends with an answer of the assistant's"):
        sets.load(str(path), 10)
