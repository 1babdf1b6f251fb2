"""Evaluation sets by name: those that come with the recipes, files, data sets of the hub."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from tinsmith.data import BadRow, load_chats
from tinsmith_recipes.evaluation.general import TASKS, general, of_task
from tinsmith_recipes.training.nearest import meant

Chats = list[list[dict[str, Any]]]

GENERAL = "general"
OF_RECIPES = {
    "chat_sl": "tinsmith_recipes.chat_sl.data:held_out_chats",
    "pig_latin": "tinsmith_recipes.pig_latin.data:held_out_chats",
}
"""Held-out data that recipes generate: functions of (count, seed)."""
SPLIT = "test"
_FILES = (".jsonl", ".parquet")


def names() -> list[str]:
    """The sets that come with the recipes."""
    return [GENERAL, *TASKS, *OF_RECIPES]


def load(name: str, limit: int, seed: int = 0) -> tuple[Chats, list[str]]:
    """The chats of a set, each ending with the right answer; and why others are left out.

    Args:
        name: one of ``names()``, a file of chats, or a data set of the hub, of which the split
            ``test`` is taken unless another one is named: ``owner/name[:configuration][@split]``.
        limit: how many chats at most.
        seed: of what is generated.

    Raises:
        ValueError: no such set, or nothing in it that can be asked.
    """
    if name == GENERAL:
        return general(limit, seed), []
    if name in TASKS:
        return of_task(name, limit, seed), []
    if name in OF_RECIPES:
        module, _, function = OF_RECIPES[name].partition(":")
        found: Chats = getattr(importlib.import_module(module), function)(limit, seed)
        return found, []
    if "/" not in name and Path(name).suffix not in _FILES:
        raise ValueError(
            f"there is no set {name!r}; {meant(name, names())}; or name a .jsonl or .parquet "
            "file, or a data set of the hub as owner/name"
        )
    return _of_file_or_hub(name, limit)


def _of_file_or_hub(name: str, limit: int) -> tuple[Chats, list[str]]:
    source, _, split = name.partition("@")
    is_file = Path(source).suffix in _FILES
    bad: list[BadRow] = []
    chats = load_chats(
        source, split=split or (None if is_file else SPLIT), limit=limit, skipped=bad
    )
    answered = [chat for chat in chats if len(chat) > 1 and chat[-1]["role"] == "assistant"]
    why = [str(one) for one in bad]
    if len(answered) < len(chats):
        left = len(chats) - len(answered)
        why.append(f"{left} of its chats do not end with an answer of the assistant's")
    if not answered:
        raise ValueError(f"{name}: no chat ends with an answer of the assistant's")
    return answered, why
