"""What an engine does when, for whoever watches it: pieces of its time, and for whom they were.

Told on the engine's thread (and, of files, on theirs) after the fact. Who watches must only note
it: a call costs a few microseconds, and without a watcher nothing is made.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

logger = logging.getLogger(__name__)

Served = tuple[str, str]
"""A team, and its run or sampler."""


@dataclass(slots=True, eq=False)
class Times:
    """When an engine began work that it was asked for and when it had ended (`time.monotonic()`).

    None: it has not. Of work in several pieces, the first's beginning and the last's end.
    """

    began: float | None = None
    ended: float | None = None

    def begin(self) -> None:
        """The engine takes it up."""
        if self.began is None:
            self.began = time.monotonic()

    def end(self) -> None:
        """The engine is through with it."""
        self.ended = time.monotonic()


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the engine's time, divided among whom it served by weight.

    `weights` are tokens where `in_tokens` says so; otherwise (optimizer steps, copies for saves)
    they only divide.
    """

    began: float
    ended: float
    weights: Mapping[Served, int]
    in_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Held:
    """What kept one run or sampler from going on: its weights were on their way into memory."""

    target: str
    cause: Literal["swapping", "loading", "restoring"]
    began: float
    ended: float


Watcher = Callable[[Piece | Held], None]


class Watch:
    """An engine's side: notes what it did, if anybody watches."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None

    def served(self, began: float, weights: Mapping[Served, int], *, in_tokens: bool) -> None:
        """The time from `began` until now went to these."""
        if self.watcher is not None and weights:
            self._tell(Piece(began, time.monotonic(), weights, in_tokens))

    def ran(self, began: float, served: list[Served]) -> None:
        """The time from `began` until now went to work without tokens, of each of these."""
        if served:
            self.served(began, Counter(served), in_tokens=False)

    def held(self, target: str, cause: Literal["swapping", "loading"], began: float) -> None:
        """This one had to wait for its weights from `began` until now."""
        if self.watcher is not None and target:
            self._tell(Held(target, cause, began, time.monotonic()))

    def _tell(self, what: Piece | Held) -> None:
        watcher = self.watcher
        try:
            if watcher is not None:
                watcher(what)
        except Exception:  # whoever watches must not harm what is watched
            self.watcher = None
            logger.exception("an engine is not watched any more")
