"""What a worker has in hand made equal to what the log says it has.

Sessions end, leases run out, announcements get lost: what is here and should not be is let go, and
what the log believes to be here and is not is given back to it.
"""

from __future__ import annotations

import threading
import uuid

import psycopg

from gpu_workers.engines import Engines
from gpu_workers.log.held_runs import HeldRuns
from gpu_workers.log.in_hand import SamplesInHand
from operations import claims, closing, finish
from runs import lifecycle


class Reconciling:
    """Compares with the log. For the drain's thread alone, which is not claiming meanwhile.

    `lapsed` is set by whoever finds that the worker's lease had run out.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        *,
        engines: Engines,
        held: HeldRuns,
        samples: SamplesInHand,
        lapsed: threading.Event,
    ) -> None:
        self._worker_id = worker_id
        self._engines = engines
        self._held = held
        self._samples = samples
        self._lapsed = lapsed

    def compare(self, conn: psycopg.Connection) -> None:
        """Give back what the log believes this worker has and it has not, and the other way."""
        runs, samples = self._held.last_submitted(), self._samples.all()
        lost = claims.lost(conn, worker_id=self._worker_id, runs=runs, samples=samples)
        self._held.give_back(conn, lost)
        self._samples.cancel_all(claims.given_up(conn, worker_id=self._worker_id, samples=samples))

    def forget_if_lapsed(self, conn: psycopg.Connection) -> None:
        """What follows a lease that had run out: every run is taken up anew."""
        if self._lapsed.is_set():
            self._lapsed.clear()
            self._held.give_all_back(conn)

    def release_ended(self, conn: psycopg.Connection) -> None:
        """Free what ended sessions held: slots and samplers; fail what they still wait for."""
        for run_id in closing.let_go(conn, worker_id=self._worker_id):
            self._held.drop(run_id)
        while ended := lifecycle.release_ended(conn, worker_id=self._worker_id):
            for released in ended:
                self._release(conn, released)

    def _release(self, conn: psycopg.Connection, released: lifecycle.Released) -> None:
        self._samples.cancel_all(released.failed_requests)
        for run_id in released.run_ids:
            self._held.drop(run_id)
        for key in released.sampler_keys:
            self._engines.drop_sampler(key)
        finish.announce(conn, released.failed_requests)
        # other workers may have samples of the session
        finish.announce_cancelled(conn, released.failed_requests)
