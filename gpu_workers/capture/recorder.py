"""The thread that turns what was seen into rows and blocks, some times a second.

It is told after the durable finish, never waited for, and loses rather than delays: what does not
fit into its queue is forgotten, what the store will not have is not kept, and both are counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import psycopg

from captures import blocks, keeping, services
from captures.services import Datum, Dropped, Step
from core import database
from gpu_workers.capture.measuring import Pass, measure
from gpu_workers.capture.seen import Seen
from gpu_workers.capture.stepping import Gathered
from gpu_workers.engine.types import ForwardBackward, OptimStep, PassResult
from operations.restoring import DIVERGED

log = logging.getLogger(__name__)
T = TypeVar("T")

EVERY_S = 0.3
THIN_EVERY_S = 10.0
MOST_BYTES = 128 * 2**20
MOST_SEEN = 20_000
MOST_RUNS = 2000
RETRY_S = 0.5
# so long it waits for a database that is away; meanwhile the queue fills
PATIENCE_S = 60.0
SAY_EVERY_S = 60.0


@dataclass(slots=True)
class _Run:
    """A run between two steps: the number of the step it gathers for.

    `captured_seq`: the last pass whose datums were captured before it was taken up here.
    """

    number: int
    gathered: Gathered = field(default_factory=Gathered)
    stepped_seq: int = -1
    stepped_at: float | None = None
    captured_seq: int = -1


@dataclass(slots=True)
class _Batch:
    """What is to be written together."""

    steps: list[Step] = field(default_factory=list)
    datums: list[Datum] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    kept: list[keeping.Kept] = field(default_factory=list)

    def drop(self, gone: Dropped) -> None:
        """These passes are part of no step: neither those yet to be written, nor the others."""
        self.datums = [one for one in self.datums if not gone.has(one)]
        self.dropped.append(gone)


class Recorder:
    """Takes what was seen from any thread; `put` never blocks and never raises."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Seen] = deque()
        self._bytes = 0
        # runs of which something did not even fit into the queue
        self._lost: set[str] = set()
        self._woken = threading.Event()
        self._stopping = False
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._touched: set[str] = set()
        self._thinned_at = time.monotonic()
        self._conn: psycopg.Connection[Any] | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self.forgotten = 0
        """Passes that did not fit into the queue, and steps that could not be written."""
        self.unkept = 0
        """Blocks that the store would not have."""
        self._said = (0, 0)
        self._said_at = 0.0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was seen so far, then stop."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def put(self, seen: Iterable[Seen]) -> None:
        """Note what has ended, in order."""
        with self._lock:
            for one in seen:
                if len(self._waiting) >= MOST_SEEN:
                    self.forgotten += 1
                    self._lost.add(one.run_id)
                    continue
                if self._bytes + one.size > MOST_BYTES:
                    self.forgotten += 1
                    one = one.forgotten()
                self._waiting.append(one)
                self._bytes += one.size
            if self._waiting:
                self._woken.set()

    # --- the thread ---------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            self._woken.wait()
            if not self._stopping:
                time.sleep(EVERY_S)  # more comes meanwhile
            self._woken.clear()
            stopping = self._stopping  # not before: who stops it wakes it only once
            taken, lost = self._take()
            if taken:
                self._record(taken)
            for run_id in lost:
                self._runs.pop(run_id, None)  # counted anew
            if stopping:
                break
        if self._conn is not None:
            self._conn.close()

    def _take(self) -> tuple[list[Seen], set[str]]:
        """What waits, and the runs of which more had come, which is lost."""
        with self._lock:
            taken, self._waiting = list(self._waiting), deque()
            lost, self._lost = self._lost, set()
            self._bytes = 0
        return taken, lost

    def _record(self, taken: list[Seen]) -> None:
        """Write all of it; a fault costs what it is about, and the thread goes on."""
        batch = self._patiently(lambda conn: self._batch(conn, taken))
        if batch is None or not self._patiently(lambda conn: self._write(conn, batch)):
            self.forgotten += len(taken)
            self._runs.clear()  # counted anew: what they had gathered is not whole
        self._say()

    def _patiently(self, work: Callable[[psycopg.Connection[Any]], T]) -> T | None:
        """Do something once the database is there; None if it stays away, or it cannot be done."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return work(self._connection())
            except Exception as error:
                self._close()
                is_passing = database.is_passing(error)
                if not is_passing:
                    log.exception("something that was seen could not be recorded")
                if not is_passing or self._stopping or time.monotonic() > deadline:
                    return None
            time.sleep(RETRY_S)

    def _batch(self, conn: psycopg.Connection[Any], taken: list[Seen]) -> _Batch:
        keep = services.keeps_tokens(conn, {one.run_id for one in taken})
        batch = _Batch()
        try:
            self._fill(conn, batch, taken, keep)
        except psycopg.Error:
            self._runs.clear()  # half of it is counted: all of it is counted anew
            raise
        return batch

    def _fill(
        self,
        conn: psycopg.Connection[Any],
        batch: _Batch,
        taken: list[Seen],
        keep: dict[str, bool],
    ) -> None:
        for one in taken:
            if one.taken_up:
                self._runs.pop(one.run_id, None)  # another worker may have gone on with it
                continue
            run = self._run(conn, one)
            if isinstance(one.work, ForwardBackward):
                self._add_pass(batch, run, one, keep=keep.get(one.run_id, False))
            elif one.work is None:
                run.gathered.whole = False
            elif isinstance(one.work, OptimStep) and not isinstance(one.result, BaseException):
                self._add_step(batch, run, one, one.work)
            else:
                batch.drop(Dropped(one.run_id, run.number, one.seq))
                run.gathered = Gathered()

    def _run(self, conn: psycopg.Connection[Any], seen: Seen) -> _Run:
        """The run as it is before what was seen; anew if it is done again after a crash."""
        run = self._runs.get(seen.run_id)
        if run is None or seen.seq <= run.stepped_seq:
            run = _Run(
                services.steps_before(conn, run_id=seen.run_id, seq=seen.seq),
                captured_seq=services.last_captured(conn, run_id=seen.run_id),
            )
            # of passes that another worker has seen, or that are lost, nothing is known here
            run.gathered.whole = not services.has_gathered(
                conn, run_id=seen.run_id, seq=seen.seq, diverged=DIVERGED
            )
            self._runs[seen.run_id] = run
            if len(self._runs) > MOST_RUNS:
                self._runs.popitem(last=False)
        self._runs.move_to_end(seen.run_id)
        return run

    def _add_pass(self, batch: _Batch, run: _Run, seen: Seen, *, keep: bool) -> None:
        assert isinstance(seen.work, ForwardBackward)
        assert isinstance(seen.result, PassResult)
        if seen.seq in run.gathered.seqs:
            return  # done again by the same worker
        try:
            found = measure(seen.run_id, run.number, seen.seq, seen.work, seen.result)
        except Exception:
            # its fault, and nobody else's: of its step nothing is told
            log.exception("%s:%d could not be measured", seen.run_id, seen.seq)
            self.forgotten += 1
            run.gathered.whole = False
            return
        run.gathered.add(seen.seq, found)
        if seen.seq <= run.captured_seq:
            return  # done again after a crash: its rows and blocks are there
        batch.datums += self._kept(batch, seen.run_id, run.number, found) if keep else found.datums

    def _add_step(self, batch: _Batch, run: _Run, seen: Seen, work: OptimStep) -> None:
        since = float("nan") if run.stepped_at is None else seen.at - run.stepped_at
        if run.gathered.whole:
            batch.steps.append(
                run.gathered.step(seen.run_id, run.number, seen.seq, work, seen.result, since)
            )
        run.number += 1
        run.gathered = Gathered()
        run.stepped_seq, run.stepped_at = seen.seq, seen.at

    def _kept(self, batch: _Batch, run_id: str, step: int, found: Pass) -> list[Datum]:
        """The rows, with where in the store their blocks lie."""
        arrays = found.arrays()
        places = list(blocks.in_blocks(arrays))
        encoded = [blocks.encode([arrays[place] for place in own]) for own in places]
        key = blocks.key(run_id, step)
        try:
            offsets = blocks.append(key, encoded)
        except OSError as error:
            self.unkept += len(encoded)
            log.warning("blocks of %s are not kept: %s", run_id, error)
            return found.datums
        batch.kept.append(keeping.Kept(run_id, step, key, sum(map(len, encoded))))
        rows = []
        for own, block, offset in zip(places, encoded, offsets, strict=True):
            for part, place in enumerate(own):
                rows.append(
                    replace(
                        found.datums[place],
                        block=key,
                        offset=offset,
                        length=len(block),
                        part=part,
                    )
                )
        return rows

    def _write(self, conn: psycopg.Connection[Any], batch: _Batch) -> bool:
        services.write(
            conn,
            steps=batch.steps,
            datums=batch.datums,
            dropped=batch.dropped,
            kept=_summed(batch.kept),
        )
        self._touched.update(one.run_id for one in batch.kept)
        if self._touched and time.monotonic() - self._thinned_at > THIN_EVERY_S:
            self._thin(conn)
        return True

    def _thin(self, conn: psycopg.Connection[Any]) -> None:
        """What is written stays so, whatever becomes of this: it is tried again with the next."""
        self._thinned_at = time.monotonic()
        try:
            keeping.thin(conn, sorted(self._touched))
            self._touched.clear()
        except psycopg.Error as error:
            log.warning("blocks beyond the ceiling are not given up yet: %s", error)
            self._close()

    # --- connection, and saying what was lost -------------------------------------------------

    def _connection(self) -> psycopg.Connection[Any]:
        if self._conn is None:
            self._conn = database.connect()
        return self._conn

    def _close(self) -> None:
        if self._conn is not None:
            with suppress(psycopg.Error):
                self._conn.close()
            self._conn = None

    def _say(self) -> None:
        now, lost = time.monotonic(), (self.forgotten, self.unkept)
        if lost != self._said and now - self._said_at > SAY_EVERY_S:
            self._said, self._said_at = lost, now
            log.warning("so far %d of what was seen was not recorded, %d blocks not kept", *lost)


def _summed(kept: list[keeping.Kept]) -> list[keeping.Kept]:
    """One for each step: a statement may touch a row once."""
    sizes: dict[tuple[str, int, str], int] = {}
    for one in kept:
        place = one.run_id, one.step, one.key
        sizes[place] = sizes.get(place, 0) + one.size_bytes
    return [keeping.Kept(*place, size) for place, size in sizes.items()]
