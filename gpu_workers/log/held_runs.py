"""The runs that a worker holds: what their engines were given, what is finished, how they go again.

What goes to an engine and what is noted of it happen under one lock, so that a recovery copy always
knows after which operation it stands.
"""

from __future__ import annotations

import functools
import logging
import threading
import uuid
from collections.abc import Iterable

import psycopg

from checkpoints import store
from core.ids import split_request_id
from gpu_workers.engine.turns import Times
from gpu_workers.engine.types import Done, EngineStopped, RunWork, SaveState, UserError
from gpu_workers.engines import Engines
from gpu_workers.log.finisher import Finisher
from gpu_workers.log.progress import RunProgress
from gpu_workers.log.restoring import Restores
from operations import claims, finish
from operations.claims import AdoptedRun

log = logging.getLogger(__name__)


class HeldRuns:
    """A worker's runs by id. Thread-safe, but only the drain takes up and gives.

    Args:
        restores: those of the runs that are on their way back.
        finisher: writes into the log which recovery copies there are.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        pool: str,
        *,
        engines: Engines,
        restores: Restores,
        finisher: Finisher,
    ) -> None:
        self._worker_id = worker_id
        self._pool = pool
        self._engines = engines
        self._restores = restores
        self._finisher = finisher
        self._runs: dict[str, RunProgress] = {}
        # held while work goes to an engine: a snapshot must know after which operation it stands
        self._order = threading.Lock()

    # --- taken up and let go ------------------------------------------------------------------

    def take_up(self, run: AdoptedRun) -> None:
        """Bring an adopted run to where the log says it is: its snapshot, then what came after."""
        self.drop(run.id)
        progress = RunProgress(run, last_submitted=run.applied_seq)
        with self._order:
            self._runs[run.id] = progress
        if run.applied_seq >= 0:
            self._restores.begin(progress)

    def drop(self, run_id: str) -> None:
        """Forget a run here; the log is told nothing."""
        self._restores.abandon(run_id)
        with self._order:
            self._runs.pop(run_id, None)
        self._engines.drop_run(run_id)

    def give_back(self, conn: psycopg.Connection, run_ids: list[str]) -> None:
        """Drop runs here and give them back to the log, which restores them where it may."""
        for run_id in run_ids:
            self.drop(run_id)
        claims.release_runs(conn, worker_id=self._worker_id, run_ids=run_ids)
        if run_ids:
            finish.announce_change(conn, self._pool)

    def give_all_back(self, conn: psycopg.Connection) -> None:
        """Give every run back."""
        self.give_back(conn, list(self._runs))

    # --- what they were given -----------------------------------------------------------------

    def find(self, run_id: str) -> RunProgress | None:
        """How far a run has come, if it is held."""
        return self._runs.get(run_id)

    def last_submitted(self) -> dict[str, int]:
        """Run id → the last operation that was given to its engine, or failed before."""
        with self._order:
            return {run_id: progress.last_submitted for run_id, progress in self._runs.items()}

    def give(
        self,
        progress: RunProgress,
        seq: int,
        work: list[RunWork],
        done: Done,
        *,
        snapshot_after: bool,
        times: Times | None = None,
    ) -> None:
        """Give a run's engine the work of its next operation; `done` hears of each piece."""
        # in one hold: a snapshot taken in between would claim an operation that it does not contain
        with self._order:
            progress.submitted(seq)
            progress.snapshot_wanted |= snapshot_after
            for piece in work:
                self._engines.submit(progress.run, piece, done, times)

    def fail(self, progress: RunProgress, seq: int, error: Exception) -> None:
        """The run's next operation has failed before any engine had it."""
        with self._order:
            progress.submitted(seq)
            if seq == 0:
                progress.not_created = str(error)

    # --- what is finished ---------------------------------------------------------------------

    def applied(self, request_ids: list[str]) -> dict[str, int]:
        """How far the runs of these requests will have come once they are written."""
        ended: dict[str, set[int]] = {}
        for request_id in request_ids:
            target, seq = split_request_id(request_id) or ("", 0)
            ended.setdefault(target, set()).add(seq)
        with self._order:
            return {
                target: self._runs[target].applied_with(seqs)
                for target, seqs in ended.items()
                if target in self._runs
            }

    def written(self, request_ids: Iterable[str]) -> None:
        """Progress moves here, after the commit: what failed to be written is not finished."""
        touched: list[RunProgress] = []
        with self._order:
            for request_id in request_ids:
                target, seq = split_request_id(request_id) or ("", 0)
                progress = self._runs.get(target)
                if progress is not None:
                    progress.finished(seq)
                    touched.append(progress)
        for progress in touched:
            if progress.snapshot_due():
                self._snapshot(progress)

    def _snapshot(self, progress: RunProgress) -> None:
        """Ask the engine for a recovery copy behind everything submitted so far."""
        run = progress.run
        with self._order:
            if self._runs.get(run.id) is not progress:
                # taken up anew meanwhile: the engine may be behind what we knew
                return
            seq = progress.last_submitted
            key = store.snapshot_key(run.id, seq, uuid.uuid4().hex[:8])
            progress.snapshot_started()
            done = functools.partial(self._snapshot_written, progress, seq, key)
            work = SaveState(store.path(key), optimizer=True, gradient=True)
            self._engines.submit(run, work, done)

    def _snapshot_written(self, progress: RunProgress, seq: int, key: str, result: object) -> None:
        progress.snapshot_under_way = False
        if isinstance(result, BaseException):
            if not isinstance(result, EngineStopped | UserError):
                log.error("no recovery copy of %s: %r", progress.run.id, result)
            return

        def write(conn: psycopg.Connection) -> None:
            finish.record_snapshot(
                conn, worker_id=self._worker_id, run_id=progress.run.id, seq=seq, key=key
            )

        self._finisher.call(write)
