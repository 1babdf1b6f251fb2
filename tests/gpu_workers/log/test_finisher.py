"""Outcomes on their way into the log: in bounded batches, and a bad one harms no other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest

from gpu_workers.engine.types import PassResult, UserError
from gpu_workers.log import capacity as limits
from gpu_workers.log import finisher
from gpu_workers.log.finisher import INTERNAL_ERROR, MAX_BATCH_BYTES, Ended, Finisher
from gpu_workers.reading import answers
from operations import finish
from operations.claims import Claimed
from operations.models import Lane, Operation
from operations.results import StepDone
from runs.models import TrainingRun
from tests.gpu_workers.bench import WITHIN_S, Bench, create, results, step

Record = Callable[..., set[int]]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finisher, "RETRY_S", 0.01)


class Writing:
    """A finisher alone, with samples in hand; `before` is called ahead of each write."""

    def __init__(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
        self.worker_id = bench.log.worker()
        bench.log.append(bench.log.sampler(bench.log.team("a")), *range(count))
        self.claimed = bench.log.claim(self.worker_id)
        self.told: list[str] = []
        self.batches: list[list[finish.Outcome]] = []
        self.before: Callable[[psycopg.Connection, list[finish.Outcome]], None] = lambda *_: None
        self._bench = bench
        real: Record = finish.record

        def record(conn: psycopg.Connection, **named: Any) -> set[int]:
            self.batches.append(named["outcomes"])
            self.before(conn, named["outcomes"])
            return real(conn, **named)

        monkeypatch.setattr(finish, "record", record)

    def write(self, **changes: Ended) -> None:
        """End all at once; `changes` by number, as `_3=…`, are put in place of plain answers."""
        made = Finisher(
            self.worker_id,
            applied=lambda request_ids: {},
            on_written=lambda ended: self.told.extend(item.request_id for item in ended),
        )
        for number, operation in enumerate(self.claimed):
            made.put(changes.get(f"_{number}") or ended(operation))
        made.start()
        self._bench.wait(
            lambda: not Operation.objects.filter(state="running").exists(), "all outcomes"
        )
        made.stop()

    def states(self) -> list[str]:
        """What became of each, in the order of claiming."""
        found = {item.id: item for item in Operation.objects.all()}
        return [str(found[item.id].error_category or found[item.id].state) for item in self.claimed]


@pytest.fixture
def writing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Writing:
    return Writing(bench, monkeypatch, 6)


def ended(operation: Claimed, result: object = None, **fields: Any) -> Ended:
    plain = StepDone(type="optim_step", metrics={})
    answer = fields.pop("answer", lambda _: answers.json(plain))
    name = f"{operation.target}:{operation.seq}"
    return Ended(operation.id, name, result, answer, size=answers.size_of(result), **fields)


def test_large_results_are_written_in_batches_of_bounded_size(writing: Writing) -> None:
    large = PassResult([np.zeros(2**22, np.float32)], {})
    writing.write(
        **{
            f"_{number}": ended(operation, large, answer=answers.forward_backward)
            for number, operation in enumerate(writing.claimed)
        }
    )
    sizes = [sum(len(item.body or b"") for item in group) for group in writing.batches]
    assert sum(sizes) > 3 * MAX_BATCH_BYTES - 1
    assert max(sizes) < MAX_BATCH_BYTES + 2**16
    assert writing.states() == ["done"] * 6


def test_an_outcome_that_cannot_be_written_fails_alone(writing: Writing) -> None:
    def broken(conn: object) -> None:
        raise ZeroDivisionError

    writing.write(_3=ended(writing.claimed[3], effect=lambda _: broken))
    assert writing.states() == ["done", "done", "done", "server", "done", "done"]
    assert Operation.objects.get(state="failed").error == INTERNAL_ERROR
    assert set(writing.told) == {f"{item.target}:{item.seq}" for item in writing.claimed}


def test_what_a_user_sent_and_no_table_will_have_is_the_users_fault(writing: Writing) -> None:
    def nul(conn: psycopg.Connection) -> None:
        conn.execute("SELECT %s::jsonb", ('{"a": "\\u0000"}',))

    writing.write(
        _0=ended(writing.claimed[0], effect=lambda _: nul),
        _5=ended(writing.claimed[5], UserError("the name \ud800\0 will not do")),
    )
    assert writing.states() == ["user", "done", "done", "done", "done", "user"]
    assert len(writing.batches) == 1
    errors = dict(Operation.objects.filter(state="failed").values_list("id", "error"))
    assert "stored" in errors[writing.claimed[0].id]
    assert errors[writing.claimed[5].id] == "the name \\ud800 will not do"


def test_a_limit_of_the_database_is_not_taken_for_its_absence(writing: Writing) -> None:
    bad = writing.claimed[4].id

    def refuse(conn: object, outcomes: list[finish.Outcome]) -> None:
        if any(item.operation_id == bad and item.error is None for item in outcomes):
            raise psycopg.errors.ProgramLimitExceeded("row is too big")

    writing.before = refuse
    writing.write()
    assert writing.states() == ["done", "done", "done", "done", "server", "done"]


def test_an_outcome_over_which_connections_break_does_not_stop_the_others(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finisher, "LOSSES", 3)
    bad = writing.claimed[1].id

    def break_off(conn: psycopg.Connection, outcomes: list[finish.Outcome]) -> None:
        if any(item.operation_id == bad and item.error is None for item in outcomes):
            conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    writing.before = break_off
    writing.write()
    assert writing.states() == ["done", "server", "done", "done", "done", "done"]


def test_an_operation_that_cannot_even_be_failed_is_tried_again(
    writing: Writing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finisher, "LATER_S", 0.1)
    bad, refusals = writing.claimed[2].id, []

    def refuse(conn: object, outcomes: list[finish.Outcome]) -> None:
        if len(refusals) < 6 and any(item.operation_id == bad for item in outcomes):
            refusals.append(len(outcomes))
            raise ZeroDivisionError

    writing.before = refuse
    writing.write()
    assert writing.states() == ["done", "done", "server", "done", "done", "done"]


def test_results_that_wait_for_the_log_keep_new_work_away() -> None:
    capacity = limits.Capacity()
    operation = Claimed(1, "x", 0, "sample", 1, 0, "", b"body")
    capacity.take(operation)
    capacity.give_back(operation, result=limits.MAX_RESULT_BYTES)
    assert capacity.left() == (0, 0)
    capacity.settle(1, results=limits.MAX_RESULT_BYTES)
    assert capacity.left() == (limits.MAX_OPERATIONS, limits.MAX_BYTES)


def finished_up_to(run: TrainingRun) -> int:
    """The last operation up to which all have their outcome."""
    states = dict(Operation.objects.filter(target=run.id).values_list("seq", "state"))
    return next(seq for seq in range(len(states) + 1) if states.get(seq) != "done") - 1


def test_a_run_has_never_come_further_than_what_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch fails, its first outcome is written alone, the worker dies: nothing is skipped."""
    log = bench.log
    team = log.team("a")
    run, calm = log.run(team, seed=3), log.run(team, seed=3)
    first = bench.start()
    create(log, calm)
    for seq in (1, 3, 5):
        step(log, calm, seq)
    bench.finish(calm)
    create(log, run)
    bench.finish(run)
    real: Record = finish.record
    all_ended, dead = threading.Event(), threading.Event()
    progress: list[tuple[int, int]] = []

    def record(conn: psycopg.Connection, **named: Any) -> set[int]:
        if dead.is_set():
            raise psycopg.OperationalError
        if len(named["outcomes"]) > 1:
            raise ValueError
        written = real(conn, **named)
        progress.append((Lane.objects.get(target=run.id).applied_seq, finished_up_to(run)))
        dead.set()
        return written

    monkeypatch.setattr(finish, "record", record)
    first.finisher.call(lambda conn: all_ended.wait(WITHIN_S))
    put, ends = first.finisher.put, []

    def count(item: Ended) -> None:
        put(item)
        ends.append(item)

    monkeypatch.setattr(first.finisher, "put", count)
    for seq in (1, 3, 5):
        step(log, run, seq)
    bench.wait(lambda: len(ends) == 6, "the results")
    all_ended.set()
    assert dead.wait(WITHIN_S)
    bench.crash(first)
    monkeypatch.setattr(finish, "record", real)
    assert progress == [(1, 1)]
    bench.start()
    bench.finish(run)
    assert results(run) == {
        seq: answer.replace(calm.id.encode(), run.id.encode())
        for seq, answer in results(calm).items()
    }
