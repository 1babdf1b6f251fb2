"""The nano version's questions and its rubric, and files with questions of one's own."""

from __future__ import annotations

import re
from random import Random

NANO_RUBRIC = "Does the answer name a colour?"
_COLOURS = "red blue green yellow black white brown pink grey orange purple silver golden"
_WORDS = (
    "dog cat horse bird cow sheep duck mouse rabbit fox bear frog ball book hat cup kite apple "
    "bag coat box pen bell map fork lamp key drum garden kitchen school park house shop forest "
    "station library barn"
)
_PHRASINGS = ("Write a sentence with the word '{}'.", "Say a sentence with '{}'.")


def questions(held_out: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Questions to learn from, and ``held_out`` to test with, about words that are in no other.

    >>> learn, test = questions(10)
    >>> len(learn), len(test), test[0].startswith(("Write", "Say"))
    (66, 10, True)

    Raises:
        ValueError: so many are to be held out that none is left.
    """
    words = _WORDS.split()
    Random(f"rubric {seed}").shuffle(words)
    asked = [phrasing.format(word) for word in words for phrasing in _PHRASINGS]
    # an odd number leaves a word's second phrasing out, so that no word is on both sides
    begin = held_out + held_out % len(_PHRASINGS)
    if begin >= len(asked):
        raise ValueError(f"there are {len(asked)} questions: held_out={held_out} leaves none")
    return asked[begin:], asked[:held_out]


def names_colour(text: str) -> bool:
    """What the nano version's judge is taught to see.

    >>> names_colour("The red cow sees Emma."), names_colour("The cow is bored.")
    (True, False)
    """
    return not set(_COLOURS.split()).isdisjoint(re.findall(r"[a-z]+", text.lower()))
