"""The environment: a question, a search that may be called, an answer that is a number."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith_recipes.tool_use.data import SEARCH, Corpus, Place, result
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

TURNS = 3
UNREADABLE = "error: a call is search with a query"


@dataclass(frozen=True)
class Ask(Environment):
    """One question. The reward is 1 for the right number.

    Attributes:
        place: what is asked about.
        corpus: what is searched; None takes the tool away.
        declares: whether the prompt says what tools there are.
    """

    place: Place
    corpus: Corpus | None
    declares: bool
    tags = ("tool_use",)

    async def play(self, policy: Policy) -> Outcome:
        """Ask, search whenever that is called for, and read the answer."""
        chat: list[Mapping[str, Any]] = [self.place.question]
        tools = [SEARCH] if self.declares and self.corpus is not None else None
        searches = 0
        for _ in range(TURNS):
            reply = await policy(chat, tools=tools)
            calls = reply.message.get("tool_calls")
            if not calls:
                correct = float(said(reply) == str(self.place.people))
                return Outcome(correct, {"correct": correct, "searches": searches})
            if self.corpus is None:
                break
            searches += 1
            chat += [reply.message, result(reply.message, self._search(calls[0]))]
        return Outcome(0, {"correct": 0, "searches": searches})

    def _search(self, call: Mapping[str, Any]) -> str:
        assert self.corpus is not None
        arguments = call["function"]["arguments"]
        try:
            query = (json.loads(arguments) if isinstance(arguments, str) else arguments)["query"]
        except (ValueError, KeyError, TypeError):
            return UNREADABLE
        if call["function"]["name"] != "search" or not isinstance(query, str):
            return UNREADABLE
        return self.corpus.search(query)
