"""Tells the user why a request waits, without filling the screen."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("tinsmith")

PATIENCE_S = 5.0
LOG_INTERVAL_S = 60.0


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
