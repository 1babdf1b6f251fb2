"""How long things look in short, for ``repr``: nobody wants megabytes in a notebook's cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

FEW = 6
SHORT = 200


def a_few(values: Sequence[Any] | np.ndarray[Any, Any]) -> str:
    """The first values and the last, however many there are.

    >>> a_few([1, 2, 3]), a_few(range(100))
    ('[1, 2, 3]', '[0, 1, 2, 3, 4, …, 99]')
    """
    shown = [*values] if len(values) <= FEW else [*values[: FEW - 1], "…", values[-1]]
    return f"[{', '.join(map(_plain, shown))}]"


def short(value: object) -> str:
    """A text, or what ``repr`` makes of another thing, cut where it is long.

    >>> len(short("x" * 1000))
    200
    """
    words = value if isinstance(value, str) else repr(value)
    return words if len(words) <= SHORT else f"{words[: SHORT - 1]}…"


def _plain(value: Any) -> str:
    if hasattr(value, "item"):
        value = value.item()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
