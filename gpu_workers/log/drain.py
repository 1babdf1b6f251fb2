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
from typing import TYPE_CHECKING, Any

import psycopg

from core import database
from gpu_workers.log.capacity import MAX_BYTES
from operations import claims, workers
from operations.announcements import CANCEL_CHANNEL, WORK_CHANNEL, Announcement
from operations.claims import UNSUSPECTED, Claimed, Group

if TYPE_CHECKING:
    from gpu_workers.process.worker import Worker

log = logging.getLogger(__name__)

# after this long a drain gives way to the next, which compares all it has with the log
LASTS_S = 50.0
MAX_CLAIM = 128
RETRY_S = 1.0


class Drain:
    """One worker's loop; at most one thread runs it."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._running = threading.Lock()
        self._rung = threading.Event()
        self._suspects_wait = False
        self._adoptions_wait = False
        # what is in hand is finished first, then suspects are done, apart from others
        self._quarantine = False

    def look(self) -> None:
        """Have the loop look at everything again: somebody has rung."""
        self._rung.set()
        self._worker.capacity.freed.wake()

    def wait_until_over(self, timeout_s: float) -> None:
        """Have the loop notice that the worker is stopping, and wait for its end."""
        self._worker.capacity.freed.wake()
        if self._running.acquire(timeout=timeout_s):
            self._running.release()

    def run(self) -> None:
        """Take work for a while; another run is to follow, as this one may have ended badly."""
        if not self._running.acquire(blocking=False):
            return
        try:
            if not self._worker.stopping.is_set():
                self._run()
        except psycopg.OperationalError as error:
            log.error("the drain lost the database and begins anew: %s", error)
            self._worker.stopping.wait(RETRY_S)
        except Exception:
            log.exception("the drain failed and begins anew")
            self._worker.stopping.wait(RETRY_S)
        finally:
            self._running.release()

    def _run(self) -> None:
        with database.connect() as conn:
            conn.execute(f"LISTEN {WORK_CHANNEL}")
            conn.execute(f"LISTEN {CANCEL_CHANNEL}")
            self._loop(conn, time.monotonic() + LASTS_S)

    def _loop(self, conn: psycopg.Connection, deadline: float) -> None:
        """Take work until the deadline."""
        worker = self._worker
        worker.lease.renew(conn)
        worker.reconcile(conn)
        claims.recover(conn, pool=worker.pool)
        workers.set_lingering(conn, worker_id=worker.id, lingering=True)
        news = {Announcement.WORK, Announcement.CHANGE}
        try:
            while not self._worker.stopping.is_set():
                if Announcement.CHANGE in news:
                    self._take_changes(conn)
                self._take(conn)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                news = self._wait(conn, remaining)
        finally:
            if not conn.closed:
                workers.set_lingering(conn, worker_id=worker.id, lingering=False)

    def _take_changes(self, conn: psycopg.Connection) -> None:
        """Free what ended sessions held; new runs and those of dead workers are to be taken up."""
        worker = self._worker
        worker.forget_if_lapsed(conn)
        worker.release_ended(conn)
        self._adoptions_wait = True
        if not self._quarantine:
            self._adopt_waiting(conn)
        self._look_for_suspects(conn)

    def _adopt_waiting(self, conn: psycopg.Connection) -> None:
        self._adoptions_wait = False
        self._adopt(conn, UNSUSPECTED)

    def _adopt(self, conn: psycopg.Connection, group: Group) -> bool:
        """Take up runs that have no worker; whether there were any."""
        worker = self._worker
        adopted = claims.adopt(
            conn, worker_id=worker.id, pool=worker.pool, limit=MAX_CLAIM, group=group
        )
        for run in adopted:
            worker.held.take_up(run)
        return bool(adopted)

    def _look_for_suspects(self, conn: psycopg.Connection) -> None:
        worker = self._worker
        self._suspects_wait = claims.has_suspects(
            conn, worker_id=worker.id, pool=worker.pool, besides=worker.restores.run_ids()
        )
        # it lasts as long as suspects are in hand: nobody is to be beside them
        self._quarantine = self._suspects_wait or (
            self._quarantine and not worker.capacity.all_settled_or_wake()
        )

    def _take(self, conn: psycopg.Connection) -> None:
        """Claim all there is room for and hand it over.

        Not claimed are only operations announced from now on, or those that `capacity.freed` will
        wake us for.
        """
        took = self._take_a_round(conn)
        # suspects may stand behind what was taken: it is waited for
        while took and self._suspects_wait and self._worker.capacity.all_settled_or_wake():
            took = self._take_a_round(conn)

    def _take_a_round(self, conn: psycopg.Connection) -> bool:
        """Claim suspects, as far as they may be done now, or else all others; whether any was."""
        worker = self._worker
        worker.restores.feed(conn)
        if self._suspects_wait and worker.capacity.all_settled_or_wake():
            self._look_for_suspects(conn)
        took = self._take_quarantined(conn)
        if self._adoptions_wait and not self._quarantine:
            self._adopt_waiting(conn)
            worker.restores.feed(conn)
            self._look_for_suspects(conn)
            took |= self._take_quarantined(conn)
        if self._quarantine:
            return took
        while not worker.stopping.is_set():
            operations, max_bytes = worker.capacity.left()
            if not operations or not max_bytes:
                break
            limit = min(operations, MAX_CLAIM)
            claimed = self._claim(conn, limit=limit, max_bytes=max_bytes)
            took |= bool(claimed)
            taken_bytes = sum(len(operation.body) for operation in claimed)
            if len(claimed) < limit and taken_bytes < max_bytes:
                break
        return took

    def _take_quarantined(self, conn: psycopg.Connection) -> bool:
        """While there is nothing else in hand, take suspects; whether any was."""
        took = False
        while self._quarantine and self._worker.capacity.all_settled_or_wake():
            self._quarantine = self._take_suspects(conn)
            took |= self._quarantine
        return took

    def _take_suspects(self, conn: psycopg.Connection) -> bool:
        """Take the largest group of suspects that may be in hand together; whether there is one."""
        for group in claims.GROUPS:
            if self._claim(conn, limit=MAX_CLAIM, max_bytes=MAX_BYTES, group=group):
                return True
            if self._adopt(conn, group):
                self._worker.restores.feed(conn)
                return True
        return False

    def _claim(self, conn: psycopg.Connection, **which: Any) -> list[Claimed]:
        """Claim as `claims.claim` says and hand over."""
        worker = self._worker
        claimed = claims.claim(
            conn,
            worker_id=worker.id,
            pool=worker.pool,
            besides=worker.restores.run_ids(),
            **which,
        )
        for operation in claimed:
            worker.handover.begin(conn, operation)
        return claimed

    def _wait(self, conn: psycopg.Connection, timeout_s: float) -> set[Announcement]:
        """What was announced for our pool, once there is anything to do or the time is over."""
        freed = self._worker.capacity.freed
        news = self._announced(conn)
        if not news:
            select.select([conn.fileno(), freed.fileno()], [], [], timeout_s)
            freed.clear()
            news = self._announced(conn)
        if self._rung.is_set():
            self._rung.clear()
            news |= {Announcement.WORK, Announcement.CHANGE}
        return news

    def _announced(self, conn: psycopg.Connection) -> set[Announcement]:
        news: set[Announcement] = set()
        for notice in conn.notifies(timeout=0):
            if notice.channel == CANCEL_CHANNEL:
                self._worker.samples.cancel_all(notice.payload.split(","))
                continue
            pool, kind = Announcement.parse(notice.payload)
            if pool == self._worker.pool:
                news.add(kind)
        return news
