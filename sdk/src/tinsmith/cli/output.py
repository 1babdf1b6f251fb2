"""What commands print: tables for people, JSON for programs, both on standard output."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

MIN_COLUMN = 12
# Free texts: nobody copies them, so they alone are cut where a line would be too long
FREE = frozenset({"METADATA", "NAME", "PROJECT"})


class Output:
    """Prints one command's answer."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def data(self, value: Any) -> None:
        """For programs: one JSON document, on one line."""
        import msgspec

        print(json.dumps(msgspec.to_builtins(value), ensure_ascii=False), flush=True)

    def table(
        self, value: Any, columns: Sequence[str], rows: Sequence[Sequence[Any]], empty: str
    ) -> None:
        """A list: ``value`` for programs, else rows under their titles, or ``empty``."""
        if self.as_json:
            self.data(value)
        elif not rows:
            print(empty, file=sys.stderr)
        else:
            for line in table([columns, *rows], _width()):
                print(line)

    def record(self, value: Any, pairs: Sequence[tuple[str, Any]]) -> None:
        """One thing: ``value`` for programs, else its names and values."""
        if self.as_json:
            self.data(value)
            return
        given = [(name, text(item)) for name, item in pairs if item not in (None, "", {}, [])]
        wide = max((len(name) for name, _ in given), default=0)
        for name, item in given:
            print(f"{name:<{wide}}  {item}")

    def done(self, value: Any, words: str) -> None:
        """Something was done."""
        if self.as_json:
            self.data(value)
        else:
            print(words)


def table(rows: Sequence[Sequence[Any]], width: int | None) -> list[str]:
    """Aligned lines; free texts, and nothing else, are cut where they do not fit into ``width``.

    >>> table([("NAME", "SIZE"), ("a", 1)], None)
    ['NAME  SIZE', 'a     1']
    """
    cells = [[text(item) for item in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    free = [index for index, title in enumerate(cells[0]) if title in FREE]
    while width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        widest = max(free, key=lambda index: widths[index], default=None)
        if widest is None or widths[widest] <= MIN_COLUMN:
            break
        widths[widest] -= 1
    lines = []
    for row in cells:
        shown = [
            item if len(item) <= wide else f"{item[: wide - 1]}…"
            for item, wide in zip(row, widths, strict=True)
        ]
        padded = (f"{item:<{wide}}" for item, wide in zip(shown, widths, strict=True))
        lines.append("  ".join(padded).rstrip())
    return lines


def text(value: Any) -> str:
    """A value as people read it.

    >>> text(True), text(None), text({"a": "b"})
    ('yes', '', 'a=b')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        local = value.astimezone() if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return f"{local:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, dict):
        return ", ".join(f"{name}={text(item)}" for name, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    # Names come from users: nothing in them may move the cursor of whoever reads them
    return "".join(char if char.isprintable() else "�" for char in str(value))


def _width() -> int | None:
    """The terminal's width; None where lines go to a file or a pipe, which have room for all."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
