"""Runs on their way back after a crash: the snapshot, then what came after it, piece by piece.

What is done again counts against the same capacity as other work, within a share of its own, so
that everybody else's goes on. A run that cannot be restored for a reason that may pass is given
back, to be tried again later and elsewhere; only one that is lost ends its session.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from checkpoints import store
from gpu_workers.capture.seen import Note, Seen, seen
from gpu_workers.engine.types import (
    CreateRun,
    EngineStopped,
    FilesDamaged,
    LoadState,
    RunWork,
    UserError,
)
from gpu_workers.engines import Engines
from gpu_workers.log.capacity import Capacity
from gpu_workers.log.finisher import Finisher
from gpu_workers.log.progress import RunProgress
from gpu_workers.log.turns import TurnLog
from gpu_workers.reading import plans
from operations import restoring
from operations.claims import AdoptedRun, Claimed
from operations.models import CONVICTED
from runs import lifecycle

log = logging.getLogger(__name__)

CHUNK_OPERATIONS = 16
CHUNK_BYTES = 8 * 1024 * 1024


class RunLost(Exception):
    """A run cannot be restored, ever; the message says why."""


@dataclass(slots=True, eq=False)
class _Restore:
    """One run. `given` is the last operation that the engine has been given again.

    `store_was_there` says whether it was when this began.
    """

    progress: RunProgress
    given: int
    store_was_there: bool
    began: float = field(default_factory=time.monotonic)
    all_given: bool = False
    in_engine: int = 0
    error: BaseException | None = None
    over: bool = False

    @property
    def run(self) -> AdoptedRun:
        return self.progress.run


class Restores:
    """A worker's runs that are on their way back. `feed` and `begin` are the drain's to call.

    Args:
        finisher: writes into the log which runs are back.
        give_back: gives runs back to the log, and drops them here.
        turns: is told how long a run was on its way.
        note: takes what was done again: the worker before may not have come to note it.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        capacity: Capacity,
        *,
        engines: Engines,
        finisher: Finisher,
        give_back: Callable[[psycopg.Connection, list[str]], None],
        note: Note,
        turns: TurnLog | None = None,
    ) -> None:
        self._note = note
        self._worker_id = worker_id
        self._capacity = capacity
        self._engines = engines
        self._finisher = finisher
        self._give_run_back = give_back
        self._turns = turns
        self._lock = threading.Lock()
        self._active: dict[str, _Restore] = {}

    def run_ids(self) -> list[str]:
        """The runs that are not back yet."""
        with self._lock:
            return list(self._active)

    def begin(self, progress: RunProgress) -> None:
        """Load a run's snapshot; `feed` does the rest."""
        run = progress.run
        restore = _Restore(progress, run.snapshot_seq, store.root().is_dir())
        with self._lock:
            self._active[run.id] = restore
        progress.restoring = True
        self._note([Seen(run.id, run.snapshot_seq, None, None, taken_up=True)])
        self._capacity.hold()
        if run.restore_deaths >= CONVICTED:
            restore.error = RunLost(
                f"{CONVICTED} workers died while they did again what came after its last recovery "
                "copy, the last one with nothing else in hand; most likely it takes more memory "
                "than there is"
            )
        elif run.snapshot_key is not None:
            try:
                directory = store.path(run.snapshot_key)
                load = LoadState(directory, optimizer=True, restore=True)
                self._give(restore, [CreateRun(plans.spec_of(run)), load])
            except Exception as error:
                restore.error = error

    def abandon(self, run_id: str) -> None:
        """The run is dropped, whatever has become of it."""
        with self._lock:
            restore = self._active.pop(run_id, None)
            if restore is None:
                return
            restore.over = True
        self._capacity.settle(1)

    def feed(self, conn: psycopg.Connection) -> None:
        """Give the engine as much as there is room for, a piece of each run in turn.

        Raises:
            psycopg.OperationalError: the database is away. The next call goes on where this ended.
        """
        self._end_failed(conn)
        while unfed := self._unfed():
            for restore in unfed:
                operations, max_bytes = self._capacity.left_for_replay()
                if not operations or not max_bytes:
                    return
                self._feed_one(conn, restore, operations, max_bytes)
        self._end_failed(conn)

    def _unfed(self) -> list[_Restore]:
        with self._lock:
            return [
                item for item in self._active.values() if not item.all_given and item.error is None
            ]

    def _feed_one(
        self, conn: psycopg.Connection, restore: _Restore, operations: int, max_bytes: int
    ) -> None:
        run, progress = restore.run, restore.progress
        if run.snapshot_key is None and restore.given < 0:
            progress.not_created = restoring.creation_error(conn, run_id=run.id)
        found = progress.not_created is None and restoring.replayable(
            conn,
            run,
            after=restore.given,
            limit=min(operations, CHUNK_OPERATIONS),
            max_bytes=min(max_bytes, CHUNK_BYTES),
        )
        for operation in found or []:
            try:
                self._do_again(conn, restore, operation)
            except psycopg.OperationalError:
                raise
            except Exception as error:
                with self._lock:
                    restore.error = restore.error or error
                return
        if not found:
            with self._lock:
                restore.all_given = True
            self._look_whether_back(restore)

    def _do_again(
        self, conn: psycopg.Connection, restore: _Restore, operation: restoring.Replayed
    ) -> None:
        self._capacity.take(operation, again=True)
        given = False
        try:
            if not operation.kept:
                raise RunLost(f"the body of its operation {operation.seq} is gone")
            plan = plans.plan(conn, restore.run, operation)
            if plan.changes_run:
                restore.progress.since_snapshot += 1
                self._give(restore, plan.work, operation)
                given = True
            restore.given = operation.seq
        finally:
            if not given:
                self._give_back(operation)

    def _give(
        self, restore: _Restore, work: list[RunWork], operation: Claimed | None = None
    ) -> None:
        with self._lock:
            restore.in_engine += len(work)
        for number, piece in enumerate(work):
            last = number == len(work) - 1

            def done(result: object, held: Claimed | None = operation if last else None) -> None:
                if held is not None and (found := seen(held.target, held.seq, work, result)):
                    self._note([found])
                self._done(restore, held, result)

            self._engines.submit(restore.run, piece, done)

    def _give_back(self, operation: Claimed) -> None:
        self._capacity.give_back(operation, again=True)
        self._capacity.settle(1)

    def _done(self, restore: _Restore, operation: Claimed | None, result: object) -> None:
        """From the engine's threads: a piece of work has ended."""
        if operation is not None:
            self._give_back(operation)
        with self._lock:
            restore.in_engine -= 1
            if isinstance(result, BaseException):
                restore.error = restore.error or result
            failed = restore.error is not None
        if failed:
            self._capacity.freed.wake()
        else:
            self._look_whether_back(restore)

    def _look_whether_back(self, restore: _Restore) -> None:
        run = restore.run
        with self._lock:
            under_way = not restore.all_given or restore.in_engine or restore.error is not None
            if under_way or restore.over:
                return
            restore.over = True
            self._active.pop(run.id, None)
            restore.progress.restoring = False
        log.info("run %s is taken up after operation %d", run.id, run.applied_seq)
        if self._turns is not None:
            self._turns.restored(run.id, restore.began)

        def write(conn: psycopg.Connection) -> None:
            restoring.restored(conn, worker_id=self._worker_id, run_id=run.id)
            # not before: a death in between would count against the run, and against a next one
            self._capacity.settle(1)

        self._finisher.call(write)
        # its new operations may be claimed now
        self._capacity.freed.wake()

    def _end_failed(self, conn: psycopg.Connection) -> None:
        with self._lock:
            failed = [item for item in self._active.values() if item.error is not None]
        for restore in failed:
            if not isinstance(restore.error, EngineStopped):
                self._end(conn, restore)

    def _end(self, conn: psycopg.Connection, restore: _Restore) -> None:
        """Give a run back to be tried again, or up for good: then its numbers would be wrong."""
        run, error = restore.run, restore.error
        if not _is_for_good(error, restore.store_was_there):
            if restoring.put_off(conn, worker_id=self._worker_id, run_id=run.id):
                log.warning("run %s could not be restored, it is tried again: %r", run.id, error)
                self._give_run_back(conn, [run.id])
                return
            error = RunLost(f"it failed {restoring.TRIES} times")
        log.error("run %s is lost: %r", run.id, error)
        why = error if isinstance(error, UserError | RunLost) else "its recovery copy is damaged"
        lifecycle.fail_session(
            conn,
            run_id=run.id,
            why=f"the run {run.id} could not be restored: {why}; "
            "start a new one from its last checkpoint",
        )
        self._give_run_back(conn, [run.id])


def _is_for_good(error: BaseException | None, store_was_there: bool) -> bool:
    """Whether trying again can change nothing: what a run is restored from is gone or damaged."""
    if isinstance(error, FileNotFoundError):
        # without the store's folder it is the disk that is not there, or was not when it was read
        return store_was_there and store.root().is_dir()
    return isinstance(error, UserError | RunLost | FilesDamaged)
