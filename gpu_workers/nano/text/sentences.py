"""Tasks on phrases and sentences, a small stock of facts, and plain sentences."""

import re
from collections.abc import Callable
from random import Random

from gpu_workers.nano.text.letters import quoted
from gpu_workers.nano.text.words import any_word, listed, plain_words

Task = Callable[[Random], tuple[str, str]]

_NAMES = listed(
    "Anna Ben Clara David Emma Fred Grace Henry Ida Jack "
    "Kate Leo Mia Noah Olga Paul Rosa Sam Tom Vera"
)
_THINGS = listed("ball book hat cup kite apple bag coat box pen bell map fork lamp key drum")
_COLOURS = listed("red blue green yellow black white brown pink grey orange")
_PLACES = listed("garden kitchen school park house shop forest station library barn")
_ANIMALS = listed("dog cat horse bird cow sheep duck mouse rabbit fox bear frog")
_GOOD = listed("happy glad lovely great wonderful kind sunny pleasant")
_BAD = listed("sad awful angry terrible dull cold lonely broken")

_KINDS = {
    "a colour": _COLOURS, "an animal": _ANIMALS, "a thing": _THINGS, "a place": _PLACES,
    "a person": _NAMES,
}  # fmt: skip

_OPPOSITES = (
    "hot cold, big small, up down, left right, day night, yes no, open closed, fast slow, old "
    "new, happy sad, wet dry, full empty, hard soft, light dark, loud quiet, early late, "
    "first last, near far, high low, rich poor, strong weak, thick thin, true false, clean "
    "dirty, sweet sour, long short, good bad, in out"
)
_FACTS = {
    "the sky": ("colour", "blue"), "grass": ("colour", "green"), "snow": ("colour", "white"),
    "coal": ("colour", "black"), "a lemon": ("colour", "yellow"), "a carrot": ("colour", "orange"),
    "blood": ("colour", "red"), "chocolate": ("colour", "brown"), "France": ("capital", "Paris"),
    "Italy": ("capital", "Rome"), "Spain": ("capital", "Madrid"), "Germany": ("capital", "Berlin"),
    "England": ("capital", "London"), "Japan": ("capital", "Tokyo"), "Norway": ("capital", "Oslo"),
    "Egypt": ("capital", "Cairo"), "Greece": ("capital", "Athens"), "Peru": ("capital", "Lima"),
    "a dog": ("young", "a puppy"), "a cat": ("young", "a kitten"), "a cow": ("young", "a calf"),
    "a sheep": ("young", "a lamb"), "a horse": ("young", "a foal"),
    "a duck": ("young", "a duckling"),
}  # fmt: skip
_SOUNDS = {
    "dog": "woof", "cat": "meow", "cow": "moo", "sheep": "baa", "duck": "quack", "frog": "croak",
}  # fmt: skip
_LEGS = {
    "dog": 4, "cat": 4, "bird": 2, "cow": 4, "spider": 8, "ant": 6, "fish": 0, "duck": 2,
    "horse": 4,
}  # fmt: skip
_DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MONTHS = listed(
    "January February March April May June July August September October November December"
)


def _phrase(r: Random, least: int = 2, most: int = 4) -> list[str]:
    return [
        any_word(r) if r.random() < 0.4 else r.choice(plain_words())
        for _ in range(r.randint(least, most))
    ]


def sentence(r: Random) -> str:
    """A plain sentence such as `Anna has a red ball in the garden.`"""
    name, thing, colour, place = (r.choice(pool) for pool in (_NAMES, _THINGS, _COLOURS, _PLACES))
    animal, good = r.choice(_ANIMALS), r.choice(_GOOD + _BAD)
    return r.choice(
        (
            f"{name} has a {colour} {thing}.", f"{name} has a {colour} {thing} in the {place}.",
            f"The {animal} is in the {place}.", f"The {colour} {animal} sees {name}.",
            f"{name} went to the {place} with the {animal}.", f"{name} was {good} in the {place}.",
            f"The {thing} of {name} is {colour}.", f"It was a {good} day in the {place}.",
            f"{name} put the {thing} in the {place}.", f"{name} and the {animal} went home.",
        )
    )  # fmt: skip


def copy_phrase(r: Random) -> tuple[str, str]:
    text = " ".join(_phrase(r)) if r.random() < 0.5 else sentence(r)
    phrasing = r.choice(("Repeat: {}", "Copy: {}", "Repeat after me: {}", "Say {}", "Write: {}"))
    return phrasing.format(text if text.endswith(".") else quoted(r, text)), text


def shout_phrase(r: Random) -> tuple[str, str]:
    text = " ".join(_phrase(r, 2, 3))
    phrasing = r.choice(("Say {} in capitals.", "Say {} in capital letters.", "Shout {}."))
    return phrasing.format(quoted(r, text)), text.upper()


def pick_word(r: Random) -> tuple[str, str]:
    words = _phrase(r)
    n = r.choice((0, len(words) - 1, r.randrange(len(words))))
    name = "last" if n == len(words) - 1 else ("first", "second", "third")[n]
    text = quoted(r, " ".join(words))
    return r.choice(
        (f"What is the {name} word of {text}?", f"Say the {name} word of {text}.")
    ), words[n]


def swap_words(r: Random) -> tuple[str, str]:
    a, b = _phrase(r, 2, 2)
    text = quoted(r, f"{a} {b}")
    return r.choice(
        (f"Swap the words of {text}.", f"Say {text} with the words swapped.")
    ), f"{b} {a}"


def join_words(r: Random) -> tuple[str, str]:
    words = _phrase(r, 2, 3)
    text = quoted(r, " ".join(words))
    if r.random() < 0.5:
        return r.choice((f"Write {text} as one word.", f"Say {text} as one word.")), "".join(words)
    return r.choice((f"Join {text} with hyphens.", f"Say {text} with hyphens.")), "-".join(words)


def initials(r: Random) -> tuple[str, str]:
    words = _phrase(r)
    text = quoted(r, " ".join(words))
    return r.choice(
        (f"What are the first letters of the words {text}?", f"Say the initials of {text}.")
    ), "".join(word[0] for word in words)


def count_words(r: Random) -> tuple[str, str]:
    words = _phrase(r, 1, 5)
    text = quoted(r, " ".join(words))
    return r.choice((f"How many words are in {text}?", f"Count the words of {text}.")), str(
        len(words)
    )


def longer_word(r: Random) -> tuple[str, str]:
    while True:
        a, b = _phrase(r, 2, 2)
        if len(a) != len(b):
            break
    if r.random() < 0.5:
        return f"Which word is longer, {quoted(r, a)} or {quoted(r, b)}?", max(a, b, key=len)
    return f"Which word is shorter, {quoted(r, a)} or {quoted(r, b)}?", min(a, b, key=len)


def same_word(r: Random) -> tuple[str, str]:
    a = any_word(r)
    b = a if r.random() < 0.5 else any_word(r)
    return f"Are {quoted(r, a)} and {quoted(r, b)} the same word?", "yes" if a == b else "no"


def read(r: Random) -> tuple[str, str]:
    """A question about one or two sentences that stand before it."""
    (n1, n2), (c1, c2), (t1, t2), (p1, p2) = (
        r.sample(pool, 2) for pool in (_NAMES, _COLOURS, _THINGS, _PLACES)
    )
    text = f"{n1} has a {c1} {t1} in the {p1}. {n2} has a {c2} {t2} in the {p2}."
    n, c, t, p = r.choice(((n1, c1, t1, p1), (n2, c2, t2, p2)))
    question, answer = r.choice(
        (
            (f"Who has the {t}?", n), (f"What does {n} have?", f"a {c} {t}"),
            (f"Where is {n}?", f"in the {p}"), (f"What colour is the {t}?", c),
            (f"Who is in the {p}?", n),
        )
    )  # fmt: skip
    return f"{text} {question}", answer


def mood(r: Random) -> tuple[str, str]:
    good = r.random() < 0.5
    word = r.choice(_GOOD if good else _BAD)
    text = r.choice(
        (
            f"It was a {word} day.", f"{r.choice(_NAMES)} was {word}.",
            f"The {r.choice(_ANIMALS)} is {word}.",
        )
    )  # fmt: skip
    request = r.choice((f"Good or bad? {text}", f"{text} Is that good or bad?"))
    return request, "good" if good else "bad"


def opposite(r: Random) -> tuple[str, str]:
    pair = r.choice([item.split() for item in _OPPOSITES.split(", ")])
    a, b = r.sample(pair, 2)
    return r.choice(
        (f"What is the opposite of {quoted(r, a)}?", f"Say the opposite of {quoted(r, a)}.")
    ), b


def fact(r: Random) -> tuple[str, str]:
    draw = r.randrange(4)
    if draw == 0:
        animal = r.choice(list(_SOUNDS))
        return r.choice(
            (f"What does a {animal} say?", f"What sound does a {animal} make?")
        ), _SOUNDS[animal]
    if draw == 1:
        animal = r.choice(list(_LEGS))
        return f"How many legs does a {animal} have?", str(_LEGS[animal])
    thing = r.choice(list(_FACTS))
    kind, answer = _FACTS[thing]
    if kind == "colour":
        return r.choice((f"What colour is {thing}?", f"Which colour has {thing}?")), answer
    if kind == "capital":
        return r.choice((f"What is the capital of {thing}?", f"Capital of {thing}?")), answer
    return f"What is the young of {thing} called?", answer


def calendar(r: Random) -> tuple[str, str]:
    names, what = r.choice(((_DAYS, "day"), (_MONTHS, "month")))
    n = r.randrange(len(names))
    if r.random() < 0.6:
        return f"Which {what} comes after {names[n]}?", names[(n + 1) % len(names)]
    return f"Which {what} comes before {names[n]}?", names[n - 1]


def greet(r: Random) -> tuple[str, str]:
    name = r.choice(_NAMES)
    return r.choice(
        (
            ("Hello!", "Hello! How can I help?"), ("Hi", "Hi! How can I help?"),
            ("Who are you?", "I am a very small model."), ("Thank you!", "You are welcome."),
            (f"My name is {name}.", f"Hello {name}! How can I help?"),
            (f"Say hello to {name}.", f"Hello {name}!"),
            ("What can you do?", "I can work with letters, words and small numbers."),
        )
    )  # fmt: skip


def write_sentence(r: Random) -> tuple[str, str]:
    """One of many right answers: the sentence only has to have the word."""
    while True:
        word = r.choice(_ANIMALS + _THINGS + _PLACES)
        text = sentence(r)
        if f" {word} " in text.replace(".", " "):
            break
    return r.choice(
        (
            f"Write a sentence with the word {quoted(r, word)}.",
            f"Say a sentence with {quoted(r, word)}.",
        )
    ), text


def name_one(r: Random) -> tuple[str, str]:
    """One of many right answers."""
    what, pool = r.choice(list(_KINDS.items()))
    return r.choice((f"Name {what}.", f"Say the name of {what}.")), r.choice(pool)


def is_right(task: str, request: str, expected: str, said: str) -> bool:
    """Whether the answer is right: the expected one, or for open tasks any that fits."""
    if task == "write a sentence":
        word = re.findall(r"[a-z]+", request)[-1]
        return said.endswith(".") and word in re.findall(r"[a-z]+", said)
    if task == "name one":
        pool = next(pool for what, pool in _KINDS.items() if request.endswith(f" {what}."))
        return said in pool
    return said == expected


SENTENCE_TASKS: dict[str, tuple[int, Task]] = {
    "copy a phrase": (6, copy_phrase),
    "phrase in capitals": (2, shout_phrase),
    "pick a word": (3, pick_word),
    "swap words": (2, swap_words),
    "join words": (3, join_words),
    "initials": (2, initials),
    "count words": (2, count_words),
    "longer or shorter word": (2, longer_word),
    "same word": (1, same_word),
    "read a sentence": (6, read),
    "good or bad": (3, mood),
    "opposite": (4, opposite),
    "fact": (6, fact),
    "calendar": (3, calendar),
    "write a sentence": (3, write_sentence),
    "name one": (2, name_one),
    "greeting": (2, greet),
}
