"""The bar: on terminals only."""

from __future__ import annotations

import io

import pytest

from tinsmith._words import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_written_where_nobody_watches() -> None:
    stream = io.StringIO()
    with progress.Bar("file", stream=stream) as bar:
        bar.update(1, 1)
    assert stream.getvalue() == ""


def test_a_bar_is_drawn_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with progress.Bar("file", stream=stream) as bar:
        bar.update(1, 4)  # too soon after the start to be worth a line
        bar.update(4, 4)
        shown = stream.getvalue()
    assert "100 %" in shown
    assert shown.count("\r") == 1
    assert stream.getvalue().endswith("\r\x1b[2K")
