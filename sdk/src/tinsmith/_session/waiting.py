"""Waiting for a server: telling the user why, and not asking it in a rush."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tinsmith._words.mistakes import explained

log = logging.getLogger("tinsmith")

PATIENCE_S = 5.0
LOG_INTERVAL_S = 60.0
HASTE_S = 0.1  # a poll that comes back empty-handed faster than this did not wait
LONGEST_PAUSE_S = 2.0


@explained
@dataclass(frozen=True)
class Waiting:
    """Why a request is not worked on.

    Attributes:
        target: the training run or sampler it is for.
        kind: what was asked, e.g. ``"forward_backward"``.
        state: the server's word: ``"paused_capacity"`` or ``"paused_rate_limit"``.
        reason: the server's explanation.
        seconds: for how long, as far as this client knows.
    """

    target: str
    kind: str
    state: str
    reason: str
    seconds: float


WaitingHook = Callable[[Waiting], Any]


class WaitingLog:
    """Warns once a minute a target; ``hook`` hears of every notice."""

    def __init__(self, hook: WaitingHook | None = None) -> None:
        self._hook = hook
        self._logged: dict[str, float] = {}

    def notice(self, waiting: Waiting) -> None:
        """A poll came back without a result."""
        if waiting.state == "active" or waiting.seconds < PATIENCE_S:
            return
        if self._hook is not None:
            try:
                self._hook(waiting)
            except Exception:
                log.exception("the on_waiting hook failed")
        now = time.monotonic()
        if now - self._logged.get(waiting.target, -LOG_INTERVAL_S) < LOG_INTERVAL_S:
            return
        self._logged[waiting.target] = now
        log.warning(
            "%s of %s has been waiting for %.0f s: %s",
            waiting.kind,
            waiting.target,
            waiting.seconds,
            waiting.reason or waiting.state,
        )


class Haste:
    """Slows down polls that come back without news at once: no server should, but a proxy might."""

    def __init__(self) -> None:
        self._asked = time.monotonic()
        self._count = 0

    async def pause(self, *, empty: bool = True) -> None:
        """Between two polls: how long depends on how often the last ones were hasty."""
        hasty = empty and time.monotonic() - self._asked < HASTE_S
        self._count = self._count + 1 if hasty else 0
        if hasty:
            await asyncio.sleep(min(0.02 * 2.0 ** min(self._count, 10), LONGEST_PAUSE_S))
        self._asked = time.monotonic()
