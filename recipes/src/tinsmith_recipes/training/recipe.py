"""``Recipe``: a configuration whose every field explains itself, and what to do with it."""

from __future__ import annotations

import dataclasses
import types
import typing
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import chz
from chz.blueprint import ConstructionException, InvalidBlueprintArg

from tinsmith_recipes.training.figures import Figure
from tinsmith_recipes.training.folder import Summary
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.run import Run, execute

NANO = "tinsmith/nano-qwen3"
_KINDS = {int: "integer", float: "number", str: "string", bool: "boolean"}


def setting(
    default: Any,
    words: str,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Any:
    """A field of a recipe.

    Args:
        default: its value if nothing is said.
        words: one sentence: what it is, and why the default is what it is.
        least, most: the range of numbers, both ends included.
    """

    def check(recipe: Any, name: str) -> None:
        value = getattr(recipe, name)
        if value is None:
            return
        if (least is not None and value < least) or (most is not None and value > most):
            shown = name.removeprefix("X_")  # chz's own name for the value as it was given
            raise ValueError(f"{shown}={value!r} is out of range: {_range(least, most)}")

    limits = {"minimum": least, "maximum": most}
    return chz.field(
        default=default,
        doc=words,
        validator=check,
        metadata={name: bound for name, bound in limits.items() if bound is not None},
    )


@dataclass(frozen=True)
class Goal:
    """What one of a recipe's figures has to reach; ``tinsmith recipes prove`` sees whether it does.

    Attributes:
        figure: its name in the summary.
        least, most: what its value is at least, and at most.
    """

    figure: str
    least: float | None = None
    most: float | None = None

    def holds(self, figures: dict[str, Figure]) -> bool:
        """Whether it is true of these figures; of one that is missing it is not."""
        found = figures.get(self.figure)
        if found is None:
            return False
        return not (
            (self.least is not None and found.value < self.least)
            or (self.most is not None and found.value > self.most)
        )

    def __str__(self) -> str:
        return f"{self.figure} {_range(self.least, self.most)}"


@dataclass(frozen=True)
class Estimate:
    """What a run will cost: optimizer steps, and tokens that the server works on."""

    steps: int
    tokens: int


@chz.chz
class Recipe:
    """What every recipe has. A subclass adds its own fields, and ``run``."""

    name: ClassVar[str]
    summary: ClassVar[str]
    goals: ClassVar[tuple[Goal, ...]] = ()

    base_model: str = setting(
        NANO, "The base model that is tuned; the nano model needs no GPU and no hub."
    )
    log_path: str | None = setting(
        None,
        "The folder of the run's files; the same folder again goes on where it ended. By default "
        "one below ./tinsmith-runs, named after the recipe and its settings.",
    )
    seed: int = setting(
        0, "Decides the data's order, the adapter's first values and every sample.", least=0
    )
    rank: int = setting(
        32, "Rank of the adapter; 32 is what the learning rates are tuned at.", least=1, most=1024
    )
    renderer: str | None = setting(
        None, "How chats are written as tokens; by default as the base model's family writes them."
    )
    save_every: int = setting(
        20,
        "Optimizer steps between checkpoints that a killed run goes on from; 0 saves none.",
        least=0,
    )
    eval_every: int = setting(
        0,
        "Optimizer steps between evaluations on held-out data; 0 evaluates at the end only.",
        least=0,
    )
    keep_days: int = setting(
        7,
        "Days until the server deletes the checkpoints in between; the last one stays.",
        least=1,
        most=3650,
    )
    keep_last: int = setting(
        3,
        "How many of those checkpoints are kept at once; older ones are deleted.",
        least=1,
        most=1000,
    )
    wandb_project: str | None = setting(
        None, "Also sends the metrics to this project of Weights & Biases; by default to none."
    )

    async def run(self) -> Summary:
        """Do it, or go on where a killed run ended; what came of it.

        Raises:
            ValueError: settings that do not fit each other, or the run that ``log_path`` holds.
        """
        return await execute(self)

    @abstractmethod
    async def train(self, run: Run) -> dict[str, Figure]:
        """The work itself; the figures it ends with."""

    @abstractmethod
    def estimate(self) -> Estimate:
        """Steps and tokens of a run with these settings, without asking a server."""


def describe(recipe: type[Recipe]) -> dict[str, Any]:
    """A recipe for a form: name, summary, goals, a JSON Schema of its fields, an estimate."""
    estimate = recipe().estimate()
    return {
        "name": recipe.name,
        "summary": recipe.summary,
        "goals": [str(goal) for goal in recipe.goals],
        "schema": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: {
                    **_schema(field.x_type),
                    **(field.metadata or {}),
                    "default": _plain(field._default),
                    "description": field._doc,
                }
                for name, field in chz.chz_fields(recipe).items()
            },
        },
        "estimate": dataclasses.asdict(estimate),
    }


def read(recipe: type[Recipe], arguments: Sequence[str]) -> Recipe:
    """A recipe from ``key=value`` words.

    Raises:
        ValueError: an unknown key, with the nearest known one; a value of the wrong type or range.
    """
    known = list(chz.chz_fields(recipe))
    for word in arguments:
        key, given, _ = word.partition("=")
        if not given:
            raise ValueError(f"{word!r} is no key=value; settings look like seed=1")
        if key not in known:
            raise ValueError(f"{recipe.name} has no setting {key!r}; {meant(key, known)}")
    try:
        return chz.Blueprint(recipe).make_from_argv(list(arguments))
    except (InvalidBlueprintArg, ConstructionException) as error:
        raise ValueError(f"{recipe.name}: {_first_reason(str(error))}") from None


def _first_reason(words: str) -> str:
    """The line of chz's message that says what is wrong with a value."""
    lines = [line for line in words.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Could not cast")), lines[0])


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"from {least} to {most}"
    return f"at least {least}" if least is not None else f"at most {most}"


def _schema(kind: Any) -> dict[str, Any]:
    """A type as JSON Schema."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(one) for one in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return {"type": "array", "items": _schema(inner[0])}
    if kind is type(None):
        return {"type": "null"}
    return {"type": _KINDS[kind]}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
