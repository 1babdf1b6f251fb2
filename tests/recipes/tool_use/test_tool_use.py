"""The corpus, what a careless user of the search does, and the environment's rules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.tool_use.data import (
    NOTHING,
    Corpus,
    call,
    careless_chat,
    places,
    split,
)
from tinsmith_recipes.tool_use.env import TURNS, UNREADABLE, Ask

PLACE = places()[7]


class Scripted:
    """A policy that says what it is told to, and keeps what it was asked."""

    def __init__(self, *messages: Mapping[str, Any]) -> None:
        self.messages = list(messages)
        self.asked: list[list[Mapping[str, Any]]] = []

    async def __call__(self, chat: Sequence[Mapping[str, Any]], **_: Any) -> Parsed:
        self.asked.append(list(chat))
        return Parsed(dict(self.messages.pop(0)), Ending.STOP)


def say(text: object) -> dict[str, Any]:
    return {"role": "assistant", "content": str(text)}


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus([place.document for place in places()])


def test_a_search_finds_the_document_of_each_place(corpus: Corpus) -> None:
    assert [corpus.search(place.name) for place in places()] == [
        place.document for place in places()
    ]
    assert corpus.search(f"people of {PLACE.name.upper()}, please") == PLACE.document


@pytest.mark.parametrize("query", ["", "   ", "?!", "nowhere at all", "<|im_end|>"])
def test_a_search_for_what_is_not_there_says_so(corpus: Corpus, query: str) -> None:
    assert corpus.search(query) == NOTHING


def test_no_question_of_the_test_is_trained_on() -> None:
    learn, held_out = split(40, seed=3)
    assert len(held_out) == 40
    assert not set(learn) & set(held_out)
    assert {*learn, *held_out} == set(places())
    assert split(40, seed=3) == (learn, held_out) != split(40, seed=4)


def test_a_careful_chat_is_right_and_a_careless_one_seldom(corpus: Corpus) -> None:
    def right(care: float) -> int:
        random = Random(0)
        chats = [careless_chat(PLACE, corpus, care, random) for _ in range(50)]
        return sum(chat[-1]["content"] == str(PLACE.people) for chat in chats)

    assert right(1.0) == 50
    assert right(0.0) < 5


async def test_who_searches_and_reads_is_right(corpus: Corpus) -> None:
    policy = Scripted(call(PLACE.name), say(PLACE.people))
    outcome = await Ask(PLACE, corpus, declares=False).play(policy)  # type: ignore[arg-type]
    assert (outcome.reward, dict(outcome.parts)) == (1.0, {"correct": 1.0, "searches": 1})
    assert policy.asked[1][-1]["content"] == PLACE.document
    assert policy.asked[1][-1]["tool_call_id"] == "call_0"


async def test_a_wrong_number_is_worth_nothing(corpus: Corpus) -> None:
    policy = Scripted(say(PLACE.people + 1))
    assert (await Ask(PLACE, corpus, declares=False).play(policy)).reward == 0  # type: ignore[arg-type]


async def test_without_the_tool_a_call_ends_the_episode() -> None:
    policy = Scripted(call(PLACE.name), say(PLACE.people))
    assert (await Ask(PLACE, None, declares=False).play(policy)).reward == 0  # type: ignore[arg-type]
    assert len(policy.asked) == 1


async def test_who_only_searches_comes_to_an_end(corpus: Corpus) -> None:
    policy = Scripted(*[call("x")] * TURNS)
    outcome = await Ask(PLACE, corpus, declares=False).play(policy)  # type: ignore[arg-type]
    assert (outcome.reward, outcome.parts["searches"]) == (0, TURNS)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("search", "no json"),
        ("search", json.dumps({"words": "x"})),
        ("search", json.dumps({"query": 3})),
        ("search", json.dumps(["x"])),
        ("delete", json.dumps({"query": PLACE.name})),
    ],
)
async def test_a_call_that_is_none_is_answered_with_how_to_call(
    corpus: Corpus, name: str, arguments: str
) -> None:
    asked = call("x")
    asked["tool_calls"][0]["function"] = {"name": name, "arguments": arguments}
    policy = Scripted(asked, say(PLACE.people))
    outcome = await Ask(PLACE, corpus, declares=False).play(policy)  # type: ignore[arg-type]
    assert policy.asked[1][-1]["content"] == UNREADABLE
    assert outcome.reward == 1
