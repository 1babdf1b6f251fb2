"""Preferences: pairs of answers as data, direct preference optimization, reward models."""

from tinsmith_recipes.training.preference.judging import (
    answer_logprobs,
    likelihoods,
    preferred,
    scores,
    win_rate,
)
from tinsmith_recipes.training.preference.losses import DPO, Reference, bradley_terry, dpo_gradient
from tinsmith_recipes.training.preference.pairs import (
    Pair,
    answer_data,
    check_pairs,
    scored_data,
    tokenized,
)
from tinsmith_recipes.training.preference.training import Comparing, PairSettings, train_pairs

__all__ = [
    "DPO",
    "Comparing",
    "Pair",
    "PairSettings",
    "Reference",
    "answer_data",
    "answer_logprobs",
    "bradley_terry",
    "check_pairs",
    "dpo_gradient",
    "likelihoods",
    "preferred",
    "scored_data",
    "scores",
    "tokenized",
    "train_pairs",
    "win_rate",
]
