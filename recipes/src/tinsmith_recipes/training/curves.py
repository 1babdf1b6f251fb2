"""Draws a metric of finished runs, one line a seed: the pictures of ``docs/recipes.md``.

    python -m tinsmith_recipes.training.curves RUN… --metric NAME --title TEXT -o FILE.png

A RUN is a log path, or a stage's folder below one. Needs matplotlib: ``tinsmith-recipes[curves]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tinsmith_recipes.training.folder import RunFolder

INK, GRID = "#33302c", "#d8d3ca"
LINES = ("#2a78d6", "#c2571a", "#2f8f5b", "#8a4fbf", "#b58900")
SIZE, DPI = (5.2, 2.9), 110


def draw(runs: Sequence[str | Path], metric: str, title: str, output: str | Path) -> None:
    """Write a picture of ``metric`` over the steps of each run.

    Raises:
        ValueError: a folder that holds no run, or a run without such a metric.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    for number, run in enumerate(runs):
        rows = [row for row in RunFolder.of(run).metrics if metric in row]
        if not rows:
            raise ValueError(f"{run} has no metric {metric!r}")
        steps, values = [row["step"] for row in rows], [row[metric] for row in rows]
        axes.plot(steps, values, color=LINES[number % len(LINES)], linewidth=1.4)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel("step", fontsize=8, color=INK)
    axes.set_ylabel(metric, fontsize=8, color=INK)
    axes.tick_params(labelsize=8, colors=INK)
    axes.grid(color=GRID, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(output, metadata={"Software": None})


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description="Draw a metric of runs.")
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--metric", required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("-o", "--output", required=True, metavar="FILE.png")
    given = parser.parse_args()
    draw(given.runs, given.metric, given.title, given.output)


if __name__ == "__main__":
    main()
