"""What a worker does from time to time beside its work, on threads of its own.

The pulse keeps the lease and must not wait for anything slow; the sweep deletes rows and files.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import psycopg

from checkpoints import expiry, leftovers, undo
from core import database
from events import retention as event_retention
from gpu_workers.log.missing import GapWatch
from gpu_workers.process.calling import call_for_work
from gpu_workers.process.lease import Lease
from operations import claims, recordings, turns, workers
from runs import lifecycle, retention

log = logging.getLogger(__name__)

EVERY_S = 8.0


class Upkeep(threading.Thread):
    """Calls `task` every `EVERY_S` seconds with a connection, until `until` is set.

    What goes wrong is logged and tried again in the next turn, over a new connection if need be.
    """

    def __init__(
        self, name: str, task: Callable[[psycopg.Connection], None], *, until: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._task = task
        self._until = until

    def run(self) -> None:
        """Take turns until the worker stops."""
        conn: psycopg.Connection | None = None
        while not self._until.wait(EVERY_S):
            try:
                if conn is None or conn.broken:
                    conn = database.connect()
                self._task(conn)
            except psycopg.OperationalError as error:
                log.error("the %s found the database away or busy: %s", self.name, error)
            except Exception:
                log.exception("the %s failed", self.name)
        if conn is not None:
            conn.close()

    def wait_until_over(self, timeout_s: float) -> None:
        """Wait for the end of the turn under way, once `until` is set."""
        if self.is_alive():
            self.join(timeout_s)


class Pulse:
    """What must not wait for anything slow: it touches no files."""

    def __init__(self, pool: str, lease: Lease) -> None:
        self._pool = pool
        self._lease = lease
        self._gaps = GapWatch(pool)

    def beat(self, conn: psycopg.Connection) -> None:
        """Renew the lease, end silent sessions, make good for what was lost."""
        self._lease.renew(conn)
        pools = set(lifecycle.expire_sessions(conn))
        if claims.recover(conn, pool=self._pool) or claims.is_waiting(conn, pool=self._pool):
            pools.add(self._pool)
        if self._gaps.close_due(conn):
            pools.add(self._pool)
        for pool in pools:
            call_for_work(conn, pool)


def sweep(conn: psycopg.Connection) -> None:
    """Delete what is past its time, then the files that nobody needs."""
    expiry.expire(conn)
    undo.end_due(conn)
    recordings.forget_old(conn)
    workers.forget_old(conn)
    retention.forget_results(conn)
    event_retention.forget_old(conn)
    turns.forget_old(conn)
    leftovers.delete_due(conn)
