"""Whatever is locked together is locked in one order: nobody waits in a circle."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from core import database
from operations import claims, closing, finish
from operations.finish import Outcome
from operations.models import Lane, Operation
from runs import ephemeral, lifecycle
from runs.models import Sampler, TrainingRun
from tests.support.log import Log
from tests.support.sessions import end_sessions
from tests.support.waiting import eventually

PATIENCE_S = 20


class Others:
    """Work on connections of its own; `wait` sees that it has come to wait for a lock."""

    def __init__(self, pool: ThreadPoolExecutor, watching: psycopg.Connection) -> None:
        self._pool = pool
        self._watching = watching
        self._waiting = 0

    def begin(self, work: Callable[[psycopg.Connection], Any]) -> Future[Any]:
        """Do it on another thread."""

        def run() -> Any:
            with database.connect() as conn:
                return work(conn)

        return self._pool.submit(run)

    def wait(self, future: Future[Any]) -> None:
        """Until one more waits for a lock, or this one is done."""
        eventually(lambda: future.done() or self._one_more_waits(), within_s=PATIENCE_S)

    def _one_more_waits(self) -> bool:
        row = self._watching.execute(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        ).fetchone()
        assert row is not None
        if row[0] <= self._waiting:
            return False
        self._waiting = row[0]
        return True


@pytest.fixture
def others(log: Log) -> Iterator[Others]:
    """Work on other connections."""
    with ThreadPoolExecutor() as pool:
        yield Others(pool, log.conn)


@contextmanager
def holding(statement: str, *values: Any) -> Iterator[None]:
    """Hold the locks that a statement takes."""
    with database.connect() as conn, conn.transaction():
        conn.execute(statement, values)
        yield


def in_hand(log: Log, worker: uuid.UUID, *targets: TrainingRun | Sampler) -> list[Operation]:
    """An operation on each, claimed by a worker; in the order of their ids."""
    seqs = {target.id: int(isinstance(target, TrainingRun)) - 1 for target in targets}
    for target in targets:
        log.append(target, max(0, seqs[target.id]))
    assert len(log.claim(worker)) == len(targets)
    return list(Operation.objects.filter(target__in=seqs).order_by("id"))


def outcome(operation: Operation, effect: finish.Effect | None = None) -> Outcome:
    return Outcome(
        operation.id,
        f"{operation.target}:{operation.seq}",
        content_type="application/json",
        body=b"{}",
        effect=effect,
    )


def test_a_save_for_a_sampler_is_finished_beside_the_release_of_its_session(
    log: Log, others: Others
) -> None:
    run, worker = log.run(log.team("a")), log.worker()
    (operation,) = in_hand(log, worker, run)
    end_sessions(run.session_id)
    closing.let_go(log.conn, worker_id=worker)
    released: list[Future[Any]] = []

    def effect(conn: psycopg.Connection) -> None:
        released.append(others.begin(lambda c: lifecycle.release_ended(c, worker_id=worker)))
        others.wait(released[0])
        assert ephemeral.make_ephemeral(
            conn,
            sampler_id=f"{run.session_id}:sample:0",
            run_id=run.id,
            number=0,
            key="k",
            seq=None,
        )

    with database.connect() as conn:
        outcomes = [outcome(operation, effect)]
        written = finish.record(conn, worker_id=worker, outcomes=outcomes, applied={})
    assert written == {operation.id}
    (found,) = released[0].result(PATIENCE_S)
    assert (found.session_id, found.failed_requests) == (run.session_id, [])
    assert Lane.objects.get(target=f"{run.session_id}:sample:0").closed_at is not None


def test_a_sampler_made_while_its_session_is_being_ended_is_closed(
    log: Log, others: Others
) -> None:
    run = log.run(log.team("a"))
    with database.connect() as conn:
        with conn.transaction():
            ephemeral.make_ephemeral(
                conn, sampler_id="s:sample:0", run_id=run.id, number=0, key="k", seq=None
            )
            failed = others.begin(lambda c: lifecycle.fail_session(c, run_id=run.id, why="lost"))
            others.wait(failed)
            assert not failed.done()
        failed.result(PATIENCE_S)
    assert Lane.objects.get(target="s:sample:0").closed_at is not None


@pytest.mark.parametrize("backwards", [False, True])
def test_runs_advance_while_their_session_is_ended(
    log: Log, others: Others, backwards: bool
) -> None:
    team, worker = log.team("a"), log.worker()
    session = log.session(team)
    runs = [log.run(team, number, session) for number in ((1, 0) if backwards else (0, 1))]
    operations = in_hand(log, worker, *runs)
    applied = {run.id: 0 for run in runs}
    outcomes = [outcome(operation) for operation in operations]
    first = f"{session.id}:train:0"
    with holding("SELECT FROM operations_lane WHERE target = %s FOR NO KEY UPDATE", first):
        ended = others.begin(lambda c: end_sessions(session.id, conn=c))
        others.wait(ended)
        recorded = others.begin(
            lambda c: finish.record(c, worker_id=worker, outcomes=outcomes, applied=applied)
        )
        others.wait(recorded)
    ended.result(PATIENCE_S)
    assert len(recorded.result(PATIENCE_S)) == len(runs)


def test_runs_are_claimed_while_their_session_is_ended(log: Log, others: Others) -> None:
    team, worker = log.team("a"), log.worker()
    session = log.session(team)
    runs = [log.run(team, number, session) for number in range(8)]
    for run in runs:
        log.append(run, 0)
    claims.adopt(log.conn, worker_id=worker, pool=log.pool, limit=100)
    with holding("SELECT FROM operations_lane WHERE target = %s FOR NO KEY UPDATE", runs[0].id):
        ended = others.begin(lambda c: end_sessions(session.id, conn=c))
        others.wait(ended)
        claimed = others.begin(
            lambda c: claims.claim(c, worker_id=worker, pool=log.pool, limit=100, max_bytes=10**9)
        )
        others.wait(claimed)
    ended.result(PATIENCE_S)
    assert len(claimed.result(PATIENCE_S)) == len(runs)


@pytest.mark.parametrize("backwards", [False, True])
def test_samples_are_finished_while_their_session_is_released(
    log: Log, others: Others, backwards: bool
) -> None:
    worker = log.worker()
    sampler = log.sampler(log.team("a"))
    log.append(sampler, *((1, 0) if backwards else (0, 1)))
    assert len(log.claim(worker)) == 2
    end_sessions(sampler.session_id)
    outcomes = [outcome(operation) for operation in Operation.objects.order_by("id")]
    first = Operation.objects.get(seq=0).id
    with holding("SELECT FROM operations_operation WHERE id = %s FOR UPDATE", first):
        released = others.begin(lambda c: lifecycle.release_ended(c, worker_id=worker))
        others.wait(released)
        recorded = others.begin(
            lambda c: finish.record(c, worker_id=worker, outcomes=outcomes, applied={})
        )
        others.wait(recorded)
    (found,) = released.result(PATIENCE_S)
    assert len(found.failed_requests) + len(recorded.result(PATIENCE_S)) == 2


def test_outcomes_of_several_sessions_are_written_while_these_are_released(
    log: Log, others: Others
) -> None:
    worker, team = log.worker(), log.team("a")
    later, earlier = log.sampler(team), log.sampler(team)
    operations = in_hand(log, worker, later, earlier)
    for sampler in (earlier, later):
        end_sessions(sampler.session_id)
    released: list[Future[Any]] = []

    def effect(conn: psycopg.Connection) -> None:
        released.append(others.begin(lambda c: lifecycle.release_ended(c, worker_id=worker)))
        others.wait(released[0])

    with database.connect() as conn:
        outcomes = [outcome(operations[0], effect), outcome(operations[1])]
        written = finish.record(conn, worker_id=worker, outcomes=outcomes, applied={})
    failed = [
        request_id
        for found in released[0].result(PATIENCE_S)
        for request_id in found.failed_requests
    ]
    assert len(written) + len(failed) == 2
