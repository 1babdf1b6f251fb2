"""What is thought of and what is true of it, the rules of the game, games of a careless player."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

YES, NO, RIGHT, NO_QUESTION = "yes", "no", "right", "no question"
WORLD: Mapping[str, frozenset[str]] = {
    thing: frozenset(true.split())
    for thing, true in {
        "ant": "alive moves",
        "apple": "food round",
        "bat": "alive moves flies fur",
        "bread": "food",
        "car": "metal moves big",
        "cat": "alive moves fur",
        "coin": "metal round",
        "cow": "alive moves fur big",
        "duck": "alive moves flies swims",
        "key": "metal",
        "otter": "alive moves fur swims",
        "owl": "alive moves flies",
        "rose": "alive",
        "ship": "metal moves swims big",
        "tree": "alive big",
        "whale": "alive moves swims big",
    }.items()
}
MOST_THINGS = 1000
_WORDS = re.compile(r"[a-z]+")

World = Mapping[str, frozenset[str]]


def words_of(world: World) -> list[str]:
    """What can be asked: whatever is true of something."""
    return sorted(frozenset().union(*world.values()))


def word_in(text: str, world: World) -> str | None:
    """The last thing or property that a message names; None if it names neither.

    >>> [word_in(text, WORLD) for text in ("Is it alive?", "Not the cat. The OWL!", "3?")]
    ['alive', 'owl', None]
    """
    known = {*world, *words_of(world)}
    named = [word for word in _WORDS.findall(text.lower()) if word in known]
    return named[-1] if named else None


def verdict(word: str | None, secret: str, world: World) -> str:
    """What is said to a question, or to a thing that is named."""
    if word is None:
        return NO_QUESTION
    if word in world:
        return RIGHT if word == secret else NO
    return YES if word in world[secret] else NO


def left_after(left: Sequence[str], word: str | None, said: str, world: World) -> list[str]:
    """The things for which that answer would have been the same.

    >>> left_after(["ant", "cat", "key"], "fur", "no", WORLD)
    ['ant', 'key']
    """
    return [thing for thing in left if verdict(word, thing, world) == said]


def begin(world: World, *, remembers: bool) -> dict[str, str]:
    """How a game begins: with the rules, or with all that is left where nothing else is shown."""
    if not remembers:
        return answer("ask", list(world))
    text = (
        f"I think of one of these: {', '.join(world)}. Ask whether one of these words is true of "
        f"it: {', '.join(words_of(world))}. I say yes or no. Name the thing as soon as you can."
    )
    return {"role": "user", "content": text}


def answer(said: str, left: Sequence[str] | None) -> dict[str, str]:
    """The message that says it, and what is left for a player who sees nothing else."""
    return {"role": "user", "content": said if left is None else f"{said}: {' '.join(left)}"}


def careless_game(
    secret: str, world: World, limit: int, care: float, random: Random, *, remembers: bool
) -> list[dict[str, Any]]:
    """A game whose questions tell the most with probability ``care``, and else are any word."""
    left = list(world)
    chat: list[dict[str, Any]] = [begin(world, remembers=remembers)]
    for _ in range(limit):
        any_word = random.choice([*words_of(world), *world])
        word = _telling(left, world, random) if random.random() < care else any_word
        chat.append({"role": "assistant", "content": f"{word}?"})
        said = verdict(word, secret, world)
        if said == RIGHT:
            break
        left = left_after(left, word, said, world)
        chat.append(answer(said, None if remembers else left))
    return chat if chat[-1]["role"] == "assistant" else chat[:-1]


def _telling(left: Sequence[str], world: World, random: Random) -> str:
    """A word that comes nearest to halving what is left; the thing itself if it is the only one."""
    if len(left) == 1:
        return left[0]
    uneven = {
        word: abs(2 * sum(word in world[thing] for thing in left) - len(left))
        for word in words_of(world)
    }
    return random.choice([word for word in uneven if uneven[word] == min(uneven.values())])


def read_world(path: str) -> dict[str, frozenset[str]]:
    """Things of one's own: a JSON object of each thing's name and a list of what is true of it.

    Raises:
        ValueError: there is no such file, or it is not that; says what is wrong.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"world: there is no file {file}")
    try:
        given = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"world: {file} is no JSON: {error}") from None
    if not isinstance(given, dict) or not 2 <= len(given) <= MOST_THINGS:
        raise ValueError(f"world: {file} must be an object of 2 to {MOST_THINGS} things")
    for thing, true in given.items():
        words = [thing, *true] if isinstance(true, list) else [None]
        wrong = [w for w in words if not isinstance(w, str) or _WORDS.fullmatch(w) is None]
        if wrong:
            raise ValueError(
                f"world: {thing!r} and what is true of it must be words of small letters a to z, "
                f'as in {{"owl": ["alive", "flies"]}}'
            )
    world = {thing: frozenset(true) for thing, true in given.items()}
    both = sorted(set(world) & set(words_of(world)))
    if both or not words_of(world):
        raise ValueError(f"world: {both[0]} is both" if both else "world: nothing is true of any")
    return world
