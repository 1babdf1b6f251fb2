"""Chats to learn from: generated ones, files, NoRobots, Tulu3, any data set of the hub.

The generated ones have the columns of NoRobots. Their tasks are ones that the nano models do not
know; a chat goes on with `And 'lamp'?`, which is answered only by who looks back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tinsmith.data import BadRow, load_chats
from tinsmith_recipes.evaluation.general import general
from tinsmith_recipes.pig_latin.data import plain_words
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.order import seed_of

Messages = list[dict[str, Any]]
MOST_CATEGORIES = 1000
BUILT_IN = 2400
BUILT_IN_GENERAL = 600
GENERAL = "General"
BUILT_IN_TEST_WORDS = 200


@dataclass(frozen=True)
class Conversation:
    """A chat, and where it comes from: its file and line."""

    place: str
    messages: Messages


@dataclass(frozen=True)
class Known:
    """A data set that has a name of its own here."""

    source: str
    category_field: str
    test_split: str | None = None


KNOWN = {
    "no_robots": Known("HuggingFaceH4/no_robots", "category", "test"),
    "tulu3": Known("allenai/tulu-3-sft-mixture", "source"),
}


@dataclass
class Loaded:
    """What was loaded; ``left_out`` says of each chat that was not, where and why."""

    learn: list[Conversation]
    held_out: list[Conversation]
    left_out: list[str] = field(default_factory=list)


def load(
    data: str | None,
    *,
    seed: int,
    held_out: int,
    limit: int | None = None,
    categories: Sequence[str] = (),
    category_field: str | None = None,
    split: str | None = None,
    test_split: str | None = None,
    skip_bad: bool = False,
) -> Loaded:
    """Chats to learn from and others to test with; no two of both begin alike.

    Args:
        data: ``no_robots``, ``tulu3``, a file or a data set of the hub; None for generated chats.
        seed: decides which are held out.
        held_out: how many, and at most a tenth of all where they are taken from the same split.
        limit: how many chats to learn from, and to hold out, at most in all.
        categories: only these, by what stands in ``category_field``; none given are all.
        split, test_split: of a data set of the hub.
        skip_bad: leave rows out that are no chats, instead of refusing them.

    Raises:
        BadRow: a row that is no chat, unless it may be skipped.
        ValueError: no chat is left; a category that no row has; names the nearest.
    """
    if data is None:
        return _built_in(seed, held_out, limit, categories)
    known = KNOWN.get(data, Known(data, "category"))
    wanted = _Wanted(category_field or known.category_field, categories)
    test_split = test_split or known.test_split
    bad: list[BadRow] | None = [] if skip_bad else None

    def read(name: str | None, most: int | None) -> list[Conversation]:
        places: list[str] = []
        try:
            chats = load_chats(
                known.source, split=name, limit=most, where=wanted, skipped=bad, places=places
            )
        except ValueError:
            wanted.explain(known.source)
            raise
        return [Conversation(*one) for one in zip(places, chats, strict=True)]

    rows = read(split, limit)
    wanted.explain(known.source)
    if test_split is None:
        learn, test = apart(rows, held_out, seed)
    else:
        test = read(test_split, held_out)
        begun = {_beginning(one.messages) for one in test}
        learn = [one for one in rows if _beginning(one.messages) not in begun]
    return Loaded(learn, test, [str(one) for one in bad or ()])


def apart(
    rows: Sequence[Conversation], held_out: int, seed: int
) -> tuple[list[Conversation], list[Conversation]]:
    """Rows to learn from and at most ``held_out``, a tenth, to test with; none begin alike."""
    groups: dict[str, list[Conversation]] = {}
    for row in rows:
        groups.setdefault(_beginning(row.messages), []).append(row)
    order = list(groups.values())
    Random(seed_of("held out", seed)).shuffle(order)
    room = min(held_out, len(rows) // 10)
    test: list[Conversation] = []
    for group in order:
        if len(test) + len(group) <= room:
            test += group
    held = {id(row) for row in test}
    return [row for row in rows if id(row) not in held], test


def _beginning(messages: Messages) -> str:
    """What is said before the assistant first speaks."""
    spoken = [message["role"] == "assistant" for message in messages]
    return json.dumps(messages[: spoken.index(True) if any(spoken) else None], sort_keys=True)


class _Wanted:
    """The filter by category; it remembers what it saw."""

    def __init__(self, column: str, categories: Sequence[str]) -> None:
        self._column, self._categories = column, categories
        self._seen: dict[str, None] = {}

    def __call__(self, row: dict[str, Any]) -> bool:
        if not self._categories:
            return True
        found = str(row.get(self._column))
        if len(self._seen) < MOST_CATEGORIES:
            self._seen[found] = None
        return found in self._categories

    def explain(self, source: str) -> None:
        """Refuse a category that no row has."""
        for name in self._categories:
            if name in self._seen:
                continue
            nearest = meant(name, self._seen)
            raise ValueError(f"no row of {source} has the {self._column} {name!r}; {nearest}")


# ---- generated chats

Rule = Callable[[str], str]
TASKS: dict[str, tuple[str, Rule]] = {
    "Nickname": ("Give '{}' a nickname.", lambda word: word[:3] + "o"),
    "Sign": ("Make a sign that says '{}'.", lambda word: f"[{word.upper()}]"),
    "Echo": ("Call '{}' into the valley.", lambda word: f"{word}... {word[-3:]}"),
}
"""By category: how it is asked, and the answer to a word."""


def rows(words: Sequence[str], count: int, seed: int) -> list[dict[str, Any]]:
    """Generated rows, one or two questions each, all of one task."""
    found = []
    for number in range(count):
        random = Random(seed_of("chat_sl", seed, number))
        category = random.choice(list(TASKS))
        phrasing, rule = TASKS[category]
        messages: Messages = []
        for word in random.sample(words, random.randint(1, 2)):
            question = phrasing.format(word) if not messages else f"And '{word}'?"
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": rule(word)})
        found.append(_row(f"{seed}-{number}", category, messages))
    return found


def built_in(seed: int, held_out: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Generated rows to learn from and to test with, on words that the others do not have.

    Among those to learn from are general tasks, which the model knows: so it keeps them.
    """
    words = plain_words()
    Random(seed_of("words", seed)).shuffle(words)
    known = [
        _row(f"{seed}-general-{number}", GENERAL, chat)
        for number, chat in enumerate(general(BUILT_IN_GENERAL, seed_of("known", seed)))
    ]
    learn = rows(words[BUILT_IN_TEST_WORDS:], BUILT_IN - BUILT_IN_GENERAL, seed) + known
    return learn, rows(words[:BUILT_IN_TEST_WORDS], held_out, seed_of("test", seed))


def _row(number: str, category: str, messages: Messages) -> dict[str, Any]:
    return {
        "prompt": messages[0]["content"],
        "prompt_id": number,
        "category": category,
        "messages": messages,
    }


def held_out_chats(count: int, seed: int = 0) -> list[Messages]:
    """The generated chats that a run with this seed is tested with."""
    return [row["messages"] for row in built_in(seed, count)[1]]


def _built_in(seed: int, held_out: int, limit: int | None, categories: Sequence[str]) -> Loaded:
    wanted = _Wanted("category", categories)
    learn, test = (
        [
            Conversation(f"generated {part} row {number}", row["messages"])
            for number, row in enumerate(found, 1)
            if wanted(row)
        ]
        for part, found in zip(("train", "test"), built_in(seed, held_out), strict=True)
    )
    wanted.explain("the generated chats")
    return Loaded(learn[:limit], test)
