"""The thread that announces tokens of samples whose clients read along.

Engines call `put` between two decode steps, so it only appends; everything else is done here, at
most ten times a second. What cannot be announced is lost, for the result will hold it all.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

import psycopg

from core import database
from operations import partial
from operations.partial import Progress

log = logging.getLogger(__name__)

PAUSE_S = 0.1
# what a request that has ended leaves in the queue
_ENDED = -1


class Streamer:
    """Collects tokens from any thread; started by the first request that wants to be reported."""

    def __init__(self) -> None:
        self._tokens: deque[tuple[str, int, int, float]] = deque()
        self._reported: set[str] = set()
        self._counts: dict[str, dict[int, int]] = {}
        self._some = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def reporter(self, request_id: str) -> Callable[[int, int, float], None]:
        """What an engine calls with (sequence, token, logprob) of this request."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamer", daemon=True)
            self._thread.start()
        self._reported.add(request_id)
        append, some = self._tokens.append, self._some

        def report(sequence: int, token: int, logprob: float) -> None:
            append((request_id, sequence, token, logprob))
            if not some.is_set():
                some.set()

        return report

    def ended(self, request_id: str) -> None:
        """Say nothing more of a request, if anything was said: its result is on the way."""
        if request_id in self._reported:
            self._reported.discard(request_id)
            self._tokens.append((request_id, _ENDED, 0, 0.0))
            self._some.set()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _run(self) -> None:
        conn: psycopg.Connection | None = None
        while not self._stopped.is_set():
            self._some.wait()
            self._some.clear()
            announcements = self._collect()
            try:
                if announcements:
                    conn = conn or database.connect()
                    partial.announce(conn, announcements)
            except psycopg.Error as error:
                log.warning("tokens could not be announced: %s", error)
                conn = None
            self._stopped.wait(PAUSE_S)
        if conn is not None:
            conn.close()

    def _collect(self) -> list[str]:
        """Announcements of everything that has come, a piece a sequence."""
        news: dict[str, dict[int, Progress]] = {}
        for _ in range(len(self._tokens)):
            request_id, sequence, token, logprob = self._tokens.popleft()
            if sequence == _ENDED:
                news.pop(request_id, None)
                self._counts.pop(request_id, None)
                continue
            counts = self._counts.setdefault(request_id, {})
            start = counts.get(sequence, 0)
            counts[sequence] = start + 1
            pieces = news.setdefault(request_id, {})
            piece = pieces.get(sequence)
            if piece is None:
                piece = pieces[sequence] = Progress(sequence, start, [], [])
            piece.tokens.append(token)
            piece.logprobs.append(logprob)
        return [
            text
            for request_id, pieces in news.items()
            for text in partial.payloads(request_id, pieces.values())
        ]
