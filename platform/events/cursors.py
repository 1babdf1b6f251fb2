"""What a reader of events has seen: a PostgreSQL snapshot, as a text that clients keep.

Transactions do not become visible in the order of their numbers, nor rows in that of theirs. A
snapshot `xmin:xmax:xip` names exactly the transactions that were over: all below xmin, and those
below xmax that are not listed. Of two snapshots of one server the later sees all that the earlier
does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_LENGTH = 8192
_SNAPSHOT = re.compile(r"([0-9]{1,19}):([0-9]{1,19}):((?:[0-9]{1,19}(?:,[0-9]{1,19})*)?)")
_CURSOR = re.compile(r"([0-9]{1,19})\.([0-9:,]+)(?:\.([0-9:,]+)\.([0-9]{1,19}))?")
_MAX_ID = 2**63


class BadCursor(ValueError):
    """A text that is no cursor."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions were over at a moment."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @staticmethod
    def parse(text: str) -> Snapshot:
        """The snapshot that PostgreSQL writes so. Raises BadCursor."""
        match = _SNAPSHOT.fullmatch(text)
        if match is None:
            raise BadCursor(f"{text!r} is no snapshot")
        xmin, xmax = int(match[1]), int(match[2])
        running = sorted({int(xid) for xid in match[3].split(",") if xid})
        # PostgreSQL itself refuses any other
        if not 0 < xmin <= xmax < _MAX_ID or any(not xmin <= xid < xmax for xid in running):
            raise BadCursor(f"{text!r} is no snapshot")
        return Snapshot(xmin, xmax, frozenset(running))

    def sees(self, xid: int) -> bool:
        """Whether the transaction was over."""
        return xid < self.xmin or (xid < self.xmax and xid not in self.running)

    def is_within(self, later: Snapshot) -> bool:
        """Whether the other sees all that this one sees."""
        return self.xmax <= later.xmax and not any(map(self.sees, later.running))

    def __str__(self) -> str:
        running = ",".join(map(str, sorted(self.running)))
        return f"{self.xmin}:{self.xmax}:{running}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to where a reader has come.

    Attributes:
        server: when the PostgreSQL server started, in seconds. After a crash it may give numbers of
            transactions again that were lost; another one has numbers of its own.
        seen: what has been read.
        reading: what is being read, if that is too much for one look.
        at: of that, the last event that has been read.
    """

    server: int
    seen: Snapshot
    reading: Snapshot | None = None
    at: int = 0

    @staticmethod
    def parse(text: str) -> Cursor:
        """The cursor that was written so. Raises BadCursor."""
        match = _CURSOR.fullmatch(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise BadCursor("this is no cursor")
        seen = Snapshot.parse(match[2])
        if match[3] is None:
            return Cursor(int(match[1]), seen)
        reading, at = Snapshot.parse(match[3]), int(match[4])
        if at >= _MAX_ID or not seen.is_within(reading):
            raise BadCursor("this is no cursor")
        return Cursor(int(match[1]), seen, reading, at)

    def has(self, xid: int, event_id: int) -> bool:
        """Whether an event has been read."""
        begun = self.reading is not None and self.reading.sees(xid) and event_id <= self.at
        return begun or self.seen.sees(xid)

    def __str__(self) -> str:
        whole = f"{self.server}.{self.seen}"
        return whole if self.reading is None else f"{whole}.{self.reading}.{self.at}"
