"""General tasks: small things that a model could do before it was tuned, to see what it forgot.

They are generated, on words and numbers that the nano models know how to work with; a large model
can do them all. Right answers are exact, so no judge is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tinsmith_recipes.training.order import seed_of

Task = Callable[[Random], tuple[str, str]]

_VOWELS = "aeiou"
_CODAS = "bdgklmnprt"


def _listed(words: str) -> list[str]:
    return words.split()


_ONSETS = _listed("b c d f g h k l m n p r s t v w st tr br pl sh")
_ONES = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TENS = _listed("twenty thirty forty fifty sixty seventy eighty ninety")


def general(count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Chats of all general tasks in turn."""
    tasks = list(TASKS.values())
    return [_chat(tasks[number % len(tasks)], number, seed) for number in range(count)]


def of_task(name: str, count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Chats of one general task."""
    return [_chat(TASKS[name], number, seed) for number in range(count)]


def _chat(task: Task, number: int, seed: int) -> list[dict[str, str]]:
    question, answer = task(Random(seed_of("general", task.__name__, seed, number)))
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def word(r: Random) -> str:
    """An invented word of one or two syllables, such as `tramel`."""
    first, second = (r.choice(_ONSETS) + r.choice(_VOWELS) for _ in range(2))
    return (first + second if r.random() < 0.7 else first) + r.choice(_CODAS)


def _copy(r: Random) -> tuple[str, str]:
    told = word(r)
    return f"Repeat after me: {told}", told


def _spell(r: Random) -> tuple[str, str]:
    told = word(r)
    return f"Spell '{told}' with spaces.", " ".join(told)


def _join(r: Random) -> tuple[str, str]:
    told = word(r)
    return f'Join the letters "{" ".join(told)}".', told


def _capitals(r: Random) -> tuple[str, str]:
    told = word(r)
    return f"Say '{told}' in capitals.", told.upper()


def _capitalise(r: Random) -> tuple[str, str]:
    told = word(r)
    return f"Say '{told}' with a capital letter.", told.capitalize()


def _plural(r: Random) -> tuple[str, str]:
    told = word(r)
    return f"What is the plural of '{told}'?", told + "s"


def _add(r: Random) -> tuple[str, str]:
    told, end = word(r), r.choice(_ONSETS) + r.choice(_VOWELS)
    return f"Add '{end}' to the end of '{told}'.", told + end


def _split(r: Random) -> tuple[str, str]:
    told = word(r)
    cut = next(place for place, letter in enumerate(told) if letter in _VOWELS)
    return f"Split '{told}' at the first vowel.", f"{told[:cut]}-{told[cut:]}"


def _swap(r: Random) -> tuple[str, str]:
    one, other = word(r), word(r)
    return f"Say '{one} {other}' with the words swapped.", f"{other} {one}"


def _in_words(r: Random) -> tuple[str, str]:
    number = r.randrange(100)
    return f"Write {number} in words.", _words(number)


def _in_digits(r: Random) -> tuple[str, str]:
    number = r.randrange(100)
    return f"Write {_words(number)} in digits.", str(number)


def _words(number: int) -> str:
    if number < len(_ONES):
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


TASKS: dict[str, Task] = {
    "copy": _copy,
    "spell": _spell,
    "join": _join,
    "capitals": _capitals,
    "capitalise": _capitalise,
    "plural": _plural,
    "add": _add,
    "split": _split,
    "swap": _swap,
    "number_words": _in_words,
    "number_digits": _in_digits,
}
"""By name, as ``tinsmith eval --on`` takes them; ``general`` is all of them in turn."""
