"""What a worker takes from the log: operations for which there is room, and runs without a worker.

Operations and runs that workers died over are suspects: what is in hand is finished first, then
suspects are done, apart from everything else.
"""

from __future__ import annotations

import threading
import uuid
from typing import Any

import psycopg

from gpu_workers.log.capacity import MAX_BYTES, Capacity
from gpu_workers.log.handover import Handover
from gpu_workers.log.held_runs import HeldRuns
from gpu_workers.log.restoring import Restores
from operations import claims
from operations.claims import UNSUSPECTED, Claimed, Group

MAX_CLAIM = 128


class Taking:
    """One worker's share of its pool's work. For the drain's thread alone."""

    def __init__(
        self,
        worker_id: uuid.UUID,
        pool: str,
        *,
        capacity: Capacity,
        held: HeldRuns,
        restores: Restores,
        handover: Handover,
        stopping: threading.Event,
    ) -> None:
        self._worker_id = worker_id
        self._pool = pool
        self._capacity = capacity
        self._held = held
        self._restores = restores
        self._handover = handover
        self._stopping = stopping
        self._suspects_wait = False
        self._adoptions_wait = False
        # what is in hand is finished first, then suspects are done, apart from others
        self._quarantine = False

    def adopt_waiting(self, conn: psycopg.Connection) -> None:
        """Take up new runs and those of dead workers, now or once no suspects are in hand."""
        self._adoptions_wait = True
        if not self._quarantine:
            self._adopt_unsuspected(conn)
        self._look_for_suspects(conn)

    def take(self, conn: psycopg.Connection) -> None:
        """Claim all there is room for and hand it over.

        Not claimed are only operations announced from now on, or those that `capacity.freed` will
        wake the drain for.
        """
        took = self._take_a_round(conn)
        # suspects may stand behind what was taken: it is waited for
        while took and self._suspects_wait and self._capacity.all_settled_or_wake():
            took = self._take_a_round(conn)

    def _take_a_round(self, conn: psycopg.Connection) -> bool:
        """Claim suspects, as far as they may be done now, or else all others; whether any was."""
        self._restores.feed(conn)
        if self._suspects_wait and self._capacity.all_settled_or_wake():
            self._look_for_suspects(conn)
        took = self._take_quarantined(conn)
        if self._adoptions_wait and not self._quarantine:
            self._adopt_unsuspected(conn)
            self._restores.feed(conn)
            self._look_for_suspects(conn)
            took |= self._take_quarantined(conn)
        if self._quarantine:
            return took
        while not self._stopping.is_set():
            operations, max_bytes = self._capacity.left()
            if not operations or not max_bytes:
                break
            limit = min(operations, MAX_CLAIM)
            claimed = self._claim(conn, limit=limit, max_bytes=max_bytes)
            took |= bool(claimed)
            taken_bytes = sum(len(operation.body) for operation in claimed)
            if len(claimed) < limit and taken_bytes < max_bytes:
                break
        return took

    # --- suspects -----------------------------------------------------------------------------

    def _look_for_suspects(self, conn: psycopg.Connection) -> None:
        self._suspects_wait = claims.has_suspects(
            conn, worker_id=self._worker_id, pool=self._pool, besides=self._restores.run_ids()
        )
        # it lasts as long as suspects are in hand: nobody is to be beside them
        self._quarantine = self._suspects_wait or (
            self._quarantine and not self._capacity.all_settled_or_wake()
        )

    def _take_quarantined(self, conn: psycopg.Connection) -> bool:
        """While there is nothing else in hand, take suspects; whether any was."""
        took = False
        while self._quarantine and self._capacity.all_settled_or_wake():
            self._quarantine = self._take_suspects(conn)
            took |= self._quarantine
        return took

    def _take_suspects(self, conn: psycopg.Connection) -> bool:
        """Take the largest group of suspects that may be in hand together; whether there is one."""
        for group in claims.GROUPS:
            if self._claim(conn, limit=MAX_CLAIM, max_bytes=MAX_BYTES, group=group):
                return True
            if self._adopt(conn, group):
                self._restores.feed(conn)
                return True
        return False

    # --- runs and operations ------------------------------------------------------------------

    def _adopt_unsuspected(self, conn: psycopg.Connection) -> None:
        self._adoptions_wait = False
        self._adopt(conn, UNSUSPECTED)

    def _adopt(self, conn: psycopg.Connection, group: Group) -> bool:
        """Take up runs that have no worker; whether there were any."""
        adopted = claims.adopt(
            conn, worker_id=self._worker_id, pool=self._pool, limit=MAX_CLAIM, group=group
        )
        for run in adopted:
            self._held.take_up(run)
        return bool(adopted)

    def _claim(self, conn: psycopg.Connection, **which: Any) -> list[Claimed]:
        """Claim as `claims.claim` says and hand over."""
        claimed = claims.claim(
            conn,
            worker_id=self._worker_id,
            pool=self._pool,
            besides=self._restores.run_ids(),
            **which,
        )
        for operation in claimed:
            self._handover.begin(conn, operation)
        return claimed
