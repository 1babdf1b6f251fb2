"""The database goes away or the drain fails: all is taken up anew and nothing is skipped."""

from __future__ import annotations

import errno
import threading

import pytest
from psycopg import OperationalError

from checkpoints import store
from gpu_workers.log import capacity as limits
from gpu_workers.log import drain, progress
from gpu_workers.log.drain import Drain
from gpu_workers.reading import plans
from operations import restoring
from operations.models import SUSPECT, Operation, Worker
from runs.models import Session
from tests.gpu_workers.bench import WITHIN_S, Bench, batch, create, results, step
from tests.support.sessions import end_sessions
from tests.support.waiting import eventually, never

AWAY = OperationalError("terminating connection due to administrator command")


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "RETRY_S", 0.1)


@pytest.mark.parametrize("together", [True, False], ids=["pipelined", "one by one"])
def test_an_operation_whose_planning_is_interrupted_is_taken_up_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, together: bool
) -> None:
    """It neither fails nor leaks capacity, and those behind it do not pass it."""
    log = bench.log
    run = log.run(log.team("a"))
    real, interrupted = plans.plan, set()

    def plan(*arguments: object) -> plans.Plan:
        seq = arguments[2].seq  # type: ignore[attr-defined]
        if seq in {1, 2} - interrupted:
            interrupted.add(seq)
            raise AWAY
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(plans, "plan", plan)
    worker = bench.start()
    create(log, run)
    if not together:
        bench.finish(run)
    for seq in (1, 3):
        step(log, run, seq)
        if not together:
            bench.finish(run)
    bench.finish(run)
    assert interrupted == {1, 2}
    assert set(Operation.objects.values_list("state", "deaths")) == {("done", 0)}
    bench.wait(worker.capacity.all_settled_or_wake, "the way back")
    assert worker.capacity.left() == (limits.MAX_OPERATIONS, limits.MAX_BYTES)


@pytest.mark.parametrize("snapshots", [True, False], ids=["with a snapshot", "without"])
def test_a_run_whose_restoring_is_interrupted_is_restored_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, snapshots: bool
) -> None:
    log = bench.log
    monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 3 if snapshots else 1000)
    team = log.team("a")
    run, calm = log.run(team, seed=3), log.run(team, seed=3)
    first = bench.start()
    for each in (run, calm):
        create(log, each)
        for seq in range(1, 9, 2):
            step(log, each, seq)
        bench.finish(each)
    step(log, calm, 9)
    bench.finish(calm)
    bench.crash(first)
    real, interruptions = restoring.replayable, [1]

    def replayable(*arguments: object, **named: object) -> object:
        if interruptions:
            interruptions.pop()
            raise AWAY
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(restoring, "replayable", replayable)
    step(log, run, 9)
    bench.start()
    bench.finish(run)
    assert not interruptions
    assert results(run)[9] == results(calm)[9]


def test_a_drain_that_fails_does_not_spin(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = []

    def fail(*_: object) -> None:
        failures.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(Drain, "_take_changes", fail)
    bench.start()
    never(lambda: len(failures) > 11, for_s=1, but_after=lambda: "it goes on failing")


def test_a_worker_that_the_log_has_forgotten_enters_it_again(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    bench.finish(run)
    Worker.objects.all().delete()
    worker.pulse.beat(log.conn)
    step(log, run, 1)
    bench.finish(run)
    assert set(Operation.objects.values_list("state", flat=True)) == {"done"}
    assert Worker.objects.get().models_served == ["tinsmith/nano-qwen3"]


@pytest.mark.usefixtures("quiet_pulse")
def test_suspects_behind_others_are_done_without_waiting_for_the_pulse(bench: Bench) -> None:
    log = bench.log
    run = log.run(log.team("a"))
    create(log, run)
    for seq in range(1, 9):
        log.submit(run, seq, "forward_backward", batch(run, seq, seed=seq))
    Operation.objects.filter(seq__in=[2, 4, 6, 8]).update(deaths=SUSPECT)
    bench.start()
    eventually(
        lambda: set(Operation.objects.values_list("state", flat=True)),
        equals={"done"},
        within_s=WITHIN_S / 10,
    )


def test_a_disk_that_fails_holds_up_the_release_of_sessions_but_no_work(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bench.log
    team = log.team("a")
    ended, run = log.run(team), log.run(team)
    broken = threading.Event()
    broken.set()
    real = store.saved_keys

    def saved_keys(session_id: str) -> list[str]:
        if broken.is_set():
            raise OSError(errno.EIO, "Input/output error")
        return real(session_id)

    monkeypatch.setattr(store, "saved_keys", saved_keys)
    end_sessions(ended.session_id)
    bench.start()
    create(log, run)
    bench.finish(run)
    released = Session.objects.filter(id=ended.session_id, released_at__isnull=False)
    assert not released.exists()
    broken.clear()
    bench.wait(released.exists, "the release")
