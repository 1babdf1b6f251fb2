"""The recipes that are installed beside the platform: what each says of itself, and its README.

They are found through the entry points `tinsmith.recipes`, as the command line finds them. Nothing
of them is imported: name, summary and goals stand in the text of their class.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

GROUP = "tinsmith.recipes"
PLACE = "<!-- the recipes that are installed -->"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One recipe; `readme` is None where it has none."""

    name: str
    summary: str
    goals: list[str]
    readme: Path | None

    @property
    def slug(self) -> str:
        """The address of its page."""
        return "recipe-" + self.name.lower().replace(".", "-").replace("_", "-")


@cache
def installed() -> list[Recipe]:
    """All of them by their names; those whose source cannot be found are left out."""
    found = [_read(entry) for entry in entry_points(group=GROUP)]
    return sorted((one for one in found if one is not None), key=lambda one: one.name)


def as_markdown(recipes: list[Recipe]) -> str:
    """A table of recipes; those with a README are linked."""
    rows = ["| recipe | does | is held to |", "|---|---|---|"]
    for one in recipes:
        name = f"[`{one.name}`](/docs/{one.slug})" if one.readme else f"`{one.name}`"
        rows.append(f"| {name} | {one.summary} | {', '.join(one.goals)} |")
    return "\n".join(rows)


def _read(entry: EntryPoint) -> Recipe | None:
    source = _source(entry.module)
    if source is None:
        return None
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == entry.attr:
            values = dict(_values(node))
            readme = source.with_name("README.md")
            return Recipe(
                entry.name,
                str(_literal(values.get("summary")) or ""),
                [_goal(call) for call in ast.walk(values["goals"]) if isinstance(call, ast.Call)]
                if "goals" in values
                else [],
                readme if readme.exists() else None,
            )
    return None


def _source(module: str) -> Path | None:
    """The file of a module, found without importing it."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    places = spec.submodule_search_locations if spec is not None else None
    files = [Path(place).joinpath(*rest).with_suffix(".py") for place in places or ()]
    return next((file for file in files if file.exists()), None)


def _values(node: ast.ClassDef) -> list[tuple[str, ast.expr]]:
    return [
        (ast.unparse(line.target), line.value)
        for line in node.body
        if isinstance(line, ast.AnnAssign) and line.value is not None
    ]


def _literal(node: ast.expr | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None


def _goal(call: ast.Call) -> str:
    """`Goal("exact_match", least=0.9)` in words."""
    name = _literal(call.args[0]) if call.args else ""
    bounds = [f"at {word.arg} {ast.unparse(word.value)}" for word in call.keywords]
    return " ".join([f"`{name}`", *bounds])
