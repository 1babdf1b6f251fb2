"""Teaches a base model Pig Latin with supervised examples: the smallest recipe there is."""

from recipes.pig_latin.task import Word, exact_match, pig_latin, split_words
from recipes.pig_latin.train import Recipe, Step, answer, train

__all__ = ["Recipe", "Step", "Word", "answer", "exact_match", "pig_latin", "split_words", "train"]
