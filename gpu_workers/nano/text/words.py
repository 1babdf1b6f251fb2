"""Words to work on: our own list of plain English words, and invented ones that can be pronounced."""

from functools import cache
from pathlib import Path
from random import Random

VOWELS = "aeiou"
ALPHABET = "abcdefghijklmnopqrstuvwxyz"

_ONSETS = (
    "b c d f g h j k l m n p r s t v w y z bl br ch cl cr dr fl fr gl gr pl pr sc sh sk sl sm sn sp "
    "squ st str th tr tw wh qu"
).split() + [""] * 4
_NUCLEI = "a e i o u a e i o u ai ea ee oo ou y".split()
_CODAS = "b d g k l m n p r s t ck ll nd ng nk nt rd rk rt sh st th x".split() + [""] * 10
_LONGEST = 10


@cache
def plain_words() -> tuple[str, ...]:
    """About 1,100 plain English words of 3 to 9 lower-case letters, sorted."""
    return tuple(sorted(Path(__file__).with_name("words.txt").read_text().split()))


def split_words(held_out: int = 100, seed: int = 0) -> tuple[list[str], list[str]]:
    """The plain words as two disjoint lists, shuffled: to learn from, and `held_out` to test with."""
    shuffled = list(plain_words())
    Random(seed).shuffle(shuffled)
    return shuffled[held_out:], shuffled[:held_out]


def invented_word(r: Random) -> str:
    """A word that does not exist, such as `stroobing`: at most ten letters."""
    while True:
        count = r.choice((1, 1, 2, 2, 2, 3))
        word = "".join(r.choice(_ONSETS) + r.choice(_NUCLEI) + r.choice(_CODAS) for _ in range(count))
        if len(word) >= 2:
            return word[:_LONGEST]


def any_word(r: Random) -> str:
    """A plain or an invented word; now and then letters at random, so that spelling is really read."""
    draw = r.random()
    if draw < 0.5:
        return r.choice(plain_words())
    if draw < 0.92:
        return invented_word(r)
    return "".join(r.choices(ALPHABET, k=r.randint(2, 8)))


def first_vowel(word: str) -> int:
    """Index of the first of a, e, i, o, u; len(word) if there is none."""
    return next((index for index, letter in enumerate(word) if letter in VOWELS), len(word))
