"""The thread that writes outcomes into the log, many at a time in one durable transaction.

A batch is bounded by number and by bytes. What cannot be written is halved until the outcome at
fault is alone: that one becomes a failure, the others stand.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from core import database, disk
from gpu_workers.capture.seen import Seen
from gpu_workers.engine.turns import Times
from gpu_workers.engine.types import UserError
from gpu_workers.reading.answers import Answer
from operations import finish
from operations.finish import Effect, Outcome
from usage.services import Used

log = logging.getLogger(__name__)

MAX_BATCH = 256
MAX_BATCH_BYTES = 32 * 1024 * 1024
RETRY_S = 1.0
# so many connections lost in a row over the same outcomes are their doing
LOSSES = 10
# an operation that cannot even be failed is tried again after this long
LATER_S = 30.0
INTERNAL_ERROR = "internal error while doing this; it was logged"


@dataclass(slots=True)
class Ended:
    """An operation that the engine is through with: its result or what it raised.

    `answer`, `effect` and `used` turn the result into what the log and the ledger keep; they run
    on this thread, so that the engine's is free. `writes` is the key of the files it writes.
    `times` are when the engine did it. `seen` is for whoever notes what has been done. `size` is
    about how many bytes all of it takes.
    """

    operation_id: int
    request_id: str
    result: object
    answer: Callable[..., Answer]
    effect: Callable[..., Effect] | None = None
    used: Callable[[Any], list[Used]] | None = None
    writes: str | None = None
    size: int = 0
    times: Times | None = None
    seen: Seen | None = None


Job = Callable[[psycopg.Connection], object]
_Pair = tuple[Ended, Outcome]


class Finisher:
    """Takes what ended from any thread; `on_written` hears of outcomes once they are committed.

    `applied` tells how far runs will have come once the outcomes of these request ids are written.
    It must move nothing: the outcomes may yet fail to be written.
    """

    def __init__(
        self,
        worker_id: uuid.UUID,
        *,
        applied: Callable[[list[str]], dict[str, int]],
        on_written: Callable[[list[Ended]], None],
    ) -> None:
        self._worker_id = worker_id
        self._applied = applied
        self._on_written = on_written
        self._queue: queue.SimpleQueue[Ended | Job | None] = queue.SimpleQueue()
        # taken from the queue, but too large for the batch before it
        self._held_over: Ended | None = None
        self._conn: psycopg.Connection | None = None
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
        stopping = False
        while not stopping:
            batch, jobs, stopping = self._next()
            if batch:
                self._write_all([(ended, self._outcome(ended)) for ended in batch])
            for job in jobs:
                self._do(job)
        if self._conn is not None:
            self._conn.close()

    def _next(self) -> tuple[list[Ended], list[Job], bool]:
        """Wait for something, then take all there is; jobs end a batch to keep their place."""
        batch: list[Ended] = []
        size = 0
        held_over, self._held_over = self._held_over, None
        item = held_over or self._queue.get()
        while True:
            if item is None:
                return batch, [], True
            if not isinstance(item, Ended):
                return batch, [item], False
            size += item.size
            if batch and size > MAX_BATCH_BYTES:
                self._held_over = item
                return batch, [], False
            batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch, [], False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, [], False

    def _write_all(self, batch: list[_Pair]) -> None:
        """Write outcomes in as few transactions as will have them."""
        groups = deque([batch])
        losses = 0
        while groups:
            group = groups[0]
            try:
                self._write(self._connection(), [outcome for _, outcome in group])
            except Exception as error:
                if database.is_passing(error):
                    losses += self._let_pass(error)
                    if losses < LOSSES:
                        continue
                log.exception("%d outcomes could not be written", len(group))
                groups.popleft()
                groups.extendleft(reversed(self._split(group)))
            else:
                groups.popleft()
                self._tell([ended for ended, _ in group])
            losses = 0

    def _split(self, group: list[_Pair]) -> list[list[_Pair]]:
        """What to try instead of a group that cannot be written."""
        if len(group) > 1:
            half = len(group) // 2
            return [group[:half], group[half:]]
        ((ended, outcome),) = group
        if outcome.error != INTERNAL_ERROR:
            outcome.fail(INTERNAL_ERROR, "server")
            return [group]
        log.error("%s could not even be failed, this is tried again", ended.request_id)
        again = threading.Timer(LATER_S, self.put, [replace(ended, result=_unwritable())])
        again.daemon = True
        again.start()
        return []

    def _tell(self, written: list[Ended]) -> None:
        """What follows a commit; a fault in it is logged and must not end the thread."""
        try:
            self._on_written(written)
        except Exception:
            log.exception("what follows %d outcomes failed", len(written))

    def _do(self, job: Job) -> None:
        while True:
            try:
                job(self._connection())
            except Exception as error:
                if database.is_passing(error):
                    self._let_pass(error)
                    continue
                log.exception("something beside outcomes could not be written")
            return

    def _connection(self) -> psycopg.Connection:
        if self._conn is None:
            self._conn = database.connect()
        return self._conn

    def _let_pass(self, error: Exception) -> bool:
        """Wait for a better moment and a new connection; whether there was one, which broke."""
        log.error("outcomes could not be written, trying again: %s", error)
        broke = False
        if self._conn is not None:
            broke = self._conn.broken
            self._conn.close()
            self._conn = None
        time.sleep(RETRY_S)
        return broke

    def _outcome(self, ended: Ended) -> Outcome:
        outcome = Outcome(ended.operation_id, ended.request_id, writes=ended.writes)
        if ended.times is not None:
            outcome.began, outcome.ended = ended.times.began, ended.times.ended
        try:
            if isinstance(ended.result, BaseException):
                raise ended.result
            outcome.content_type, outcome.body = ended.answer(ended.result)
            outcome.effect = ended.effect(ended.result) if ended.effect else None
            outcome.used = ended.used(ended.result) if ended.used else []
        except UserError as error:
            outcome.fail(_storable(str(error)), "user")
        except BaseException as error:
            log.exception("%s failed", ended.request_id)
            outcome.fail(disk.explain(error) or INTERNAL_ERROR, "server")
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


def _unwritable() -> RuntimeError:
    return RuntimeError("the outcome could not be written")


def _storable(text: str) -> str:
    """Text that PostgreSQL will have: no NUL, no lone surrogates."""
    return text.replace("\0", "").encode(errors="backslashreplace").decode()
