"""The task: plain English words, the question, the right answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

VOWELS = "aeiou"
HELD_OUT = 100


@dataclass(frozen=True, slots=True)
class Word:
    """One exercise."""

    word: str

    @property
    def question(self) -> list[dict[str, str]]:
        """The chat up to the answer."""
        return [{"role": "user", "content": f"Say '{self.word}' in Pig Latin."}]

    @property
    def answer(self) -> str:
        """What the model should say."""
        return pig_latin(self.word)

    @property
    def chat(self) -> list[dict[str, str]]:
        """Question and answer."""
        return [*self.question, {"role": "assistant", "content": self.answer}]


def pig_latin(word: str) -> str:
    """`banana` → `ananabay`; after a vowel comes only `way`: `apple` → `appleway`."""
    first_vowel = next((i for i, letter in enumerate(word) if letter in VOWELS), len(word))
    if first_vowel == 0:
        return word + "way"
    return word[first_vowel:] + word[:first_vowel] + "ay"


def split_words(held_out: int, seed: int = 0) -> tuple[list[Word], list[Word]]:
    """The word list as two disjoint shuffled lists: to learn from, and `held_out` to test with."""
    words = plain_words()
    Random(seed).shuffle(words)
    exercises = [Word(word) for word in words]
    return exercises[held_out:], exercises[:held_out]


def plain_words() -> list[str]:
    """About 1,100 plain English words, sorted."""
    return sorted(Path(__file__).with_name("words.txt").read_text().split())


def held_out_chats(count: int, seed: int = 0) -> list[list[dict[str, str]]]:
    """Chats on the words that a run with this seed is tested with, and at most ``count``."""
    return [word.chat for word in split_words(HELD_OUT, seed)[1][:count]]
