"""What is chosen where nothing is said: steps, batch and rate, and why."""

from __future__ import annotations

import math

from tinsmith.errors import NotFoundError
from tinsmith.hyperparameters import get_lr
from tinsmith.types.results import SupportedModel
from tinsmith_recipes.training.loop import FEW_STEPS
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.run import Run

CAUTIOUS_RATE = 2e-4


async def offered(run: Run) -> SupportedModel:
    """What the server says of the base model.

    Raises:
        NotFoundError: it does not offer it.
    """
    found = (await run.service.get_server_capabilities_async()).supported_models
    for model in found:
        if model.model_name == run.recipe.base_model:
            return model
    names = [str(model.model_name) for model in found]
    nearest = meant(run.recipe.base_model, names, "it offers")
    raise NotFoundError(f"the server does not offer {run.recipe.base_model!r}; {nearest}")


def steps_for(examples: int, batch_size: int) -> tuple[int, str]:
    """Steps for so many examples, and why."""
    epoch = math.ceil(examples / batch_size)
    if epoch >= FEW_STEPS:
        return epoch, f"each of the {examples} examples once"
    times = FEW_STEPS * batch_size / examples
    return FEW_STEPS, f"the {examples} examples about {times:.3g} times: fewer steps teach little"


def rate_for(model: SupportedModel) -> tuple[float, str]:
    """A learning rate for a model, and why."""
    name = str(model.model_name)
    try:
        return get_lr(name, hidden_size=model.hidden_size), f"what get_lr computes for {name}"
    except ValueError as error:
        return CAUTIOUS_RATE, f"a cautious one: {error}"
