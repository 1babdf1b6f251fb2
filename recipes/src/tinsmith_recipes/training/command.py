"""Running recipes from the command line, and finding those that are installed."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

import chz

from tinsmith.errors import TinsmithError
from tinsmith_recipes.training.folder import Summary
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.recipe import Recipe, describe, read
from tinsmith_recipes.training.run import default_path

GROUP = "tinsmith.recipes"
DONE, FAILED, NOT_UNDERSTOOD, INTERRUPTED = 0, 1, 2, 130


def installed() -> dict[str, EntryPoint]:
    """The recipes of all installed packages, by name; none is imported yet."""
    return {found.name: found for found in sorted(entry_points(group=GROUP))}


def find(name: str) -> type[Recipe]:
    """The recipe of this name.

    Raises:
        ValueError: there is none; names the nearest, or all.
    """
    known = installed()
    if name not in known:
        raise ValueError(f"there is no recipe {name!r}; {meant(name, known)}")
    found: type[Recipe] = known[name].load()
    return found


def main(recipe: type[Recipe], arguments: Sequence[str] | None = None) -> None:
    """What ``python -m tinsmith_recipes.NAME.train key=value …`` does; ends the process."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if {"--help", "-h", "help"} & set(given):
        print(told(recipe))
        sys.exit(DONE)
    sys.exit(run(recipe, given))


def run(recipe: type[Recipe], arguments: Sequence[str], *, as_json: bool = False) -> int:
    """Run a recipe with ``key=value`` words, and say how it went; the exit status."""
    try:
        chosen = read(recipe, arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return NOT_UNDERSTOOD
    folder = chosen.log_path or default_path(chosen)
    print(f"{recipe.name}: its files are in {folder}", file=sys.stderr)
    try:
        summary = asyncio.run(chosen.run())
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on from {folder}", file=sys.stderr)
        return INTERRUPTED
    except (TinsmithError, ValueError, OSError, ImportError) as error:
        print(f"{recipe.name}: {error}", file=sys.stderr)
        return FAILED
    print(json.dumps(dataclasses.asdict(summary)) if as_json else ended(summary))
    return DONE


def ended(summary: Summary) -> str:
    """A summary in words."""
    cost = f"{summary.steps} steps, {summary.tokens:,} tokens, {summary.seconds:.0f} s"
    end = f"; stopped: {summary.stopped}" if summary.stopped else ""
    lines = [f"{summary.recipe}: {cost}{end}"]
    width = max(map(len, summary.figures), default=0)
    lines += [f"  {name:{width}}  {figure}" for name, figure in summary.figures.items()]
    if summary.sampler_path:
        lines.append(f"  chat with it: tinsmith chat {summary.sampler_path}")
    return "\n".join(lines)


def told(recipe: type[Recipe]) -> str:
    """A recipe with all its settings, for reading."""
    described = describe(recipe)
    lines = [f"{described['name']}: {described['summary']}", ""]
    if described["goals"]:
        lines += ["ends with " + ", ".join(described["goals"]), ""]
    for name, field in chz.chz_fields(recipe).items():
        schema = described["schema"]["properties"][name]
        lines.append(f"  {name}={'' if schema['default'] is None else schema['default']}")
        lines.append(f"      {field._doc}")
    cost = described["estimate"]
    lines += ["", f"about {cost['steps']} steps and {cost['tokens']:,} tokens as it stands"]
    return "\n".join(lines)
