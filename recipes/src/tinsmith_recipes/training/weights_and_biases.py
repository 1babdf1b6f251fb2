"""A run's settings, metrics and figures in Weights & Biases, where ``wandb_project`` names one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import chz

from tinsmith_recipes.training.figures import Figure
from tinsmith_recipes.training.folder import RunFolder

if TYPE_CHECKING:
    from tinsmith_recipes.training.recipe import Recipe


def check_wandb(recipe: Recipe) -> None:
    """Refuse what could not be reported before it costs anything.

    Raises:
        ValueError: the recipe names a project, and W&B's package is not installed.
    """
    if recipe.wandb_project is not None and find_spec("wandb") is None:
        raise ValueError("wandb_project needs wandb: pip install 'tinsmith-recipes[wandb]'")


class Report:
    """One run there. A run of ours that goes on is the same one there, a stage one of its own.

    Its group is the folder's name, so that a recipe's stages stand together. W&B's own files go
    into the folder.
    """

    def __init__(self, recipe: Recipe, folder: RunFolder, stage: str | None) -> None:
        import wandb

        identity = folder.state.get("wandb") or secrets.token_hex(4)
        folder.leave(wandb=identity)
        self._run: Any = wandb.init(
            project=recipe.wandb_project,
            name=f"{recipe.name} {stage or ''}".strip(),
            group=(folder.path.parent if stage else folder.path).resolve().name,
            id=identity,
            resume="allow",
            reinit="create_new",  # a stage's run lies within its recipe's
            dir=folder.path,
            allow_val_change=True,  # a run that goes on may be saved more or less often
            config={"recipe": recipe.name, "stage": stage, **chz.asdict(recipe)},
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """A row. W&B leaves out those of steps that it has seen, as when a killed run goes on."""
        self._run.log(dict(metrics), step=step)

    def finish(self, figures: Mapping[str, Figure]) -> None:
        """What came of it, and the end."""
        self._run.summary.update({name: figure.value for name, figure in figures.items()})
        self._run.finish()

    def fail(self) -> None:
        """The end of a run that did not come to its own."""
        self._run.finish(exit_code=1)
