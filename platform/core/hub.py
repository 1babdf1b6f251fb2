"""Wakes coroutines when PostgreSQL says that what they wait for has happened.

One LISTEN connection a process. A waiter registers before it first looks, so no wake-up falls
between the look and the wait; a reconnect wakes everybody, for notifications may have been lost.
The same connection brings news to whoever remembers rows, so that what has changed is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from weakref import WeakKeyDictionary

import psycopg

from core import database

log = logging.getLogger(__name__)

DONE_CHANNEL = "tinsmith_done"
WORK_CHANNEL = "tinsmith_work"
# a request id that nobody waits for any more
CANCEL_CHANNEL = "tinsmith_cancel"
# a request id, a space, tokens sampled for it (operations/partial.py)
TOKENS_CHANNEL = "tinsmith_tokens"
# the number of an API key that may do less now; a trigger on its table says so
KEYS_CHANNEL = "tinsmith_keys"
RECONNECT_DELAY_S = 0.5
# a waiter looks again this often, should a notification have been lost
RECHECK_S = 5.0
CONNECT_WITHIN_S = 2.0
# pg_notify refuses payloads of 8000 bytes and more
MAX_PAYLOAD_BYTES = 7900


# takes a notification's text, or None when any may have been missed
Forget = Callable[[str | None], None]
_forgetters: dict[str, Forget] = {}


def on_news(channel: str, forget: Forget) -> None:
    """Have `forget` called with all that is announced on a channel, in every hub from now on."""
    _forgetters[channel] = forget


class Hub:
    """The waiters of one event loop and the task that listens for them."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Event]] = {}
        self._listeners: dict[str, set[asyncio.Queue[str | None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    @contextmanager
    def waiter(self, key: str) -> Iterator[asyncio.Event]:
        """An event set whenever `key` is announced on the done channel."""
        self.start()
        event = asyncio.Event()
        events = self._waiters.setdefault(key, set())
        events.add(event)
        try:
            yield event
        finally:
            events.discard(event)
            if not events:
                self._waiters.pop(key, None)

    @contextmanager
    def tokens(self, key: str) -> Iterator[asyncio.Queue[str | None]]:
        """A queue into which goes what is announced of `key` on the tokens channel.

        Announcements may be missing: none is repeated after a lost connection.
        """
        self.start()
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        queues = self._listeners.setdefault(key, set())
        queues.add(queue)
        try:
            yield queue
        finally:
            queues.discard(queue)
            if not queues:
                self._listeners.pop(key, None)

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
                    for channel in (DONE_CHANNEL, TOKENS_CHANNEL, *_forgetters):
                        await conn.execute(f"LISTEN {channel}")
                    self._connected.set()
                    self._wake(list(self._waiters))
                    for forget in _forgetters.values():
                        forget(None)
                    async for notice in conn.notifies():
                        if notice.channel == DONE_CHANNEL:
                            self._wake(notice.payload.split(","))
                        elif notice.channel == TOKENS_CHANNEL:
                            self._hand_on(notice.payload)
                        else:
                            _forgetters[notice.channel](notice.payload)
            except (psycopg.Error, OSError) as error:
                log.warning("the listening connection was lost, reconnecting: %s", error)
            self._connected.clear()
            await asyncio.sleep(RECONNECT_DELAY_S)

    def _wake(self, keys: list[str]) -> None:
        for key in keys:
            for event in self._waiters.get(key, ()):
                event.set()
        # who waits for any request of a sampler waits for the sampler's id
        for target in {key.rpartition(":")[0] for key in keys}:
            for event in self._waiters.get(target, ()):
                event.set()

    def _hand_on(self, payload: str) -> None:
        key, _, news = payload.partition(" ")
        for queue in self._listeners.get(key, ()):
            queue.put_nowait(news)


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
