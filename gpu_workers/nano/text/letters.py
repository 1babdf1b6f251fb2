"""Tasks on the letters of a word: copying, spelling, casing, moving, removing, counting."""

from collections.abc import Callable
from random import Random

from gpu_workers.nano.text.words import ALPHABET, VOWELS, any_word, first_vowel, invented_word

Task = Callable[[Random], tuple[str, str]]
_QUOTES = ("'{}'",) * 5 + ('"{}"',) * 3 + ("{}",) * 3
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_COUNTS = ("no", "one", "two", "three")


def quoted(r: Random, text: str) -> str:
    """The text as it stands in a request: in single or double quotes or bare."""
    return r.choice(_QUOTES).format(text)


def ask(r: Random, word: str, *phrasings: str) -> str:
    """One of the phrasings; `{w}` becomes the word quoted somehow, `{u}` the bare word."""
    return r.choice(phrasings).replace("{w}", quoted(r, word)).replace("{u}", word)


def _cased(r: Random) -> str:
    word = any_word(r)
    return r.choice((word, word, word, word.capitalize(), word.upper()))


def copy(r: Random) -> tuple[str, str]:
    w = _cased(r)
    return ask(
        r, w, "Say {w}.", "Say {w}.", "Repeat {w}.", "Repeat after me: {u}", "Copy: {u}",
        "Write {w}.", "Write the word {w}.", "Please say {w}.", "Can you say {w}?",
        "Say the word {w}.",
    ), w  # fmt: skip


def copy_twice(r: Random) -> tuple[str, str]:
    w, n = any_word(r), r.choice((2, 2, 3))
    times = "twice" if n == 2 else "three times"
    return ask(
        r, w, f"Say {{w}} {times}.", f"Repeat {{w}} {times}.", f"Write the word {{w}} {times}."
    ), " ".join([w] * n)


def spell(r: Random) -> tuple[str, str]:
    w = any_word(r)
    mark, name = r.choice((("-", "hyphens"), ("-", "hyphens"), (" ", "spaces"), (", ", "commas")))
    if mark == "-" and r.random() < 0.6:
        return ask(
            r, w, "Spell {w}.", "Spell: {u}", "How do you spell {w}?", "Say {w} letter by letter."
        ), "-".join(w)
    return ask(r, w, f"Spell {{w}} with {name}.", f"Say {{w}} with {name}."), mark.join(w)


def join_letters(r: Random) -> tuple[str, str]:
    w = any_word(r)
    letters = r.choice(("-", "-", " ")).join(w)
    return ask(
        r, letters, "Which word is {u}?", "Join the letters: {u}", "Join the letters {w}.",
        "What word do the letters {w} spell?",
    ), w  # fmt: skip


def upper(r: Random) -> tuple[str, str]:
    w = any_word(r)
    return ask(
        r, w, "Say {w} in capitals.", "Say {w} in capital letters.", "Uppercase: {u}",
        "Write {w} in upper case.", "Shout {w}.",
    ), w.upper()  # fmt: skip


def lower(r: Random) -> tuple[str, str]:
    w = any_word(r)
    shown = w.upper() if r.random() < 0.7 else w.capitalize()
    return ask(
        r, shown, "Say {w} in small letters.", "Lowercase: {u}", "Write {w} in lower case."
    ), w


def capitalise(r: Random) -> tuple[str, str]:
    w = any_word(r)
    return ask(
        r, w, "Say {w} with a capital letter.", "Start {w} with a capital letter.",
        "Capitalise: {u}",
    ), w.capitalize()  # fmt: skip


def reverse(r: Random) -> tuple[str, str]:
    w = any_word(r)[:8]
    return ask(
        r, w, "Say {w} backwards.", "Reverse {w}.", "Reverse: {u}", "Write {w} backwards.",
        "What is {w} backwards?",
    ), w[::-1]  # fmt: skip


def nth_letter(r: Random) -> tuple[str, str]:
    w = any_word(r)
    n = r.randrange(min(len(w), 5))
    if r.random() < 0.3:
        n, name = len(w) - 1, "last"
    else:
        name = _ORDINALS[n]
    return ask(
        r, w, f"What is the {name} letter of {{w}}?", f"Say the {name} letter of {{w}}.",
        f"Which letter is {name} in {{w}}?", f"{name.capitalize()} letter of {{w}}?",
    ), w[n]  # fmt: skip


def first_letters(r: Random) -> tuple[str, str]:
    w = any_word(r)
    n = r.choice((2, 2, 3))
    if r.random() < 0.5:
        return ask(
            r, w, f"What are the first {_COUNTS[n]} letters of {{w}}?",
            f"Say the first {_COUNTS[n]} letters of {{w}}.",
        ), w[:n]  # fmt: skip
    return ask(
        r, w, f"What are the last {_COUNTS[n]} letters of {{w}}?",
        f"Say the last {_COUNTS[n]} letters of {{w}}.",
    ), w[-n:]  # fmt: skip


def drop(r: Random) -> tuple[str, str]:
    w = any_word(r) + r.choice(ALPHABET)
    end = r.choice(("first", "last"))
    n = r.choice((1, 1, 1, 2, 3)) if len(w) > 4 else 1
    what = f"{end} letter" if n == 1 else f"{end} {_COUNTS[n]} letters"
    return ask(
        r, w, f"Say {{w}} without the {what}.", f"Remove the {what} of {{w}}.",
        f"Drop the {what}: {{u}}", f"Take the {what} off {{w}}.",
    ), w[n:] if end == "first" else w[:-n]  # fmt: skip


def move_first(r: Random) -> tuple[str, str]:
    w = any_word(r) + r.choice(("", r.choice(ALPHABET)))
    n = r.choice((1, 1, 2, 2, 3)) if len(w) > 4 else 1
    what = "first letter" if n == 1 else f"first {_COUNTS[n]} letters"
    return ask(
        r, w, f"Say {{w}} with the {what} moved to the end.", f"Move the {what} to the end: {{u}}",
        f"Move the {what} of {{w}} to the end.", f"Put the {what} of {{w}} at the end.",
    ), w[n:] + w[:n]  # fmt: skip


def move_last(r: Random) -> tuple[str, str]:
    w = any_word(r)
    return ask(
        r, w, "Say {w} with the last letter moved to the front.",
        "Move the last letter of {w} to the front.", "Move the last letter to the front: {u}",
    ), w[-1] + w[:-1]  # fmt: skip


def swap_ends(r: Random) -> tuple[str, str]:
    w = any_word(r) + r.choice(ALPHABET)
    return ask(
        r, w, "Swap the first and last letter of {w}.",
        "Say {w} with the first and last letter swapped.",
    ), w[-1] + w[1:-1] + w[0]  # fmt: skip


def _piece(r: Random) -> str:
    while True:
        usual = ("s", "ed", "ing", "er", "ly")
        piece = r.choice((r.choice(ALPHABET), invented_word(r)[:3], r.choice(usual)))
        if not piece.endswith("ay"):
            return piece


def add_end(r: Random) -> tuple[str, str]:
    w, end = any_word(r), _piece(r)
    mark = quoted(r, end)
    return ask(
        r, w, f"Add {mark} to the end of {{w}}.", f"Say {{w}} with {mark} at the end.",
        f"Put {mark} at the end of {{w}}.",
    ), w + end  # fmt: skip


def add_front(r: Random) -> tuple[str, str]:
    w, front = any_word(r), _piece(r)
    mark = quoted(r, front)
    return ask(
        r, w, f"Add {mark} to the front of {{w}}.", f"Say {{w}} with {mark} at the front.",
        f"Put {mark} at the front of {{w}}.",
    ), front + w  # fmt: skip


def plural(r: Random) -> tuple[str, str]:
    w = any_word(r)
    if w.endswith(("s", "x", "sh", "ch", "z")):
        answer = w + "es"
    elif w.endswith("y") and w[-2] not in VOWELS:
        answer = w[:-1] + "ies"
    else:
        answer = w + "s"
    return ask(r, w, "What is the plural of {w}?", "Plural: {u}", "Say {w} in the plural."), answer


def split_vowel(r: Random) -> tuple[str, str]:
    w = any_word(r)
    cut = first_vowel(w)
    if not 0 < cut < len(w):
        return split_half(r)
    return ask(
        r, w, "Split {w} at the first vowel.", "Split at the first vowel: {u}",
        "Say {w} with a hyphen in front of the first vowel.",
    ), w[:cut] + "-" + w[cut:]  # fmt: skip


def split_half(r: Random) -> tuple[str, str]:
    w = any_word(r) + r.choice(ALPHABET)
    n = r.randint(1, min(3, len(w) - 1))
    what = "the first letter" if n == 1 else f"the first {_COUNTS[n]} letters"
    return ask(
        r, w, f"Put a hyphen after {what} of {{w}}.", f"Say {{w}} with a hyphen after {what}."
    ), w[:n] + "-" + w[n:]


def around_vowel(r: Random) -> tuple[str, str]:
    w = any_word(r)
    cut = first_vowel(w)
    if cut == len(w):
        return copy(r)
    if r.random() < 0.5:
        return ask(
            r, w, "What comes in front of the first vowel of {w}?",
            "Say the letters in front of the first vowel of {w}.",
        ), w[:cut] or "nothing"  # fmt: skip
    return ask(
        r, w, "Say {w} from its first vowel on.", "Start {w} at its first vowel.",
        "What is left of {w} from its first vowel on?",
    ), w[cut:]  # fmt: skip


def first_vowel_of(r: Random) -> tuple[str, str]:
    w = any_word(r)
    found = [letter for letter in w if letter in VOWELS]
    return ask(r, w, "What is the first vowel of {w}?", "Say the first vowel of {w}."), found[
        0
    ] if found else "none"


def only_some(r: Random) -> tuple[str, str]:
    w = any_word(r)
    vowels = r.random() < 0.5
    kept = "".join(letter for letter in w if (letter in VOWELS) == vowels)
    name, other = ("vowels", "consonants") if vowels else ("consonants", "vowels")
    return ask(
        r, w, f"Say only the {name} of {{w}}.", f"Which {name} are in {{w}}?",
        f"Say {{w}} without its {other}.", f"Remove the {other} of {{w}}.",
    ), kept or "none"  # fmt: skip


def starts_with(r: Random) -> tuple[str, str]:
    w = any_word(r)
    vowel = w[0] in VOWELS
    if r.random() < 0.5:
        return ask(r, w, "Does {w} start with a vowel?"), "yes" if vowel else "no"
    return ask(r, w, "Does {w} start with a consonant?"), "no" if vowel else "yes"


def contains(r: Random) -> tuple[str, str]:
    w = any_word(r)
    letter = r.choice(w) if r.random() < 0.5 else r.choice(ALPHABET)
    mark = quoted(r, letter)
    return ask(
        r, w, f"Is there {mark} in {{w}}?", f"Does {{w}} have the letter {mark}?"
    ), "yes" if letter in w else "no"


def count_letters(r: Random) -> tuple[str, str]:
    w = any_word(r)
    return ask(
        r, w, "How many letters are in {w}?", "Count the letters of {w}.", "How long is {w}?"
    ), str(len(w))


def count_one(r: Random) -> tuple[str, str]:
    w = any_word(r)
    letter = r.choice(w) if r.random() < 0.7 else r.choice(ALPHABET)
    mark = quoted(r, letter)
    return ask(
        r, w, f"How many times is {mark} in {{w}}?", f"Count the letter {mark} in {{w}}."
    ), str(w.count(letter))


def replace(r: Random) -> tuple[str, str]:
    w = any_word(r)
    old, new = r.choice(w), r.choice(ALPHABET)
    return ask(
        r, w, f"Replace {quoted(r, old)} with {quoted(r, new)} in {{w}}.",
        f"Say {{w}} with {new} for every {old}.",
    ), w.replace(old, new)  # fmt: skip


def double(r: Random) -> tuple[str, str]:
    w = any_word(r)[:7]
    return ask(r, w, "Double every letter of {w}.", "Say {w} with every letter doubled."), "".join(
        letter * 2 for letter in w
    )


def sort_letters(r: Random) -> tuple[str, str]:
    w = any_word(r)[:6]
    phrasings = ("Sort the letters of {w}.", "Say the letters of {w} in order.")
    return ask(r, w, *phrasings), "".join(sorted(w))


def next_letter(r: Random) -> tuple[str, str]:
    n = r.randrange(26)
    if n > 0 and r.random() < 0.4:
        return ask(r, ALPHABET[n], "Which letter comes before {w}?"), ALPHABET[n - 1]
    return ask(r, ALPHABET[n], "Which letter comes after {w}?"), (ALPHABET + "a")[n + 1]


def two_steps(r: Random) -> tuple[str, str]:
    """Two tasks in one: the second works on what the first gives."""
    w = any_word(r)[:8]
    if r.random() < 0.5:
        phrasings = ("Reverse {w} and write it in capitals.", "Say {w} backwards and in capitals.")
        return ask(r, w, *phrasings), w[::-1].upper()
    if r.random() < 0.5:
        phrasings = ("Spell {w} in capitals.", "Spell {w} in capital letters.")
        return ask(r, w, *phrasings), "-".join(w.upper())
    phrasings = ("Spell {w} backwards.", "Say {w} backwards letter by letter.")
    return ask(r, w, *phrasings), "-".join(w[::-1])


LETTER_TASKS: dict[str, tuple[int, Task]] = {
    "copy": (9, copy),
    "copy twice": (3, copy_twice),
    "spell": (6, spell),
    "join letters": (5, join_letters),
    "upper case": (4, upper),
    "lower case": (3, lower),
    "capitalise": (2, capitalise),
    "reverse": (6, reverse),
    "nth letter": (5, nth_letter),
    "first or last letters": (5, first_letters),
    "drop letters": (7, drop),
    "move first letters": (8, move_first),
    "move last letter": (4, move_last),
    "swap ends": (3, swap_ends),
    "add at the end": (7, add_end),
    "add at the front": (4, add_front),
    "plural": (2, plural),
    "split at a vowel": (5, split_vowel),
    "split after letters": (3, split_half),
    "around the first vowel": (5, around_vowel),
    "first vowel": (3, first_vowel_of),
    "vowels or consonants only": (4, only_some),
    "starts with a vowel": (3, starts_with),
    "contains a letter": (2, contains),
    "count letters": (3, count_letters),
    "count one letter": (4, count_one),
    "replace a letter": (4, replace),
    "double letters": (2, double),
    "sort letters": (3, sort_letters),
    "next letter": (2, next_letter),
    "two steps": (3, two_steps),
}
