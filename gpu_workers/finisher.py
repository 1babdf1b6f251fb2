"""The thread that writes outcomes into the log, many at a time in one durable transaction."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg

from core import database
from gpu_workers.answers import Answer
from gpu_workers.engine.types import UserError
from operations import finish
from operations.finish import Effect, Outcome
from usage.services import Used

log = logging.getLogger(__name__)

MAX_BATCH = 256
RETRY_S = 1.0
INTERNAL_ERROR = "internal error while doing this; it was logged"


@dataclass(slots=True)
class Ended:
    """An operation that the engine is through with: its result or what it raised.

    `answer`, `effect` and `used` turn the result into what the log and the ledger keep; they run
    on this thread, so that the engine's is free. `writes` is the key of the files it writes.
    """

    operation_id: int
    request_id: str
    result: object
    answer: Callable[..., Answer]
    effect: Callable[..., Effect] | None = None
    used: Callable[[Any], list[Used]] | None = None
    writes: str | None = None


Job = Callable[[psycopg.Connection], None]


class Finisher:
    """Takes what ended from any thread; `on_written` hears of each batch after its commit.

    `applied` tells, for the request ids of a batch, how far their runs have come with them.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        *,
        applied: Callable[[list[str]], dict[str, int]],
        on_written: Callable[[list[str]], None],
    ) -> None:
        self._worker_id = worker_id
        self._applied = applied
        self._on_written = on_written
        self._queue: queue.SimpleQueue[Ended | Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="finisher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what has ended so far, then stop."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def put(self, ended: Ended) -> None:
        """Queue an outcome. Never blocks."""
        self._queue.put(ended)

    def call(self, job: Job) -> None:
        """Queue something else to write, in order with the outcomes. Never blocks."""
        self._queue.put(job)

    def _run(self) -> None:
        conn: psycopg.Connection | None = None
        stopping = False
        while not stopping:
            batch, jobs, stopping = self._next()
            outcomes = [self._outcome(ended) for ended in batch]
            while True:
                try:
                    conn = conn or database.connect()
                    self._write_or_fail(conn, outcomes)
                    written, outcomes = outcomes, []
                    self._afterwards(conn, written, jobs)
                    break
                except psycopg.OperationalError as error:
                    log.error("outcomes could not be written, trying again: %s", error)
                    conn = None
                    time.sleep(RETRY_S)
        if conn is not None:
            conn.close()

    def _afterwards(
        self, conn: psycopg.Connection, outcomes: list[Outcome], jobs: list[Job]
    ) -> None:
        """What follows a commit; a fault in it is logged and must not end the thread."""
        try:
            if outcomes:
                self._on_written([outcome.request_id for outcome in outcomes])
            for job in jobs:
                job(conn)
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("what follows a batch of outcomes failed")

    def _write_or_fail(self, conn: psycopg.Connection, outcomes: list[Outcome]) -> None:
        """Write outcomes; those that cannot be written become failures, the others stand."""
        try:
            self._write(conn, outcomes)
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("a batch of %d outcomes could not be written", len(outcomes))
            if len(outcomes) == 1:
                self._write_failure(conn, outcomes[0])
            else:
                for outcome in outcomes:
                    self._write_or_fail(conn, [outcome])

    def _write_failure(self, conn: psycopg.Connection, outcome: Outcome) -> None:
        """Fail an operation whose outcome cannot be written; others must go on in any case."""
        outcome.fail(INTERNAL_ERROR, "server")
        try:
            self._write(conn, [outcome])
        except psycopg.OperationalError:
            raise
        except Exception:
            log.exception("%s could not even be failed", outcome.request_id)

    def _next(self) -> tuple[list[Ended], list[Job], bool]:
        """Wait for something, then take all there is; jobs end a batch to keep their place."""
        batch: list[Ended] = []
        item = self._queue.get()
        while True:
            if item is None:
                return batch, [], True
            if not isinstance(item, Ended):
                return batch, [item], False
            batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch, [], False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, [], False

    def _outcome(self, ended: Ended) -> Outcome:
        outcome = Outcome(ended.operation_id, ended.request_id, writes=ended.writes)
        try:
            if isinstance(ended.result, BaseException):
                raise ended.result
            outcome.content_type, outcome.body = ended.answer(ended.result)
            outcome.effect = ended.effect(ended.result) if ended.effect else None
            outcome.used = ended.used(ended.result) if ended.used else []
        except UserError as error:
            outcome.fail(str(error).replace("\0", ""), "user")
        except BaseException:
            log.exception("%s failed", ended.request_id)
            outcome.fail(INTERNAL_ERROR, "server")
        return outcome

    def _write(self, conn: psycopg.Connection, outcomes: list[Outcome]) -> None:
        if not outcomes:
            return
        request_ids = [outcome.request_id for outcome in outcomes]
        finish.record(
            conn,
            worker_id=self._worker_id,
            outcomes=outcomes,
            applied=self._applied(request_ids),
        )
        finish.announce(conn, request_ids)
