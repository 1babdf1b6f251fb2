"""What an evaluation says: tables for people, plain data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tinsmith_recipes.evaluation.comparison import Compared
from tinsmith_recipes.evaluation.sets import GENERAL

NAMES = {
    "nll": "NLL, nats a token",
    "exact_match": "exact match",
    "f1": "F1 of words",
    "win_rate": "wins against the base",
    "score": "score",
}
_LESS_IS_BETTER = {"nll"}


@dataclass(frozen=True)
class OfSet:
    """What was found on one set.

    Attributes:
        name: of the set.
        count: chats asked.
        compared: each figure beside the base's.
        left_out: why other chats of the set were not asked.
    """

    name: str
    count: int
    compared: Mapping[str, Compared]
    left_out: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "set": self.name,
            "count": self.count,
            "figures": {name: asdict(one) for name, one in self.compared.items()},
            "left_out": self.left_out,
        }

    def lines(self) -> list[str]:
        """For reading."""
        rows = [
            (
                NAMES.get(name, name),
                str(one.ours),
                str(one.base) if one.base else "",
                f"{one.difference}  {verdict(name, one)}" if one.difference else "",
            )
            for name, one in self.compared.items()
        ]
        has_base = any(one.base for one in self.compared.values())
        if has_base:
            rows.insert(0, ("", "model", "base", "difference"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        table = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        said = [f"{self.name}: {self.count} chats", *(f"  {row}" for row in table)]
        if self.left_out:
            said.append(f"  {len(self.left_out)} left out; the first: {self.left_out[0]}")
        if self.name == GENERAL and "exact_match" in self.compared:
            said += [f"  {words}" for words in _forgotten(self.compared["exact_match"])]
        return said


def verdict(name: str, compared: Compared) -> str:
    """Whether the model is better than its base by a figure, as far as the test can tell."""
    found = compared.difference
    if found is None:
        return ""
    if not found.is_sure:
        return "no difference to be seen"
    return "better" if (found.value < 0) == (name in _LESS_IS_BETTER) else "worse"


def _forgotten(compared: Compared) -> list[str]:
    """What the general tasks tell of forgetting."""
    lost = compared.difference
    if lost is None:
        return []
    if lost.is_sure and lost.value < 0:
        return [f"forgetting: {-lost.value:.1%} of the general tasks are done no longer"]
    return ["forgetting: none to be seen"]
