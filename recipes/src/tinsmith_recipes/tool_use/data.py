"""The corpus, the questions about it, and what a careless user of the search says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random
from typing import Any

from tinsmith_recipes.training.order import seed_of

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "The document of the corpus that fits a query best.",
        "parameters": {
            "type": "object",
            "properties": {"query": {"type": "string"}},
            "required": ["query"],
        },
    },
}
STARTS = ("bel", "cor", "dun", "fal", "gor", "hal", "kel", "lam", "mor", "nor", "pel", "ras")
ENDS = ("by", "den", "field", "ham", "low", "mere", "ston", "ter", "ton", "wick")
NOTHING = "nothing found"


@dataclass(frozen=True)
class Place:
    """A village that exists nowhere but in the corpus, and how many live there."""

    name: str
    people: int

    @property
    def question(self) -> dict[str, str]:
        """What is asked about it."""
        return {"role": "user", "content": f"How many people live in {self.name}?"}

    @property
    def document(self) -> str:
        """What the corpus says of it."""
        return f"{self.name}: {self.people} people"


@lru_cache(maxsize=1)
def places() -> tuple[Place, ...]:
    """All of the corpus; the same whatever the seed of a run, for a corpus does not change."""
    random = Random(seed_of("corpus"))
    names = [start + end for start, end in product(STARTS, ENDS)]
    return tuple(Place(name, random.randint(100, 999)) for name in names)


def split(held_out: int, seed: int) -> tuple[list[Place], list[Place]]:
    """Places to learn from, and ``held_out`` others, about which no question is trained on."""
    shuffled = list(places())
    Random(seed_of("places", seed)).shuffle(shuffled)
    return shuffled[held_out:], shuffled[:held_out]


class Corpus:
    """Documents that can be searched, ranked by BM25.

    Raises:
        ValueError: bm25s is not installed; says how to get it.
    """

    def __init__(self, documents: Sequence[str]) -> None:
        try:
            import bm25s
        except ImportError:
            needs = "the search needs bm25s: pip install 'tinsmith-recipes[retrieval]'"
            raise ValueError(needs) from None
        self.documents = list(documents)
        self._tokenize = bm25s.tokenize
        self._index = bm25s.BM25()
        self._index.index(self._words(self.documents), show_progress=False)

    def search(self, query: str) -> str:
        """The best document; ``nothing found`` where no word of the query is in any."""
        words = self._words([query])
        if not any(word in self._index.vocab_dict for word in words[0]):
            return NOTHING
        found, scores = self._index.retrieve(words, k=1, show_progress=False)
        return self.documents[found[0, 0]] if scores[0, 0] > 0 else NOTHING

    def _words(self, texts: list[str]) -> list[list[str]]:
        split: list[list[str]] = self._tokenize(
            texts, stopwords=None, return_ids=False, show_progress=False
        )
        return split


def call(query: str, number: int = 0) -> dict[str, Any]:
    """The assistant's message that searches."""
    function = {"name": "search", "arguments": json.dumps({"query": query})}
    made = {"id": f"call_{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [made]}


def result(message: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The tool's message that answers a message with a call."""
    answered = message["tool_calls"][0].get("id") or "call_0"
    return {"role": "tool", "content": text, "name": "search", "tool_call_id": answered}


def careless_chat(
    place: Place, corpus: Corpus, care: float, random: Random
) -> list[dict[str, Any]]:
    """A chat that searches and reads with probability ``care``, else guesses or searches amiss."""
    chat: list[dict[str, Any]] = [place.question]
    if random.random() < care:
        asked = call(place.name)
        chat += [asked, result(asked, corpus.search(place.name))]
        return [*chat, {"role": "assistant", "content": str(place.people)}]
    if random.random() < 0.5:
        asked = call(random.choice(places()).name)
        found = corpus.search(json.loads(asked["tool_calls"][0]["function"]["arguments"])["query"])
        chat += [asked, result(asked, found)]
    return [*chat, {"role": "assistant", "content": str(random.randint(100, 999))}]
