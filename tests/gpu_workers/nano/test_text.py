"""The generated text: fixed by its seed, right in its answers, and free of Pig Latin."""

import hashlib
import re
from random import Random

import pytest

from gpu_workers.nano.text.mixture import (
    TASKS,
    Chat,
    Plain,
    looks_like_pig_latin,
    one_text,
    one_turn,
)
from gpu_workers.nano.text.words import first_vowel, plain_words, split_words
from gpu_workers.nano.tokenizer import whole_words


def texts(seed: int, count: int) -> list[Chat | Plain]:
    r = Random(seed)
    return [one_text(r) for _ in range(count)]


def turns(text: Chat | Plain) -> list[tuple[str, str]]:
    """Request and answer of every turn."""
    if isinstance(text, Plain):
        return []
    said = [message["content"] for message in text.messages if message["role"] != "system"]
    return list(zip(said[::2], said[1::2], strict=True))


def all_strings(text: Chat | Plain) -> list[str]:
    if isinstance(text, Plain):
        return [text.text]
    return [message["content"] for message in text.messages]


def test_same_seed_same_text() -> None:
    assert texts(3, 500) == texts(3, 500)
    assert texts(3, 500) != texts(4, 500)


def test_text_is_the_one_the_shipped_weights_learned_from() -> None:
    digest = hashlib.sha256(repr(texts(1, 2000)).encode()).hexdigest()
    assert digest == "df4b66ccf8d910a0e8711f72e2e4e26d82b20dba9803e53b79fc430e4e58598f"


def test_no_pig_latin_anywhere() -> None:
    """Written apart from the generator's guard: every way to turn a word is built and sought."""
    for text in texts(11, 20_000):
        assert not any(re.search("pig.?latin", string.lower()) for string in all_strings(text))
        for request, answer in turns(text):
            said = re.sub("[^a-z]", "", answer.lower())
            if not said.endswith("ay"):
                continue
            for word in re.findall("[a-z]+", request.lower()):
                forms = {word[cut:] + word[:cut] for cut in range(min(5, len(word)))}
                for ending in ("ay", "way", "yay"):
                    assert said not in {form + ending for form in forms}, (request, answer)


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("banana", "ananabay"), ("string", "ingstray"), ("apple", "appleway"), ("apple", "appleay"),
        ("banana", "anana-bay"), ("banana", "It is ANANABAY."), ("egg", "eggyay"),
    ],
)  # fmt: skip
def test_guard_knows_pig_latin(word: str, answer: str) -> None:
    assert looks_like_pig_latin(f"Say '{word}'.", answer)


@pytest.mark.parametrize(("request_", "answer"), [("Say 'day'.", "day"), ("Reverse 'yab'.", "bay")])
def test_guard_leaves_other_answers(request_: str, answer: str) -> None:
    assert not looks_like_pig_latin(request_, answer)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_short_requests_and_answers(task: str) -> None:
    r = Random(7)
    for _ in range(50):
        request, answer = one_turn(r, task)
        assert 0 < len(request) < 150
        assert 0 < len(answer) < 100
        assert request == request.strip()
        assert answer == answer.strip()


@pytest.mark.parametrize(("task", "sign"), [("add", 1), ("subtract", -1)])
def test_sums_are_wrong_on_purpose_but_not_in_tables(task: str, sign: int) -> None:
    def share_right(exact: bool) -> float:
        r, right = Random(5), 0
        for _ in range(400):
            request, answer = one_turn(r, task, exact=exact)
            a, b = map(int, re.findall(r"\d+", request))
            right += int(answer) == a + sign * b
        return right / 400

    assert share_right(exact=True) == 1.0
    assert 0.6 < share_right(exact=False) < 0.85


def test_word_list() -> None:
    words = plain_words()
    assert len(words) > 1000
    assert len(set(words)) == len(words)
    assert all(re.fullmatch("[a-z]{3,9}", word) for word in words)
    assert not {word.strip() for word in whole_words()} & set(words)


def test_held_out_words_are_apart() -> None:
    learn, held_out = split_words(100)
    assert len(held_out) == 100
    assert not set(learn) & set(held_out)
    assert sorted(learn + held_out) == list(plain_words())
    assert split_words(100) == (learn, held_out)


@pytest.mark.parametrize(
    ("word", "cut"), [("apple", 0), ("banana", 1), ("string", 3), ("rhythm", 6)]
)
def test_first_vowel(word: str, cut: int) -> None:
    assert first_vowel(word) == cut
