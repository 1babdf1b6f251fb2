"""``tinsmith recipes prove``: recipes as they stand, with several seeds, held to their goals."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinsmith.errors import TinsmithError
from tinsmith_recipes.training.command import DONE, FAILED, find, installed
from tinsmith_recipes.training.folder import Summary
from tinsmith_recipes.training.recipe import Goal, Recipe

REPORT = "report.json"
NONE = "no figure"


@dataclass(frozen=True)
class Proof:
    """One recipe with one seed: how it ended, or why it did not."""

    recipe: str
    seed: int
    goals: tuple[Goal, ...]
    summary: Summary | None = None
    failure: str | None = None

    @property
    def missed(self) -> list[str]:
        """What is not as it should be, in words; empty where all goals are reached."""
        if self.summary is None:
            return [str(self.failure)]
        return [
            f"{goal}, and it is {self.shown(goal)}"
            for goal in self.goals
            if not goal.holds(self.summary.figures)
        ]

    def shown(self, goal: Goal) -> str:
        """The value of a goal's figure."""
        figure = self.summary.figures.get(goal.figure) if self.summary else None
        return NONE if figure is None else f"{figure.value:.3f}"

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "recipe": self.recipe,
            "seed": self.seed,
            "goals": [asdict(goal) for goal in self.goals],
            "missed": self.missed,
            "failure": self.failure,
            "summary": asdict(self.summary) if self.summary else None,
        }


def prove(
    names: Sequence[str],
    seeds: int,
    folder: str | Path,
    report: str | Path | None = None,
    *,
    as_json: bool = False,
) -> int:
    """Run recipes, print a table, write a report; the exit status, 0 if all goals are reached.

    Args:
        names: recipes; all that are installed if none is given.
        seeds: each is run with the seeds 0 to ``seeds - 1``.
        folder: each run's files go to ``NAME/seed-N`` below it. One that is finished there is not
            run again, one that was killed goes on.
        report: the file; ``report.json`` in the folder unless it is given.
        as_json: print the report instead of the table.

    Raises:
        ValueError: there is no such recipe.
    """
    recipes = [find(name) for name in names or installed()]
    path = Path(report or Path(folder) / REPORT)
    path.parent.mkdir(parents=True, exist_ok=True)
    proofs: list[Proof] = []
    for recipe in recipes:
        for seed in range(seeds):
            print(f"{recipe.name} seed {seed}", file=sys.stderr, flush=True)
            proofs.append(_proof(recipe, seed, Path(folder) / recipe.name / f"seed-{seed}"))
            for words in proofs[-1].missed:
                print(f"{recipe.name} seed {seed} missed: {words}", file=sys.stderr)
            # after each: a long proof that is killed has told what it saw
            path.write_text(json.dumps([one.plain() for one in proofs], indent=2) + "\n")
    print(json.dumps([one.plain() for one in proofs]) if as_json else table(proofs))
    return FAILED if any(one.missed for one in proofs) else DONE


def _proof(recipe: type[Recipe], seed: int, folder: Path) -> Proof:
    try:
        summary = asyncio.run(recipe(seed=seed, log_path=str(folder)).run())
    except (TinsmithError, ValueError, OSError, ImportError) as error:
        words = f"{type(error).__name__}: {error}"
        return Proof(recipe.name, seed, recipe.goals, failure=words)
    return Proof(recipe.name, seed, recipe.goals, summary)


def table(proofs: Sequence[Proof]) -> str:
    """A line for each goal of each recipe: every seed's value, the worst of them, the cost."""
    rows = [["RECIPE", "GOAL", "BY SEED", "WORST", "REACHED", "SECONDS", "TOKENS"]]
    by_recipe: dict[str, list[Proof]] = {}
    for proof in proofs:
        by_recipe.setdefault(proof.recipe, []).append(proof)
    for name, of_one in by_recipe.items():
        done = [one.summary for one in of_one if one.summary]
        seconds = f"{max((one.seconds for one in done), default=0):.0f}"
        tokens = f"{max((one.tokens for one in done), default=0):,}"
        for goal in of_one[0].goals:
            reached = all(one.summary and goal.holds(one.summary.figures) for one in of_one)
            values = " ".join(one.shown(goal) for one in of_one)
            worst = _worst(goal, of_one)
            rows.append(
                [name, str(goal), values, worst, "yes" if reached else "NO", seconds, tokens]
            )
        rows += [[name, f"seed {one.seed}: {one.failure}"] for one in of_one if one.failure]
    widths = [max(len(row[column]) for row in rows if column + 1 < len(row)) for column in range(6)]
    return "\n".join(
        "  ".join(
            cell if at + 1 == len(row) else f"{cell:{widths[at]}}" for at, cell in enumerate(row)
        )
        for row in rows
    )


def _worst(goal: Goal, proofs: Sequence[Proof]) -> str:
    found = [one.summary.figures.get(goal.figure) if one.summary else None for one in proofs]
    values = [figure.value for figure in found if figure is not None]
    if len(values) < len(found):
        return NONE
    return f"{max(values) if goal.most is not None and goal.least is None else min(values):.3f}"
