"""What somebody meant who named what is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_NAMED = 40


def meant(word: str, known: Iterable[str], there: str = "there are", most: int = 1) -> str:
    """The nearest name as a question, or else all names.

    Args:
        word: what was given.
        known: what is there.
        there: how a list of it begins.
        most: how many near names may be told.

    >>> meant("seeed", ["seed", "steps"]), meant("?", ["seed"], "it has"), meant("?", [])
    ('did you mean seed?', 'it has seed', 'there are none')
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, most)
    if near:
        return f"did you mean {' or '.join(near)}?"
    listed = ", ".join(names) if len(names) <= _MOST_NAMED else f"{len(names)} others"
    return f"{there} {listed or 'none'}"
