"""Brings what PostgreSQL announces to the coroutines that wait for it.

One LISTEN connection a process. What may be announced is a `Topic`, declared by the app that
announces it; the hub knows none of them. Whoever waits registers before the first look, so no
wake-up falls between the look and the wait; a reconnect wakes everybody, for notifications may have
been lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg

from core import database

log = logging.getLogger(__name__)

RECONNECT_DELAY_S = 0.5
# a waiter looks again this often, should a notification have been lost
RECHECK_S = 5.0
CONNECT_WITHIN_S = 2.0
# pg_notify refuses payloads of 8000 bytes and more
MAX_PAYLOAD_BYTES = 7900

# takes what was announced, or None when anything may have been missed
Receive = Callable[[str | None], None]
# finds in a notification's text whom it is for, and what it tells each of them
Address = Callable[[str], Iterable[tuple[str, str]]]

_topics: dict[str, Topic] = {}


class Topic:
    """What is announced on one channel; every hub listens for the topics that exist."""

    def __init__(self, channel: str, address: Address | None = None) -> None:
        """Declare a topic.

        Args:
            channel: the channel's name in PostgreSQL.
            address: none if nobody in particular is spoken to; see `on_news`.
        """
        self.channel = channel
        self._address = address or (lambda _: ())
        self._standing: list[Receive] = []
        _topics[channel] = self

    def on_news(self, receive: Receive) -> None:
        """Have `receive` called with all that is announced, in every hub from now on."""
        self._standing.append(receive)

    def deliver(self, payload: str, receivers: dict[str, set[Receive]]) -> None:
        """Give a notification to those whom it is for; `receivers` are a hub's, by key."""
        for receive in self._standing:
            receive(payload)
        for key, news in self._address(payload):
            for receive in tuple(receivers.get(key, ())):
                receive(news)

    def miss(self, receivers: dict[str, set[Receive]]) -> None:
        """Tell everybody that something may have been announced unheard."""
        for receive in (*self._standing, *(one for some in receivers.values() for one in some)):
            receive(None)


class Hub:
    """The receivers of one event loop and the task that listens for them."""

    def __init__(self) -> None:
        self._receivers: dict[str, dict[str, set[Receive]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    @contextmanager
    def subscribed(self, topic: Topic, key: str, receive: Receive) -> Iterator[None]:
        """Have `receive` called with what is announced to `key`."""
        self.start()
        by_key = self._receivers.setdefault(topic.channel, {})
        by_key.setdefault(key, set()).add(receive)
        try:
            yield
        finally:
            by_key[key].discard(receive)
            if not by_key[key]:
                del by_key[key]

    @contextmanager
    def waiter(self, topic: Topic, key: str) -> Iterator[asyncio.Event]:
        """An event set whenever something is, or may have been, announced to `key`."""
        event = asyncio.Event()
        with self.subscribed(topic, key, lambda _: event.set()):
            yield event

    @contextmanager
    def queue(self, topic: Topic, key: str) -> Iterator[asyncio.Queue[str | None]]:
        """A queue into which goes what is announced to `key`.

        Announcements may be missing: none is repeated after a lost connection.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        def receive(news: str | None) -> None:
            if news is not None:
                queue.put_nowait(news)

        with self.subscribed(topic, key, receive):
            yield queue

    async def listening(self) -> None:
        """Wait until the database would tell us, but not for long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._connected.wait(), CONNECT_WITHIN_S)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def start(self) -> None:
        """Listen from now on, if nobody has asked for that yet."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="hub")

    async def _listen(self) -> None:
        while True:
            try:
                async with await database.connect_async() as conn:
                    for channel in _topics:
                        await conn.execute(f"LISTEN {channel}")
                    self._connected.set()
                    for topic in _topics.values():
                        topic.miss(self._of(topic))
                    async for notice in conn.notifies():
                        topic = _topics[notice.channel]
                        topic.deliver(notice.payload, self._of(topic))
            except (psycopg.Error, OSError) as error:
                log.warning("the listening connection was lost, reconnecting: %s", error)
            self._connected.clear()
            await asyncio.sleep(RECONNECT_DELAY_S)

    def _of(self, topic: Topic) -> dict[str, set[Receive]]:
        return self._receivers.get(topic.channel, {})


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """The running event loop's hub."""
    return _hubs.setdefault(asyncio.get_running_loop(), Hub())


async def startup() -> None:
    """Make the running event loop's hub and let it listen."""
    current().start()


async def shutdown() -> None:
    """Close the running event loop's hub."""
    hub = _hubs.pop(asyncio.get_running_loop(), None)
    if hub is not None:
        await hub.close()


def payloads(keys: list[str]) -> list[str]:
    """`keys` joined into as few notification payloads as fit."""
    result: list[str] = []
    current_payload = ""
    for key in keys:
        joined = f"{current_payload},{key}" if current_payload else key
        if len(joined.encode()) > MAX_PAYLOAD_BYTES:
            result.append(current_payload)
            joined = key
        current_payload = joined
    if current_payload:
        result.append(current_payload)
    return result
