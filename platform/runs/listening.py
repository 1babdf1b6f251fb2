"""A clock that goes only while somebody listens: what a session's silence is measured by.

Each web process moves it on every few seconds. While none does, because they are stopped, the
machine is suspended or the database away, it stands, and so it does when the database's own clock
jumps. Hence a session ends for its client's silence, never for ours.
"""

from __future__ import annotations

import asyncio
import logging
from weakref import WeakKeyDictionary

import psycopg

from core import database

log = logging.getLogger(__name__)

RENEWS_EVERY_S = 5.0
# over a longer while than this between two renewals, nobody is known to have listened
BRIDGES_S = 15.0

# what the clock shows, in seconds, inside a statement
NOW = "coalesce((SELECT seconds FROM runs_listening), 0)"

_RENEW = """
INSERT INTO runs_listening AS l (seconds, renewed_at) VALUES (0, clock_timestamp())
ON CONFLICT (id) DO UPDATE SET renewed_at = clock_timestamp(), seconds = l.seconds + CASE
    WHEN clock_timestamp() - l.renewed_at
         BETWEEN interval '0' AND make_interval(secs => %s)
    THEN extract(epoch FROM clock_timestamp() - l.renewed_at) ELSE 0 END
"""


async def renew() -> None:
    """Say that this process listens, and has since the last renewal, whosever that was."""
    async with database.connection() as conn:
        await conn.execute(_RENEW, (BRIDGES_S,))


async def _go_on_renewing() -> None:
    while True:
        try:
            await renew()
        except (psycopg.Error, OSError) as error:
            log.warning("the clock of listening stands still: %s", error)
        await asyncio.sleep(RENEWS_EVERY_S)


_tasks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[None]] = WeakKeyDictionary()


async def startup() -> None:
    """Renew from now on, as long as the running event loop does not stop."""
    _tasks[asyncio.get_running_loop()] = asyncio.create_task(_go_on_renewing(), name="listening")


async def shutdown() -> None:
    """Renew no more."""
    task = _tasks.pop(asyncio.get_running_loop(), None)
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
