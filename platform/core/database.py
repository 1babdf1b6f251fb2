"""Raw psycopg connections beside Django's ORM: a pool for the wire protocol, single ones elsewhere.

The wire protocol's views use this instead of the ORM because a submit then costs a third of the
CPU. Connections are in autocommit mode; `transaction()` is for several statements; `within()` gives
each statement of a block so much time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connections
from psycopg_pool import AsyncConnectionPool

MAX_CONNECTIONS = 16
ACQUIRE_TIMEOUT_S = 30.0

Connection = psycopg.AsyncConnection[tuple[Any, ...]]
_statement_s: ContextVar[float | None] = ContextVar("statement_s", default=None)
_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool] = WeakKeyDictionary()


def connect_kwargs() -> dict[str, Any]:
    """libpq parameters of Django's default database (the test database while tests run)."""
    settings = connections["default"].settings_dict
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host"}
    kwargs: dict[str, Any] = {
        libpq: settings[django] for django, libpq in names.items() if settings.get(django)
    }
    if settings.get("PORT"):
        kwargs["port"] = settings["PORT"]
    options = settings.get("OPTIONS", {})
    kwargs.update((name, value) for name, value in options.items() if name != "pool")
    return kwargs


def connect() -> psycopg.Connection[tuple[Any, ...]]:
    """A new synchronous autocommit connection; the caller closes it."""
    return psycopg.connect(**connect_kwargs(), autocommit=True, prepare_threshold=0)


def is_passing(error: BaseException) -> bool:
    """Whether the database was away, busy or full: the same may succeed later."""
    too_much = "54"  # SQLSTATE class "program limit exceeded"; psycopg calls it operational, too
    return isinstance(error, psycopg.OperationalError) and not (error.sqlstate or "").startswith(
        too_much
    )


async def connect_async() -> Connection:
    """A new asynchronous autocommit connection outside the pool; the caller closes it."""
    return await psycopg.AsyncConnection.connect(**connect_kwargs(), autocommit=True)


async def open_pool() -> AsyncConnectionPool:
    """This event loop's pool, opened on first use."""
    loop = asyncio.get_running_loop()
    pool = _pools.get(loop)
    if pool is None:
        pool = AsyncConnectionPool(
            kwargs={**connect_kwargs(), "autocommit": True, "prepare_threshold": 0},
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=ACQUIRE_TIMEOUT_S,
            open=False,
        )
        _pools[loop] = pool
        await pool.open()
    return pool


async def startup() -> None:
    """Open the pool before the first request needs it."""
    await open_pool()


async def shutdown() -> None:
    """Close this event loop's pool; the next use opens a new one."""
    pool = _pools.pop(asyncio.get_running_loop(), None)
    if pool is not None:
        await pool.close()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Have PostgreSQL give up any statement of this block that takes longer (`QueryCanceled`)."""
    token = _statement_s.set(seconds)
    try:
        yield
    finally:
        _statement_s.reset(token)


@asynccontextmanager
async def connection() -> AsyncIterator[Connection]:
    """A pooled autocommit connection: each statement is a transaction of its own.

    Under `within()` it is one transaction, with which the limit ends.
    """
    pool = await open_pool()
    seconds = _statement_s.get()
    async with pool.connection() as conn:
        if seconds is None:
            yield conn
            return
        async with conn.transaction():
            # not as a parameter: SET takes none
            await conn.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
            yield conn


@asynccontextmanager
async def transaction() -> AsyncIterator[Connection]:
    """A pooled connection inside one transaction, rolled back when the block raises."""
    async with connection() as conn, conn.transaction():
        yield conn


def anywhere(text: str) -> str:
    """What ILIKE takes for a text that may stand anywhere.

    >>> anywhere("50%")
    '%50\\\\%%'
    """
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
