"""Tells the user of a server that does not answer, before patience with it is at an end."""

from __future__ import annotations

import asyncio
import logging
import time

log = logging.getLogger("tinsmith")

SAY_AFTER_S = 3.0


class Outage:
    """Of one server; says so once an outage. Everything here runs on the background loop."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._words = ""
        self._until = 0.0
        self._said = self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self.since: float | None = None

    def may_begin(self, since: float, patience_s: float) -> None:
        """A server is asked that has not answered yet; ``since`` and all times are monotonic."""
        self._goes_on(f"{self._server} does not answer", since, since + patience_s)

    def goes_on(self, error: Exception, since: float, until: float) -> None:
        """An attempt failed; there will be others until ``until``."""
        self._goes_on(str(error), since, until)

    def _goes_on(self, words: str, since: float, until: float) -> None:
        if self.since is None:
            self.since = since
        self._words, self._until = words, max(until, self._until)
        if self._timer is None and not self._said and not self._closed:
            rest = self.since + SAY_AFTER_S - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(rest, 0.0), self._say)

    def _say(self) -> None:
        now = time.monotonic()
        if self._until <= now:
            return  # nobody is trying any more
        self._said = True
        log.warning(
            "%s. That has been so for %.0f s; going on trying for up to %.0f s more",
            self._words.rstrip("."),
            now - (self.since or now),
            max(self._until - now, 0.0),
        )

    def over(self) -> None:
        """It answers, or is given up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._said:
            log.warning(
                "%s answers again, after %.0f s", self._server, time.monotonic() - (self.since or 0)
            )
        self._words, self._until, self._said = "", 0.0, False
        self._timer = self.since = None

    def close(self) -> None:
        """Nobody asks any more, and nothing is said."""
        self._said = self._closed = True
        if self._timer is not None:
            self._timer.cancel()
