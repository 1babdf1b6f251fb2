"""What recipes are built of: a run and its files, the loops, environments, evaluation."""

from tinsmith_recipes.training.figures import Figure, exact, mean, share
from tinsmith_recipes.training.folder import Checkpoint, Summary
from tinsmith_recipes.training.loop import Stop, train_steps
from tinsmith_recipes.training.order import batch
from tinsmith_recipes.training.recipe import NANO, Estimate, Goal, Recipe, describe, read, setting
from tinsmith_recipes.training.run import Run

__all__ = [
    "NANO",
    "Checkpoint",
    "Estimate",
    "Figure",
    "Goal",
    "Recipe",
    "Run",
    "Stop",
    "Summary",
    "batch",
    "describe",
    "exact",
    "mean",
    "read",
    "setting",
    "share",
    "train_steps",
]
