"""What one socket is told: first what it has missed, then what happens, in frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core import database
from events import reader
from events.cursors import Cursor
from events.reader import StartAfresh
from live import standing
from live.frames import News, frame
from live.tail import Tail, Watcher

FRAMES_EVERY_S = 0.1
IDLE_S = 15.0
MOST_REPLAYED = 2000

Send = Callable[[str], Awaitable[None]]


class FellBehind(Exception):
    """The client does not take what it is told as fast as it happens."""


class Teller:
    """Tells one watcher's client.

    Args:
        after: what the client has been told already, if anything.
    """

    def __init__(self, tail: Tail, watcher: Watcher, send: Send, after: Cursor | None) -> None:
        self._tail, self._watcher, self._send = tail, watcher, send
        self._after = after
        self._sent_at = 0.0
        # further than the reader was: told by another process, or by pages that read later
        self._ahead: Cursor | None = None

    async def tell(self) -> None:
        """Tell all there is, for ever. Raises FellBehind."""
        if self._after is not None and not await self._replay(self._after):
            await self._tell_afresh()
        else:
            await self._frame(self._behind(self._watcher.since), [await self._how_all_stands()])
        while True:
            await self._go_on()

    async def _go_on(self) -> None:
        """Wait for something to tell, and tell it; after a while, that there is nothing."""
        watcher = self._watcher
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await watcher.woken.wait()
        await asyncio.sleep(max(0.0, self._sent_at + FRAMES_EVERY_S - time.monotonic()))
        if watcher.fell_behind:
            raise FellBehind
        if watcher.must_start_afresh:
            watcher.must_start_afresh = False
            watcher.take()
            await self._tell_afresh()
            return
        news = watcher.take()
        cursor = news[-1].cursor if news else self._tail.cursor
        if self._ahead is not None:
            news = [one.without(self._ahead) for one in news]
        await self._frame(self._behind(cursor), news)

    async def _replay(self, cursor: Cursor) -> bool:
        """Tell what lies between a cursor and the watcher's beginning; False if that is unknown."""
        told = 0
        until = self._watcher.since
        try:
            while cursor.reading is not None or cursor.seen != until.seen:
                if cursor.reading is None and not cursor.seen.is_within(until.seen):
                    return await self._begin_ahead(cursor)
                async with database.connection() as conn:
                    found = await reader.read(
                        conn,
                        cursor,
                        team_id=self._watcher.team_id,
                        run_id=self._watcher.run_id,
                        until=until,
                    )
                cursor = found.cursor
                told += len(found.events)
                if told > MOST_REPLAYED:
                    return False
                if found.events:
                    await self._frame(cursor, [News(cursor, found.events)])
        except StartAfresh:
            return False
        return cursor.server == until.server

    async def _begin_ahead(self, cursor: Cursor) -> bool:
        """Leave out what the client knows already, unless it knows what has yet to happen."""
        async with database.connection() as conn:
            now = await reader.current(conn)
        self._ahead = cursor
        return cursor.server == now.server and cursor.seen.is_within(now.seen)

    async def _tell_afresh(self) -> None:
        self._ahead = None
        stands = await self._how_all_stands()
        await self._frame(self._tail.cursor, [stands], afresh=True)

    def _behind(self, cursor: Cursor) -> Cursor:
        """What the client has been told with what the reader had found up to a cursor."""
        ahead = self._ahead
        if ahead is None:
            return cursor
        if ahead.seen.is_within(cursor.seen):
            self._ahead = None
            return cursor
        if cursor.reading is not None and ahead.seen.is_within(cursor.reading):
            return Cursor(cursor.server, ahead.seen, cursor.reading, cursor.at)
        return ahead

    async def _how_all_stands(self) -> News:
        team_id, run_id = self._watcher.team_id, self._watcher.run_id
        of_team = [team_id] if run_id is None else []
        async with database.connection() as conn:
            stands = await standing.look(conn, runs=[run_id] if run_id else [], teams=of_team)
        return News(self._tail.cursor, (), *stands.of(team_id=team_id, run_id=run_id))

    async def _frame(self, cursor: Cursor, news: list[News], *, afresh: bool = False) -> None:
        """Send a frame, not too soon after the one before."""
        await asyncio.sleep(max(0.0, self._sent_at + FRAMES_EVERY_S - time.monotonic()))
        self._sent_at = time.monotonic()
        await self._send(frame(cursor, news, afresh=afresh))
