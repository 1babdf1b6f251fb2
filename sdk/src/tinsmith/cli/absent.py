"""Commands whose package is not installed."""

from __future__ import annotations

from tinsmith.cli.command import Command


def explain(command: Command) -> int:
    """Say how to get them.

    Raises:
        ImportError: always.
    """
    raise ImportError(
        "the recipes are not installed here: pip install tinsmith-recipes, or from a clone of "
        "Tinsmith, pip install ./sdk ./recipes"
    )
