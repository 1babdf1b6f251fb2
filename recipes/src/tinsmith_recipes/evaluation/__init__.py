"""Evaluation: what a model does on chats whose right answers are known, beside its base model."""

from tinsmith_recipes.evaluation.comparison import Compared, compare
from tinsmith_recipes.evaluation.examining import Scores, examine
from tinsmith_recipes.evaluation.measures import exact_match, token_f1, win_rate

__all__ = ["Compared", "Scores", "compare", "exact_match", "examine", "token_f1", "win_rate"]
