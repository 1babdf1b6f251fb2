"""Doing something as a worker does it: over a connection of its own, on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from psycopg import Connection

from core import database


async def by_worker(work: Callable[[Connection], object]) -> None:
    """Do something over a connection of a worker's, on a thread."""

    def run() -> None:
        with database.connect() as conn:
            work(conn)

    await asyncio.to_thread(run)
