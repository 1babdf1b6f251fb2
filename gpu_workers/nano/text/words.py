"""Words to work on: our own list of plain English words, and invented ones that can be said."""

from functools import cache
from pathlib import Path
from random import Random

VOWELS = "aeiou"
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def listed(text: str) -> list[str]:
    """The words of a text: how this package writes its lists."""
    return text.split()


_ONSETS = (
    listed(
        "b c d f g h j k l m n p r s t v w y z bl br ch cl cr dr fl fr gl gr pl pr "
        "sc sh sk sl sm sn sp squ st str th tr tw wh qu"
    )
    + [""] * 4
)
_NUCLEI = listed("a e i o u a e i o u ai ea ee oo ou y")
_CODAS = listed("b d g k l m n p r s t ck ll nd ng nk nt rd rk rt sh st th x") + [""] * 10
_LONGEST = 10


@cache
def plain_words() -> tuple[str, ...]:
    """About 1,100 plain English words of 3 to 9 lower-case letters, sorted."""
    return tuple(sorted(Path(__file__).with_name("words.txt").read_text().split()))


def split_words(held_out: int = 100, seed: int = 0) -> tuple[list[str], list[str]]:
    """The plain words, shuffled, as two disjoint lists: to learn from, and `held_out` to test."""
    shuffled = list(plain_words())
    Random(seed).shuffle(shuffled)
    return shuffled[held_out:], shuffled[:held_out]


def invented_word(r: Random) -> str:
    """A word that does not exist, such as `stroobing`: at most ten letters."""
    while True:
        count = r.choice((1, 1, 2, 2, 2, 3))
        parts = (r.choice(pool) for _ in range(count) for pool in (_ONSETS, _NUCLEI, _CODAS))
        word = "".join(parts)
        if len(word) >= 2:
            return word[:_LONGEST]


def any_word(r: Random) -> str:
    """A plain or an invented word; now and then mere letters, so that spelling is really read."""
    draw = r.random()
    if draw < 0.5:
        return r.choice(plain_words())
    if draw < 0.92:
        return invented_word(r)
    return "".join(r.choices(ALPHABET, k=r.randint(2, 8)))


def first_vowel(word: str) -> int:
    """Index of the first of a, e, i, o, u; len(word) if there is none."""
    return next((index for index, letter in enumerate(word) if letter in VOWELS), len(word))
