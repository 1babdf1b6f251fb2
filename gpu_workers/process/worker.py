"""A worker process: the parts it is made of, how it starts and stops.

Work comes in through the drain, goes to an engine, comes back on the engine's threads and leaves
through the finisher. What happens from time to time beside that is in upkeep.py.
"""

from __future__ import annotations

import logging
import shutil
import socket
import threading
import uuid
from pathlib import Path

import psycopg
from django.conf import settings

from core import database, doorbell
from gpu_workers.capture.recorder import Recorder
from gpu_workers.engines import Engines
from gpu_workers.log.capacity import Capacity
from gpu_workers.log.drain import Drain
from gpu_workers.log.finisher import Finisher
from gpu_workers.log.handover import Handover
from gpu_workers.log.held_runs import HeldRuns
from gpu_workers.log.in_hand import SamplesInHand
from gpu_workers.log.reconciling import Reconciling
from gpu_workers.log.restoring import Restores
from gpu_workers.log.streamer import Streamer
from gpu_workers.log.taking import Taking
from gpu_workers.log.turns import TurnLog
from gpu_workers.process.calling import call_for_work
from gpu_workers.process.lease import Lease
from gpu_workers.process.upkeep import Pulse, Upkeep, sweep
from operations import workers

log = logging.getLogger(__name__)

STOPS_WITHIN_S = 10.0


class Worker:
    """Everything that one worker process does for its pool, put together from its parts."""

    def __init__(self, pool: str) -> None:
        self.id = uuid.uuid4()
        self.pool = pool
        self.stopping = threading.Event()
        self._scratch = Path(settings.DATA_DIR) / "engine" / str(self.id)
        self.turns = TurnLog(self.id, pool)
        self.engines = Engines(pool, self._scratch, watch=self.turns.of)
        self.capacity = Capacity()
        self.samples = SamplesInHand()
        self._streamer = Streamer()
        self.recorder = Recorder()
        # a circle: what is written moves runs on, and runs that move on have something to write
        self.finisher = Finisher(
            self.id,
            applied=lambda request_ids: self.held.applied(request_ids),
            on_written=lambda written: self.handover.written(written),
        )
        self.restores = Restores(
            self.id,
            self.capacity,
            engines=self.engines,
            finisher=self.finisher,
            give_back=lambda conn, run_ids: self.held.give_back(conn, run_ids),
            turns=self.turns,
            note=self.recorder.put,
        )
        self.held = HeldRuns(
            self.id,
            pool,
            engines=self.engines,
            restores=self.restores,
            finisher=self.finisher,
        )
        self.handover = Handover(
            engines=self.engines,
            held=self.held,
            samples=self.samples,
            streamer=self._streamer,
            capacity=self.capacity,
            finisher=self.finisher,
            note=self.recorder.put,
        )
        self.lease = Lease(self.id, pool, self.engines)
        self.pulse = Pulse(pool, self.lease)
        self._upkeep = [
            Upkeep("pulse", self.pulse.beat, until=self.stopping),
            Upkeep("sweep", sweep, until=self.stopping),
        ]
        self._loading = Upkeep("loading", self.load_models, until=self.stopping)
        self.reconciling = Reconciling(
            self.id,
            engines=self.engines,
            held=self.held,
            samples=self.samples,
            lapsed=self.lease.lapsed,
        )
        self._drain = self._made_drain()

    def _made_drain(self) -> Drain:
        taking = Taking(
            self.id,
            self.pool,
            capacity=self.capacity,
            held=self.held,
            restores=self.restores,
            handover=self.handover,
            stopping=self.stopping,
        )
        return Drain(
            self.id,
            self.pool,
            taking=taking,
            reconciling=self.reconciling,
            samples=self.samples,
            freed=self.capacity.freed,
            renew=self.lease.renew,
            stopping=self.stopping,
        )

    def start(self) -> None:
        """Load the models, enter the log, take up what waits."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        with database.connect() as conn:
            self.engines.load_missing(conn)
            workers.retire_gone(conn, host=socket.gethostname())
            self.lease.enter(conn)
            dead = workers.dead_ids(conn)
        self.finisher.start()
        self.turns.start()
        self.recorder.start()
        for folder in self._scratch.parent.iterdir():
            if folder.name in dead:
                shutil.rmtree(folder, ignore_errors=True)
        for upkeep in (*self._upkeep, self._loading):
            upkeep.start()
        doorbell.ring(self.pool)
        self._say_what_is_served()

    def load_models(self, conn: psycopg.Connection) -> None:
        """Load what the catalog has and we have not: new models, and those that would not load."""
        if self.engines.load_missing(conn):
            self.lease.enter(conn)
            self._say_what_is_served()
            call_for_work(conn, self.pool)

    def _say_what_is_served(self) -> None:
        served = ", ".join(sorted(self.engines.running())) or "nothing yet"
        log.info("worker %s serves the pool %s: %s", self.id, self.pool, served)

    def stop(self) -> None:
        """Leave the log at once; what is under way waits for another worker."""
        if self.stopping.is_set():
            return
        self.stopping.set()
        self._drain.wait_until_over(STOPS_WITHIN_S)
        self.engines.stop()
        self._streamer.stop()
        self.finisher.stop()
        self.turns.stop()
        self.recorder.stop()
        # not for a model that is being loaded: that may take minutes
        for upkeep in self._upkeep:
            upkeep.wait_until_over(STOPS_WITHIN_S)
        self.lease.sign_off()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def drain(self) -> None:
        """Do what waits and linger for more; returns at once when another thread does so."""
        if not self.stopping.is_set():
            self._drain.run()

    def keep_draining(self) -> None:
        """Drain until the worker stops, on a thread of its own."""
        threading.Thread(target=self._keep_draining, name="drain", daemon=True).start()

    def _keep_draining(self) -> None:
        while not self.stopping.is_set():
            self.drain()

    def look(self) -> None:
        """Somebody has rung: have the drain look for work, should it have missed any."""
        self._drain.look()
