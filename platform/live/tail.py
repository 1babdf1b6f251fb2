"""The one reader of a process: finds what is new and hands it to those whom it is for.

It runs while somebody watches. A look costs one query for events, whatever the number of watchers,
and now and then two for how runs and workers stand.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg

from core import database, hub
from events import reader
from events.cursors import Cursor
from events.reader import Happened, StartAfresh
from events.services import EVENTS
from live import standing
from live.frames import News
from live.standing import Standing
from operations.announcements import DONE

log = logging.getLogger(__name__)

LOOKS_EVERY_S = 0.1
STANDING_EVERY_S = 0.5
AGAIN_AFTER_S = 0.5
# what waits for one watcher that does not take it
MOST_WAITING = 1000
MOST_BYTES_WAITING = 256 * 1024


class Watcher:
    """Somebody who is told of a team, or of one of its runs.

    Attributes:
        since: what the reader had seen when it began.
        fell_behind: more waited than may; nothing does any more.
        must_start_afresh: something may have been missed.
    """

    def __init__(self, team_id: int, run_id: str | None, since: Cursor) -> None:
        self.team_id, self.run_id, self.since = team_id, run_id, since
        self.fell_behind = self.must_start_afresh = False
        self.woken = asyncio.Event()
        self._waiting: deque[News] = deque()
        self._events = self._bytes = 0

    def give(self, news: News) -> None:
        """Have it told something."""
        self._waiting.append(news)
        self._events += len(news.events)
        self._bytes += news.size
        if self._events > MOST_WAITING or self._bytes > MOST_BYTES_WAITING:
            self.fell_behind = True
            self._clear()
        self.woken.set()

    def take(self) -> list[News]:
        """What waits, in order."""
        taken = list(self._waiting)
        self._clear()
        self.woken.clear()
        return taken

    def start_afresh(self) -> None:
        """Have it told that something may be missing."""
        self._clear()
        self.must_start_afresh = True
        self.woken.set()

    def _clear(self) -> None:
        self._waiting.clear()
        self._events = self._bytes = 0


class Tail:
    """The reader of an event loop and its watchers."""

    def __init__(self) -> None:
        self._watchers: dict[tuple[int, str | None], set[Watcher]] = {}
        self._coming = 0  # those that wait for a moment to begin at
        self._cursor: Cursor | None = None
        self._settled = asyncio.Event()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stood = Standing()
        self._stands_otherwise = True
        self._stood_at = 0.0

    @property
    def cursor(self) -> Cursor:
        """What has been handed out."""
        assert self._cursor is not None
        return self._cursor

    @asynccontextmanager
    async def watching(self, team_id: int, run_id: str | None) -> AsyncIterator[Watcher]:
        """Be told of a team or a run from some moment on, the watcher's `since`."""
        key = team_id, run_id
        self._coming += 1
        try:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._run(), name="reader of events")
            while not self._settled.is_set():
                await self._settled.wait()
            watcher = Watcher(team_id, run_id, self.cursor)
            self._watchers.setdefault(key, set()).add(watcher)
        finally:
            self._coming -= 1
            self._stop_if_alone()
        try:
            yield watcher
        finally:
            self._watchers[key].remove(watcher)
            if not self._watchers[key]:
                del self._watchers[key]
            self._stop_if_alone()

    def _stop_if_alone(self) -> None:
        if not self._watchers and not self._coming:
            self.stop()

    def stop(self) -> None:
        """Read no more."""
        if self._task is not None:
            self._task.cancel()
        self._task, self._cursor = None, None
        self._settled.clear()
        self._stood = Standing()

    async def _run(self) -> None:
        with hub.current().waiter(EVENTS, "") as announced:
            self._woken = announced
            while True:
                began = time.monotonic()
                try:
                    await self._look()
                except (psycopg.Error, OSError) as error:
                    log.warning("events could not be read, this is tried again: %s", error)
                    await asyncio.sleep(AGAIN_AFTER_S)
                    continue
                await asyncio.sleep(max(0.0, began + LOOKS_EVERY_S - time.monotonic()))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._rests_s()):
                        await announced.wait()

    def _rests_s(self) -> float:
        """For how long there is nothing to look at unless something is announced."""
        every = STANDING_EVERY_S if self._stands_otherwise else hub.RECHECK_S
        return max(0.0, self._stood_at + every - time.monotonic())

    async def _look(self) -> None:
        self._woken.clear()
        async with database.connection() as conn:
            if self._cursor is None:
                self._cursor = await reader.current(conn)
            try:
                await self._read(conn)
            except StartAfresh:
                self._cursor = await reader.current(conn)
                for watcher in self._all():
                    watcher.start_afresh()
            self._settled.set()
            if not self._rests_s():
                await self._look_how_all_stands(conn)

    async def _read(self, conn: database.Connection) -> None:
        """Hand out all that is new. No watcher begins in the middle of it."""
        while True:
            found = await reader.read(conn, self.cursor)
            if found.cursor.reading is not None:
                self._settled.clear()
            self._cursor = found.cursor
            self._hand_out(found.events)
            if found.cursor.reading is None and len(found.events) < reader.AT_ONCE:
                return

    def _hand_out(self, events: Iterable[Happened]) -> None:
        for_whom: dict[tuple[int, str | None], list[Happened]] = {}
        for event in events:
            for key in {(event.team_id, event.run_id), (event.team_id, None)}:
                if key in self._watchers:
                    for_whom.setdefault(key, []).append(event)
        for key, theirs in for_whom.items():
            news = News(self.cursor, theirs)
            for watcher in self._watchers[key]:
                watcher.give(news)

    async def _look_how_all_stands(self, conn: database.Connection) -> None:
        self._stands_otherwise = False
        self._stood_at = time.monotonic()
        runs = [run_id for _, run_id in self._watchers if run_id is not None]
        teams = [team_id for team_id, run_id in self._watchers if run_id is None]
        stands = await standing.look(conn, runs=runs, teams=teams)
        changed, self._stood = stands.since(self._stood), stands
        for (team_id, run_id), watchers in self._watchers.items():
            told = changed.of(team_id=team_id, run_id=run_id)
            if any(told):
                news = News(self.cursor, (), *told)
                for watcher in watchers:
                    watcher.give(news)

    def _all(self) -> list[Watcher]:
        return [watcher for some in self._watchers.values() for watcher in some]

    def something_was_done(self) -> None:
        """Runs may stand otherwise than before."""
        if not self._stands_otherwise:
            self._stands_otherwise = True
            self._woken.set()


_tails: WeakKeyDictionary[asyncio.AbstractEventLoop, Tail] = WeakKeyDictionary()


def current() -> Tail:
    """The running event loop's reader."""
    return _tails.setdefault(asyncio.get_running_loop(), Tail())


def _on_done(_: str | None) -> None:
    tail = _tails.get(asyncio.get_running_loop())
    if tail is not None:
        tail.something_was_done()


DONE.on_news(_on_done)


async def shutdown() -> None:
    """Stop the running event loop's reader."""
    tail = _tails.pop(asyncio.get_running_loop(), None)
    if tail is not None:
        tail.stop()
