"""What a socket sends: events, how runs and workers stand, and the cursor behind all that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from events.cursors import Cursor
from events.reader import Happened
from live.standing import Row


class News:
    """Something to tell, made into text once for all whom it is told to.

    Attributes:
        cursor: behind it. events: none if it tells only how things stand.
    """

    __slots__ = ("cursor", "events", "runs", "size", "text", "workers")

    def __init__(
        self,
        cursor: Cursor,
        events: Sequence[Happened] = (),
        runs: Sequence[Row] = (),
        workers: Sequence[Row] = (),
    ) -> None:
        self.cursor = cursor
        self.events, self.runs, self.workers = events, runs, workers
        self.text = b",".join(map(_encoded, events))
        self.size = len(self.text) + 200 * (len(runs) + len(workers))

    def without(self, seen: Cursor) -> News:
        """The same for who has seen some of it already."""
        new = [event for event in self.events if not seen.has(event.xid, event.id)]
        return News(self.cursor, new, self.runs, self.workers)


def frame(cursor: Cursor, news: Iterable[News] = (), *, afresh: bool = False) -> str:
    """A frame's text; of how something stands the newest counts."""
    told = list(news)
    runs = {row["id"]: row for one in told for row in one.runs}
    workers = {row["id"]: row for one in told for row in one.workers}
    parts = [b'"cursor":' + msgspec.json.encode(str(cursor))]
    if afresh:
        parts.append(b'"afresh":true')
    if events := b",".join(one.text for one in told if one.text):
        parts.append(b'"events":[' + events + b"]")
    if runs:
        parts.append(b'"runs":' + msgspec.json.encode(list(runs.values())))
    if workers:
        parts.append(b'"workers":' + msgspec.json.encode(list(workers.values())))
    return (b"{" + b",".join(parts) + b"}").decode()


def _encoded(event: Happened) -> bytes:
    return msgspec.json.encode(
        {
            "id": event.id,
            "kind": event.kind,
            "about": event.about,
            "run": event.run_id,
            "data": event.data,
            "at": event.at,
        }
    )
