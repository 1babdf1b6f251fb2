"""The loop that takes work from the log: claim, hand over, wait to be woken.

One drain follows another on a thread of the worker's own, so that no broker is needed to go on. It
listens on PostgreSQL and says so, in which case submitters need not ring Celery. It wakes for new
work, for capacity that has become free, for a doorbell, and to end; it never polls.
"""

from __future__ import annotations

import logging
import select
import threading
import time
import uuid
from collections.abc import Callable

import psycopg

from core import database
from gpu_workers.log.capacity import Wakeup
from gpu_workers.log.in_hand import SamplesInHand
from gpu_workers.log.reconciling import Reconciling
from gpu_workers.log.taking import Taking
from operations import claims, workers
from operations.announcements import CANCEL_CHANNEL, WORK_CHANNEL, Announcement

log = logging.getLogger(__name__)

# after this long a drain gives way to the next, which compares all it has with the log
LASTS_S = 50.0
RETRY_S = 1.0


class Drain:
    """One worker's loop; at most one thread runs it.

    Args:
        taking: takes work. reconciling: lets go what has ended. samples: to be given up on demand.
        freed: wakes the loop when there is room again. renew: renews the worker's lease.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        pool: str,
        *,
        taking: Taking,
        reconciling: Reconciling,
        samples: SamplesInHand,
        freed: Wakeup,
        renew: Callable[[psycopg.Connection], None],
        stopping: threading.Event,
    ) -> None:
        self._worker_id = worker_id
        self._pool = pool
        self._taking = taking
        self._reconciling = reconciling
        self._samples = samples
        self._freed = freed
        self._renew = renew
        self._stopping = stopping
        self._running = threading.Lock()
        self._rung = threading.Event()

    def look(self) -> None:
        """Have the loop look at everything again: somebody has rung."""
        self._rung.set()
        self._freed.wake()

    def wait_until_over(self, timeout_s: float) -> None:
        """Have the loop notice that the worker is stopping, and wait for its end."""
        self._freed.wake()
        if self._running.acquire(timeout=timeout_s):
            self._running.release()

    def run(self) -> None:
        """Take work for a while; another run is to follow, as this one may have ended badly."""
        if not self._running.acquire(blocking=False):
            return
        try:
            if not self._stopping.is_set():
                self._run()
        except psycopg.OperationalError as error:
            log.error("the drain lost the database and begins anew: %s", error)
            self._stopping.wait(RETRY_S)
        except Exception:
            log.exception("the drain failed and begins anew")
            self._stopping.wait(RETRY_S)
        finally:
            self._running.release()

    def _run(self) -> None:
        with database.connect() as conn:
            conn.execute(f"LISTEN {WORK_CHANNEL}")
            conn.execute(f"LISTEN {CANCEL_CHANNEL}")
            self._loop(conn, time.monotonic() + LASTS_S)

    def _loop(self, conn: psycopg.Connection, deadline: float) -> None:
        """Take work until the deadline."""
        self._renew(conn)
        self._reconciling.compare(conn)
        claims.recover(conn, pool=self._pool)
        workers.set_lingering(conn, worker_id=self._worker_id, lingering=True)
        news = {Announcement.WORK, Announcement.CHANGE}
        try:
            while not self._stopping.is_set():
                if Announcement.CHANGE in news:
                    self._take_changes(conn)
                self._taking.take(conn)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                news = self._wait(conn, remaining)
        finally:
            if not conn.closed:
                workers.set_lingering(conn, worker_id=self._worker_id, lingering=False)

    def _take_changes(self, conn: psycopg.Connection) -> None:
        """Free what ended sessions held; new runs and those of dead workers are to be taken up."""
        self._reconciling.forget_if_lapsed(conn)
        try:
            self._reconciling.release_ended(conn)
        except OSError as error:
            # their files can wait for the disk; whoever has none to do with them cannot
            log.error("ended sessions could not be released, this is tried again: %s", error)
        self._taking.adopt_waiting(conn)

    def _wait(self, conn: psycopg.Connection, timeout_s: float) -> set[Announcement]:
        """What was announced for our pool, once there is anything to do or the time is over."""
        news = self._announced(conn)
        if not news:
            select.select([conn.fileno(), self._freed.fileno()], [], [], timeout_s)
            self._freed.clear()
            news = self._announced(conn)
        if self._rung.is_set():
            self._rung.clear()
            news |= {Announcement.WORK, Announcement.CHANGE}
        return news

    def _announced(self, conn: psycopg.Connection) -> set[Announcement]:
        news: set[Announcement] = set()
        for notice in conn.notifies(timeout=0):
            if notice.channel == CANCEL_CHANNEL:
                self._samples.cancel_all(notice.payload.split(","))
                continue
            pool, kind = Announcement.parse(notice.payload)
            if pool == self._pool:
                news.add(kind)
        return news
