"""The thread that writes down what a worker's engines did when, so that every wait has a cause.

Engines only append to a bounded queue, between two passes; everything else happens here, twice a
second. What cannot be written is lost, counted, and said in the log: a picture has a gap then, and
no operation has noticed.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field

import psycopg

from core import database
from gpu_workers.engine.turns import Held, Piece, Served, Watcher
from operations import turns
from operations.turns import DelayRow, TurnRow

log = logging.getLogger(__name__)

PAUSE_S = 0.5
MOST_WAITING = 20_000
# a row is at least so long, unless the engine pauses: ten a second at most
ROW_S = 0.1
# who is served does not change: a row may become so long
LONGEST_ROW_S = 1.0
# between two pieces of one row there is at most so much time
GAP_S = 0.02


@dataclass(slots=True)
class _Row:
    """A row under way, by this process's monotonic clock."""

    began: float
    ended: float
    pieces: int = 0
    tokens: dict[Served, int] = field(default_factory=dict)
    seconds: dict[Served, float] = field(default_factory=dict)

    def takes(self, piece: Piece) -> bool:
        """Whether the piece belongs into this row."""
        if piece.began - self.ended > GAP_S:
            return False
        length = piece.ended - self.began
        same = piece.weights.keys() == self.seconds.keys()
        return length <= (LONGEST_ROW_S if same else ROW_S)

    def add(self, piece: Piece) -> None:
        """Count a piece."""
        self.ended = max(self.ended, piece.ended)
        self.pieces += 1
        total = sum(piece.weights.values()) or 1
        spent = (piece.ended - piece.began) / total
        for served, weight in piece.weights.items():
            self.seconds[served] = self.seconds.get(served, 0.0) + spent * weight
            if piece.in_tokens:
                self.tokens[served] = self.tokens.get(served, 0) + weight


def merged(pieces: list[Piece]) -> list[_Row]:
    """Neighbouring pieces of one engine as rows; in all as much time and as many tokens."""
    rows: list[_Row] = []
    for piece in pieces:
        if not rows or not rows[-1].takes(piece):
            rows.append(_Row(piece.began, piece.ended))
        rows[-1].add(piece)
    return rows


class TurnLog:
    """Takes notes from the engines' threads and writes them on one of its own."""

    def __init__(self, worker_id: uuid.UUID, pool: str) -> None:
        self.dropped = 0
        self._worker_id, self._pool = worker_id, pool
        self._notes: deque[tuple[str, Piece | Held]] = deque()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="turns", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what has been noted so far, then stop."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def of(self, base_model: str) -> Watcher:
        """What the engine of this base model tells of its time. Never blocks."""
        notes = self._notes

        def note(what: Piece | Held) -> None:
            if len(notes) >= MOST_WAITING:
                self.dropped += 1
            else:
                notes.append((base_model, what))

        return note

    def restored(self, run_id: str, began: float) -> None:
        """A run is back that was on its way since `began`."""
        self.of("")(Held(run_id, "restoring", began, time.monotonic()))

    def _run(self) -> None:
        conn: psycopg.Connection | None = None
        told = 0
        while not self._stopped.wait(PAUSE_S) or self._notes:
            rows, delays = self._collect()
            if not rows and not delays:
                continue
            try:
                if conn is None or conn.broken:
                    conn = database.connect()
                turns.write(
                    conn, pool=self._pool, worker_id=self._worker_id, turns=rows, delays=delays
                )
            except Exception as error:
                self.dropped += len(rows) + len(delays)
                log.warning("what the engines did could not be written: %s", error)
                conn = None
            if self.dropped != told:
                log.warning("%d notes of what the engines did are lost so far", self.dropped)
                told = self.dropped
        if conn is not None:
            conn.close()

    def _collect(self) -> tuple[list[TurnRow], list[DelayRow]]:
        """What has been noted, merged."""
        pieces: dict[str, list[Piece]] = {}
        held: list[Held] = []
        for _ in range(len(self._notes)):
            base_model, what = self._notes.popleft()
            if isinstance(what, Piece):
                pieces.setdefault(base_model, []).append(what)
            else:
                held.append(what)
        rows = [
            TurnRow(name, row.began, row.ended, row.pieces, _shares(row))
            for name, some in pieces.items()
            for row in merged(some)
        ]
        delays = [DelayRow(item.target, item.cause, item.began, item.ended) for item in held]
        return rows, delays


def _shares(row: _Row) -> turns.Shares:
    shares: turns.Shares = {}
    for served, seconds in row.seconds.items():
        team, target = served
        shares.setdefault(team, {})[target] = (row.tokens.get(served, 0), round(seconds, 6))
    return shares
