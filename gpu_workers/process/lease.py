"""A worker's row in the log: entered, renewed, and taken back when it stops."""

from __future__ import annotations

import logging
import os
import socket
import threading
import uuid

import psycopg

from core import database
from gpu_workers.engines import Engines
from gpu_workers.process.calling import call_for_work
from operations import claims, workers

log = logging.getLogger(__name__)


class Lease:
    """While it lasts, nobody else takes what the worker has. Any thread may renew it.

    `lapsed` is set when it had run out in between: others may have moved the worker's runs on.
    """

    def __init__(self, worker_id: uuid.UUID, pool: str, engines: Engines) -> None:
        self._worker_id = worker_id
        self._pool = pool
        self._engines = engines
        self.lapsed = threading.Event()

    def enter(self, conn: psycopg.Connection) -> None:
        """Enter the worker into the log, with the models it serves; old ones are forgotten."""
        workers.register(
            conn,
            worker_id=self._worker_id,
            pool=self._pool,
            host=socket.gethostname(),
            pid=os.getpid(),
            models=sorted(self._engines.running()),
            report=self._engines.report(),
        )

    def renew(self, conn: psycopg.Connection) -> None:
        """Renew the lease; had it run out, have the drain take up all runs anew.

        What is claimed and what is given back are the drain's alone, so that neither happens in the
        middle of the other.
        """
        if not workers.renew(conn, worker_id=self._worker_id, report=self._engines.report()):
            self.enter(conn)
            log.error("the worker's lease had run out: its runs are restored from their snapshots")
            self.lapsed.set()
            call_for_work(conn, self._pool)

    def sign_off(self) -> None:
        """Leave the log at once, and hand back what is in hand."""
        try:
            with database.connect() as conn:
                # at once: what a dead worker had in hand would count against it
                with conn.transaction():
                    workers.retire(conn, worker_id=self._worker_id)
                    handed_back = claims.hand_back(conn, worker_id=self._worker_id)
                if handed_back:
                    call_for_work(conn, self._pool)
        except psycopg.Error as error:
            log.warning("the worker could not sign off: %s", error)
