"""The built-in preference: kind words. Generated pairs that the nano models can learn from.

Every answer describes a thing with two words, e.g. ``The kettle is warm and honest.`` Of two
answers that with the kinder words is preferred. Both are equally long, letter by letter, so that
nobody learns to be short; a model that knows no preference chooses right half of the time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import Any

from tinsmith.data import Preference


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


KIND = _listed(
    "kind glad warm calm neat fine happy great sunny jolly sweet lovely gentle clever honest "
    "pleasant cheerful"
)
UNKIND = _listed(
    "dull cold rude mean grim sour awful angry nasty cruel dirty lonely broken greedy gloomy "
    "terrible horrible"
)
THINGS = _listed(
    "apple baker balloon barn basket bear bell bird blanket boat book bridge broom bucket candle "
    "castle cat chair cherry church clock cloud coat cook cottage cow cup desk dog donkey door "
    "dragon drum duck engine farm farmer fence fiddle field fire fish flower forest fork fox frog "
    "garden gate goat guitar hammer hat hill horse house island jacket judge kettle key king "
    "kitchen ladder lake lamp lemon letter library lion map market mill mirror monkey moon "
    "mountain mouse museum needle nurse ocean onion orchard owl park pencil pepper piano pillow "
    "pilot pirate pond potato prince queen rabbit river road robot roof rope sailor school sheep "
    "ship shirt shoe shop singer sister snake soldier spider spoon station stone stove street "
    "table teacher tent tiger tower town train tree tunnel turtle valley village violin wagon "
    "wall well whale window wizard wolf"
)
WORDS = (*KIND, *UNKIND)


def question(thing: str) -> list[dict[str, Any]]:
    """The chat up to the answer."""
    return [{"role": "user", "content": f"What is the {thing} like?"}]


def kindness(text: str) -> int:
    """The rule behind every pair: how many different kind words, less the unkind ones."""
    words = set(re.findall(r"[a-z]+", text))
    return len(words.intersection(KIND)) - len(words.intersection(UNKIND))


def split_things(held_out: int, seed: int) -> tuple[list[str], list[str]]:
    """The things as two lists without overlap: to learn with, and ``held_out`` to test with."""
    things = sorted(THINGS)
    Random(f"things {seed}").shuffle(things)
    return things[held_out:], things[:held_out]


def pairs(things: Sequence[str], count: int, seed: int) -> list[Preference]:
    """Different pairs about some things; answers are equally long and not equally kind."""
    random = Random(f"pairs {seed}")
    found: dict[tuple[str, str], Preference] = {}
    while len(found) < count:
        thing = random.choice(things)
        one, other = _answer(thing, random), _answer(thing, random)
        if len(one) != len(other) or kindness(one) == kindness(other):
            continue
        chosen, rejected = sorted((one, other), key=kindness, reverse=True)
        found[chosen, rejected] = Preference(question(thing), _said(chosen), _said(rejected))
    return list(found.values())


def demonstrations(things: Sequence[str], count: int, seed: int) -> list[list[dict[str, Any]]]:
    """Chats whose answers are neither kind nor unkind on the whole: whatever words come."""
    random = Random(f"demonstrations {seed}")
    asked = [random.choice(things) for _ in range(count)]
    return [[*question(thing), _said(_answer(thing, random))] for thing in asked]


def _answer(thing: str, random: Random) -> str:
    first, second = random.sample(WORDS, 2)
    return f"The {thing} is {first} and {second}."


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}
