"""Chats to learn from, of a file or a data set of the hub: what is asked, and what was answered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import chz

from tinsmith.data import BadRow, chat_of, load_rows
from tinsmith_recipes.training.recipe import Recipe, setting

Message = dict[str, Any]
# How sets in the form of ShareGPT, e.g. open-thoughts/OpenThoughts3-1.2M, call the speakers
SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


@dataclass(frozen=True)
class Asked:
    """A chat up to an answer, and the answer that its row has, if it has one."""

    question: list[Message]
    answer: Message | None = None


@chz.chz
class ChatData(Recipe):
    """Where chats come from."""

    data: str | None = setting(
        None,
        "Chats to learn from: a .jsonl or .parquet file, or a data set of the hub such as "
        "open-thoughts/OpenThoughts3-1.2M; by default generated exercises.",
    )
    split: str | None = setting(None, "Which split of a data set of the hub; train by default.")
    limit: int | None = setting(
        None, "How many rows of the data at most; all of them by default.", least=2
    )
    held_out: int = setting(
        100, "Rows or exercises that are never trained on, to test with.", least=1
    )


def asked_of(settings: ChatData, source: str | None = None) -> tuple[list[Asked], list[Asked]]:
    """The chats of ``settings.data``: to learn from, and to test with; no question is in both.

    Args:
        settings: which split, how many, and how many to test with.
        source: another file or data set than ``settings.data``.

    Raises:
        BadRow: a row that is no chat, or asks nothing; names file, line and reason.
        ValueError: too few different questions.
    """
    source = settings.data if source is None else source
    assert source is not None
    found: dict[str, Asked] = {}
    for place, row in load_rows(source, split=settings.split, limit=settings.limit):
        try:
            one = _asked(row)
        except (TypeError, ValueError) as error:
            raise BadRow(place, str(error)) from None
        found.setdefault(json.dumps(one.question, sort_keys=True), one)
    if len(found) <= settings.held_out:
        raise ValueError(
            f"{source} holds {len(found)} different questions, so with held_out="
            f"{settings.held_out} none is left to learn from"
        )
    rows = list(found.values())
    Random(f"held out {settings.seed}").shuffle(rows)
    return rows[settings.held_out :], rows[: settings.held_out]


def _asked(row: Mapping[str, Any]) -> Asked:
    messages = chat_of(dict(_messages(row)))
    answer = messages[-1] if messages[-1]["role"] == "assistant" else None
    question = messages[:-1] if answer else messages
    if not any(message["role"] == "user" for message in question):
        raise ValueError("the chat has no user's message before its last answer: nothing is asked")
    return Asked(question, answer)


def _messages(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row with ``messages``, also where it has ``conversations`` of ``from`` and ``value``; a
    row of nothing but a ``prompt`` is the user's message."""
    turns = row.get("conversations")
    if turns is None:
        prompt = row.get("prompt")
        if row.get("messages") is None and row.get("completion") is None and prompt is not None:
            is_text = isinstance(prompt, str)
            return {"messages": [{"role": "user", "content": prompt}] if is_text else prompt}
        return row
    messages = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for number, turn in enumerate(turns):
        if not isinstance(turn, Mapping) or not {"from", "value"} <= turn.keys():
            raise ValueError(f"conversations[{number}] has no 'from' and 'value'")
        if turn["from"] not in SPEAKERS:
            raise ValueError(
                f"conversations[{number}] is from {turn['from']!r}; known are {', '.join(SPEAKERS)}"
            )
        messages.append({"role": SPEAKERS[turn["from"]], "content": turn["value"]})
    return {"messages": messages}
