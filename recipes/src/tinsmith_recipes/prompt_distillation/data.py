"""The nano version's task: requests on words, whose right answers are in capital letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tinsmith_recipes.pig_latin.data import split_words

PROMPT = "Answer in capital letters."
# What is asked, and what is right but for the capitals, of a word and another one
REQUESTS: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "say": ("Say '{a}'.", lambda a, b: a),
    "write": ("Write the word {a}.", lambda a, b: a),
    "twice": ("Say '{a}' twice.", lambda a, b: f"{a} {a}"),
    "first": ("What is the first letter of '{a}'?", lambda a, b: a[0]),
    "drop": ("Say '{a}' without the first letter.", lambda a, b: a[1:]),
    "pick": ("What is the first word of '{a} {b}'?", lambda a, b: a),
    "swap": ("Swap the words of '{a} {b}'.", lambda a, b: f"{b} {a}"),
}
# Of these kinds the student sees no request: whether it has learnt the instruction as such
UNSEEN: dict[str, tuple[str, Callable[[str, str], str]]] = {
    "spell": ("Spell '{a}'.", lambda a, b: "-".join(a)),
    "repeat": ("Repeat: '{a} {b}'", lambda a, b: f"{a} {b}"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request, and the answer that the instruction makes right."""

    text: str
    answer: str

    @property
    def question(self) -> list[dict[str, str]]:
        """The chat up to the answer, without the instruction."""
        return [{"role": "user", "content": self.text}]


def requests(
    count: int, held_out: int, seed: int = 0
) -> tuple[list[Request], list[Request], list[Request]]:
    """Requests to learn from, to test with, and to test with of kinds that are not learnt.

    No word of those to test with is in any to learn from.

    >>> learn, test, unseen = requests(4, 2)
    >>> len(learn), len(test), len(unseen), test[0].answer.isupper()
    (4, 2, 2, True)
    """
    words = [[one.word for one in some] for some in split_words(200, seed)]
    random = Random(f"requests {seed}")
    return (
        _some(random, REQUESTS, words[0], count),
        _some(random, REQUESTS, words[1], held_out),
        _some(random, UNSEEN, words[1], held_out),
    )


def _some(
    random: Random,
    kinds: dict[str, tuple[str, Callable[[str, str], str]]],
    words: list[str],
    count: int,
) -> list[Request]:
    """So many different requests, of each kind about as many."""
    found: dict[str, Request] = {}
    most = len(kinds) * len(words)
    if count > most:
        raise ValueError(f"there are no more than {most} different requests, not {count}")
    while len(found) < count:
        text, answer = list(kinds.values())[len(found) % len(kinds)]
        a, b = random.sample(words, 2)
        one = Request(text.format(a=a, b=b), answer(a, b).upper())
        found.setdefault(one.text, one)
    return list(found.values())
