"""What the recipes add to the ``tinsmith`` command line: recipes, train, eval."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

HERE = "tinsmith_recipes.commands"


def add(command: Any, groups: Any, group: Any) -> None:
    """Add the commands to ``tinsmith``'s parser; nothing that takes time is imported."""
    recipes = group("recipes", "recipes: list, show, run, prove")
    command(recipes, "list", HERE, "list_recipes", "list the recipes that are installed")
    shown = command(recipes, "show", HERE, "show_recipe", "show a recipe and all its settings")
    shown.add_argument("name")
    ran = command(recipes, "run", HERE, "run_recipe", "run a recipe")
    ran.add_argument("name")
    ran.add_argument("settings", nargs=argparse.REMAINDER, metavar="key=value")


def list_recipes(command: Command) -> int:
    """Name and summary of each."""
    from tinsmith_recipes.training.command import find, installed

    found = [find(name) for name in installed()]
    if command.out.as_json:
        print(json.dumps([{"name": one.name, "summary": one.summary} for one in found]))
        return 0
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {one.summary}")
    return 0


def show_recipe(command: Command) -> int:
    """A recipe with its settings, or as JSON Schema."""
    from tinsmith_recipes.training.command import find, told
    from tinsmith_recipes.training.recipe import describe

    recipe = find(command.arguments.name)
    print(json.dumps(describe(recipe), indent=2) if command.out.as_json else told(recipe))
    return 0


def run_recipe(command: Command) -> int:
    """Run one."""
    from tinsmith_recipes.training.command import find, run

    return run(find(command.arguments.name), command.arguments.settings)
