"""The task: plain English words, the question, the right answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

VOWELS = "aeiou"


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
    words = sorted(Path(__file__).with_name("words.txt").read_text().split())
    Random(seed).shuffle(words)
    exercises = [Word(word) for word in words]
    return exercises[held_out:], exercises[:held_out]
