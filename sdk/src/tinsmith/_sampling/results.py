"""Waits for samples: one long poll for all of a client, or one each.

A server that offers the first says so in its configuration. The poll tells which samples have
ended; their results are fetched one by one, and the next poll says which of them the server need
not keep. There is no such poll for training runs: their results come one long poll each.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from tinsmith._http.transport import Reply
from tinsmith._session.waiting import Haste, Waiting

if TYPE_CHECKING:
    from tinsmith._session.session import Session

# Results that were fetched are reported with the next poll; without one, after so long
REPORT_AFTER_S = 1.0


class _Ended(msgspec.Struct):
    request_id: str


class _News(msgspec.Struct):
    """Reply to a poll: what has ended since the cursor; or why nothing has, if the server says."""

    cursor: int
    completions: list[_Ended] = []
    queue_state: str = "active"
    queue_state_reason: str = ""


class SampleResults:
    """The open samples of one sampling client. Everything here runs on the background loop."""

    def __init__(self, session: Session, sampler_id: str, clone: int) -> None:
        """``clone`` is the client's own number among those that share the sampler."""
        self._session = session
        self._sampler_id = sampler_id
        self._target = {
            "type": "sampling_session",
            "sampling_session_id": sampler_id,
            "cloned_sampler_id": clone,
        }
        self._cursor = 0
        self._open = 0
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._early: set[str] = set()  # ended before anybody could wait for them
        self._fetched: list[str] = []
        self._polling: asyncio.Task[None] | None = None
        self._reporting: asyncio.TimerHandle | None = None

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Around everything from a sample's submission to its result."""
        self._open += 1
        if self._reporting is not None:
            self._reporting.cancel()
        try:
            yield
        finally:
            self._open -= 1
            if not self._open:
                self._early.clear()
                loop = asyncio.get_running_loop()
                self._reporting = loop.call_later(REPORT_AFTER_S, self._start)

    async def fetch(self, request_id: str) -> Reply:
        """The result of a submitted sample, waited for as long as it takes.

        Raises:
            RequestFailedError: the sample failed.
            APIStatusError, APIConnectionError: the server does not know it, or is away for longer
                than the retry budget.
        """
        shared = self._session.config.sample_use_retrieve_futures
        if shared:
            await self._ended(request_id)
        reply = await self._session.result(
            request_id, target=self._sampler_id, kind="sample", binary=True, ended=shared
        )
        if shared:
            self._fetched.append(request_id)
        return reply

    async def _ended(self, request_id: str) -> None:
        if request_id in self._early:
            return
        waiter = self._waiting[request_id] = asyncio.get_running_loop().create_future()
        self._start()
        try:
            await waiter
        finally:
            self._waiting.pop(request_id, None)

    def _start(self) -> None:
        """Poll, if there is anything to ask or to report and no poll is under way."""
        if (self._waiting or self._fetched) and (self._polling is None or self._polling.done()):
            self._polling = asyncio.ensure_future(self._poll())

    async def _poll(self) -> None:
        haste, since = Haste(), time.monotonic()
        try:
            while True:
                held = bool(self._waiting)
                news = await self._ask()
                if not self._waiting:
                    return
                if news.completions or not held:
                    since = time.monotonic()
                else:
                    self._tell_why(news, time.monotonic() - since)
                await haste.pause(empty=held and not news.completions)
        except Exception as error:
            for waiter in self._waiting.values():
                if not waiter.done():
                    waiter.set_exception(error)

    def _tell_why(self, news: _News, seconds: float) -> None:
        state, reason = news.queue_state, news.queue_state_reason
        self._session.waiting.notice(Waiting(self._sampler_id, "sample", state, reason, seconds))

    async def _ask(self) -> _News:
        """One poll; wakes those whose samples have ended."""
        reported = self._fetched
        self._fetched = []
        wanted = {
            "target": self._target,
            "prev_cursor": self._cursor,
            "timeout": None if self._waiting else 0.0,
            "retrieved_request_ids": reported,
        }
        news = await self._session.poll("retrieve_futures", wanted, _News)
        if news is None:
            return _News(self._cursor)
        self._cursor = news.cursor
        for ended in news.completions:
            waiter = self._waiting.pop(ended.request_id, None)
            if waiter is None:
                self._early.add(ended.request_id)
            elif not waiter.done():
                waiter.set_result(None)
        return news
