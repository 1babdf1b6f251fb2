"""A progress bar for terminals: nothing is printed where nobody watches."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from types import TracebackType
from typing import TextIO, TypeVar

from tinsmith._session.futures import APIFuture

INTERVAL_S = 0.1
WIDTH = 24
T = TypeVar("T")
Progress = Callable[[int, int | None], None]
"""Called with (bytes so far, bytes in all if known)."""


class Bar:
    """One line on standard error, rewritten at most ten times a second.

    >>> with Bar("adapter.tar") as bar:
    ...     bar.update(512, 1024)
    """

    def __init__(self, title: str, unit: str = "B", stream: TextIO | None = None) -> None:
        """``unit`` B counts bytes; anything else counts things."""
        self._title = title
        self._unit = unit
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._begun = self._last = time.monotonic()
        self._written = False

    def update(self, done: int, total: int | None = None) -> None:
        """``done`` of ``total``; without a total only the count and the speed are shown."""
        now = time.monotonic()
        if not self._shown or (now - self._last < INTERVAL_S and done != total):
            return
        self._last = now
        speed = done / max(now - self._begun, 1e-6)
        parts = [self._title]
        if total:
            filled = int(WIDTH * min(done / total, 1.0))
            parts.append(f"[{'█' * filled}{'·' * (WIDTH - filled)}] {100 * done // total:3d} %")
        parts.append(f"{self._amount(done)}, {self._amount(speed)}/s")
        if total and speed:
            parts.append(f"{max(total - done, 0) / speed:.0f} s left")
        line = " ".join(parts)[: shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r\x1b[2K{line}")
        self._stream.flush()
        self._written = True

    def close(self) -> None:
        """Wipe the line."""
        if self._written:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._written = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _amount(self, count: float) -> str:
        return size(count) if self._unit == "B" else f"{count:.0f} {self._unit}"


def wait_all(futures: Iterable[APIFuture[T]], title: str = "waiting") -> list[T]:
    """The results of many futures, in their order, with a bar on a terminal.

    Raises:
        What the first future that failed raises, once it is that one's turn.

    >>> len(wait_all([sampler.compute_logprobs(prompt) for _ in range(3)], "scoring"))
    3
    """
    waiting = list(futures)
    results = []
    with Bar(title, unit="done") as bar:
        for future in waiting:
            while not future.done():
                wait([item.future() for item in waiting if not item.done()], INTERVAL_S)
                bar.update(sum(item.done() for item in waiting), len(waiting))
            results.append(future.result())
    return results


def size(count: float) -> str:
    """Bytes for people.

    >>> size(1536)
    '1.5 kB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the loop returns")
