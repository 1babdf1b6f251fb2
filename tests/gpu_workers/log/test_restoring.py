"""Runs that come back after a crash: in pieces, tried again, and given up if that kills workers."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db.models import Max

from checkpoints import store
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.types import ForwardBackward
from gpu_workers.engines import Engines
from gpu_workers.log import capacity as limits
from gpu_workers.log import progress
from gpu_workers.log import restoring as worker_restoring
from gpu_workers.process.worker import Worker
from gpu_workers.reading import plans
from operations import restoring
from operations.claims import AdoptedRun, Claimed
from operations.models import CONVICTED, SUSPECT, Lane, Operation, Payload, Result
from runs.models import Session, TrainingRun
from tests.gpu_workers.bench import WITHIN_S, Bench, batch, create, results, step
from tests.support.waiting import never

EIO = OSError(errno.EIO, "Input/output error")


@pytest.fixture(autouse=True)
def quick_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "FIRST_PAUSE_S", 0)


class Crashed:
    """Two runs that are alike, each with some steps behind a snapshot, and their worker dead.

    The second has done one step more, before: what the first has to come to.
    """

    def __init__(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, *, snapshot: bool = True
    ) -> None:
        monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 5 if snapshot else 1000)
        log = bench.log
        team = log.team("a")
        self.run, self.calm = log.run(team, seed=3), log.run(team, seed=3)
        first = bench.start()
        for run in (self.run, self.calm):
            create(log, run)
            for seq in range(1, 5, 2):
                step(log, run, seq)
            bench.finish(run)
            if snapshot:
                bench.wait(lambda: self.snapshots() > 0, "a recovery copy")
            monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 1000)
            for seq in range(5, 9, 2):
                step(log, run, seq)
            bench.finish(run)
            monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 5 if snapshot else 1000)
        monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 1000)
        step(log, self.calm, 9)
        bench.finish(self.calm)
        bench.crash(first)
        self._bench = bench

    def snapshots(self) -> int:
        return Lane.objects.filter(snapshot_key__isnull=False).count()

    def go_on(self) -> None:
        """Ask for the step that the other run has done, of a new worker."""
        step(self._bench.log, self.run, 9)
        self._bench.start()
        self._bench.finish(self.run)

    def is_exact(self) -> bool:
        ours, theirs = results(self.run), results(self.calm)
        return all(ours[seq] == theirs[seq] for seq in (9, 10))

    def end(self) -> tuple[str | None, str | None]:
        session = Session.objects.get(id=self.run.session_id)
        return session.end_reason, session.end_detail


def failing(times: list[BaseException], real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if times:
            raise times.pop()
        return real(*arguments, **named)

    return call


@pytest.mark.parametrize(
    "error",
    [EIO, MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["disk", "memory", "engine"],
)
@pytest.mark.parametrize("place", ["snapshot", "replay"])
def test_what_may_pass_gives_the_run_back_to_be_restored_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    crashed = Crashed(bench, monkeypatch)
    failures: list[BaseException] = [error, error]
    if place == "snapshot":
        monkeypatch.setattr(peft_io, "load", failing(failures, peft_io.load))
    else:
        monkeypatch.setattr(plans, "plan", failing(failures, plans.plan))
    crashed.go_on()
    assert not failures
    assert crashed.end() == (None, None)
    assert crashed.is_exact()
    bench.wait(
        lambda: (
            not Lane.objects.filter(target=crashed.run.id)
            .exclude(restoring=False, restore_failures=0, restore_after=None, restore_deaths=0)
            .exists()
        ),
        "the note that it is restored",
    )


def test_a_run_is_put_off_before_it_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the database's clock, whichever worker it is; the pauses double."""
    monkeypatch.setattr(restoring, "FIRST_PAUSE_S", 3600)
    crashed = Crashed(bench, monkeypatch)
    tries: list[int] = []
    real = peft_io.load

    def load(*arguments: Any, **named: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise EIO
        return real(*arguments, **named)

    monkeypatch.setattr(peft_io, "load", load)
    step(bench.log, crashed.run, 9)
    worker = bench.start()
    for count in (1, 2):
        put_off = Lane.objects.filter(restore_failures=count, worker=None)
        bench.wait(put_off.exists, "the putting off")
        # whoever looks now does not take it
        worker.pulse.beat(bench.log.conn)
        other = bench.log.worker()
        assert bench.log.claim(other) == []
        assert len(tries) == count
        bench.log.conn.execute("UPDATE operations_lane SET restore_after = now()")
    bench.finish(crashed.run)
    assert crashed.is_exact()


def test_what_does_not_pass_ends_the_session_after_some_tries(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "TRIES", 3)
    crashed = Crashed(bench, monkeypatch)
    failures: list[BaseException] = [EIO] * 9
    monkeypatch.setattr(peft_io, "load", failing(failures, peft_io.load))
    crashed.go_on()
    assert len(failures) == 6
    reason, detail = crashed.end()
    assert reason == "failed"
    assert f"the run {crashed.run.id} could not be restored: it failed 3 times" in str(detail)
    waiting = Operation.objects.get(target=crashed.run.id, seq=9)
    assert (waiting.error, waiting.error_category) == (detail, "user")


def snapshot(run: TrainingRun) -> Path:
    """Where the recovery copy of a run is."""
    key = Lane.objects.get(target=run.id).snapshot_key
    assert key
    return store.path(key)


def remove_snapshot(run: TrainingRun) -> None:
    shutil.rmtree(snapshot(run))


def cut_weights(run: TrainingRun) -> None:
    file = snapshot(run) / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def spoil_config(run: TrainingRun) -> None:
    (snapshot(run) / "adapter_config.json").write_bytes(b"{")


def remove_body(run: TrainingRun) -> None:
    Payload.objects.filter(operation__target=run.id, operation__seq=7).delete()


@pytest.mark.parametrize("lose", [remove_snapshot, cut_weights, spoil_config, remove_body])
def test_a_run_that_is_lost_ends_its_session_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lose: Callable[[TrainingRun], None]
) -> None:
    crashed = Crashed(bench, monkeypatch)
    lose(crashed.run)
    crashed.go_on()
    reason, detail = crashed.end()
    assert reason == "failed"
    assert "could not be restored" in str(detail)
    assert "start a new one from its last checkpoint" in str(detail)
    assert Lane.objects.get(target=crashed.run.id).restore_failures == 0
    assert not Result.objects.filter(operation__target=crashed.run.id, operation__seq=9).exists()


def test_a_store_that_is_not_there_loses_no_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is not mounted looks like files that are gone."""
    crashed = Crashed(bench, monkeypatch)
    elsewhere = store.root().with_name("elsewhere")
    store.root().rename(elsewhere)
    step(bench.log, crashed.run, 9)
    bench.start()
    bench.wait(Lane.objects.filter(restore_failures__gt=0).exists, "the first try")
    elsewhere.rename(store.root())
    bench.finish(crashed.run)
    assert crashed.end() == (None, None)
    assert crashed.is_exact()


def test_a_store_that_comes_back_while_a_run_is_given_back_loses_no_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = Crashed(bench, monkeypatch)
    elsewhere = store.root().with_name("elsewhere")
    store.root().rename(elsewhere)
    real = worker_restoring.Restores._end

    def end(self: Any, *given: Any) -> None:
        if elsewhere.exists():
            elsewhere.rename(store.root())
        real(self, *given)

    monkeypatch.setattr(worker_restoring.Restores, "_end", end)
    step(bench.log, crashed.run, 9)
    bench.start()
    bench.finish(crashed.run)
    assert crashed.end() == (None, None)
    assert crashed.is_exact()


def test_what_is_done_again_is_read_and_held_in_bounded_pieces(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = Crashed(bench, monkeypatch, snapshot=False)
    largest = Operation.objects.aggregate(Max("cost"))["cost__max"]
    monkeypatch.setattr(limits, "MAX_BYTES_AGAIN", 2 * largest)
    monkeypatch.setattr(worker_restoring, "CHUNK_BYTES", largest)
    pieces: list[int] = []
    held: list[int] = []
    real = restoring.replayable

    def replayable(conn: psycopg.Connection, run: AdoptedRun, **named: Any) -> Any:
        found = real(conn, run, **named)
        pieces.append(sum(len(item.body) for item in found))
        return found

    take = limits.Capacity.take

    def watch(capacity: limits.Capacity, operation: Claimed, **named: Any) -> None:
        take(capacity, operation, **named)
        held.append(capacity._bytes_again)

    monkeypatch.setattr(restoring, "replayable", replayable)
    monkeypatch.setattr(limits.Capacity, "take", watch)
    crashed.go_on()
    assert crashed.is_exact()
    assert sum(pieces) > 4 * largest
    assert max(pieces) < 2 * largest
    assert max(held) <= 3 * largest


def test_everybody_elses_results_go_on_while_a_run_is_restored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker is in the middle of reading what a run did, and another run's result comes."""
    log = bench.log
    crashed = Crashed(bench, monkeypatch)
    other = log.run(log.team("b"))
    create(log, other)
    worker = bench.start()
    bench.finish(other)
    reading, go_on, withheld = threading.Event(), threading.Event(), []
    plan, submit = plans.plan, Engines.submit

    def slow(conn: psycopg.Connection, run: AdoptedRun, operation: Claimed) -> plans.Plan:
        if run.id == crashed.run.id and operation.seq <= run.applied_seq:
            reading.set()
            assert go_on.wait(WITHIN_S)
        return plan(conn, run, operation)

    def withhold(engines: Engines, run: AdoptedRun, *work: object) -> None:
        if run.id == other.id and not reading.is_set():
            withheld.append((engines, run, *work))
        else:
            submit(engines, run, *work)

    monkeypatch.setattr(plans, "plan", slow)
    monkeypatch.setattr(Engines, "submit", withhold)
    log.submit(other, 1, "forward_backward", batch(other, 1, seed=1))
    bench.wait(lambda: bool(withheld), "the other run's batch")
    step(log, crashed.run, 9)
    bench.wait(reading.is_set, "the reading")
    submit(*withheld[0])
    try:
        done = Operation.objects.filter(target=other.id, seq=1, state="done")
        bench.wait(done.exists, "the other run's result")
    finally:
        go_on.set()
    bench.finish(crashed.run)
    assert crashed.is_exact()
    assert worker.capacity.left() == (limits.MAX_OPERATIONS, limits.MAX_BYTES)


def wait_until_doing_again(bench: Bench, worker: Worker, run: TrainingRun) -> None:
    def is_so() -> bool:
        restore = worker.restores._active.get(run.id)
        return restore is not None and restore.all_given

    bench.wait(is_so, f"the restoring of {run.id}")


def test_a_run_whose_restoring_kills_workers_is_tried_alone_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As operations are. Another team's run that was restored beside it each time goes on."""
    log = bench.log
    deadly, harmless = log.run(log.team("a"), seed=4), log.run(log.team("b"), seed=4)
    first = bench.start()
    for run in (deadly, harmless):
        create(log, run)
        step(log, run, 1)
        bench.finish(run)
    bench.crash(first)
    real = Engines.submit
    never_answered = {deadly.id, harmless.id}

    def submit(engines: Engines, run: AdoptedRun, work: object, *rest: object) -> None:
        if run.id not in never_answered or not isinstance(work, ForwardBackward):
            real(engines, run, work, *rest)

    monkeypatch.setattr(Engines, "submit", submit)
    for run in (deadly, harmless):
        step(log, run, 3)
    for deaths in range(CONVICTED - 1):
        worker = bench.start()
        wait_until_doing_again(bench, worker, deadly)
        wait_until_doing_again(bench, worker, harmless)
        bench.crash(worker)
        counted = set(Lane.objects.values_list("restore_deaths", flat=True))
        assert counted == {deaths}
    never_answered.discard(harmless.id)
    worker = bench.start()
    wait_until_doing_again(bench, worker, deadly)
    assert Lane.objects.filter(restoring=True).count() == 1
    assert not Operation.objects.filter(state="running").exists()
    bench.crash(worker)
    bench.start()
    bench.finish(deadly)
    bench.finish(harmless)

    session = Session.objects.get(id=deadly.session_id)
    assert session.end_reason == "failed"
    assert f"{CONVICTED} workers died" in str(session.end_detail)
    given_up = Operation.objects.filter(target=deadly.id, state="failed")
    assert set(given_up.values_list("seq", "error", "error_category")) == {
        (seq, session.end_detail, "user") for seq in (3, 4)
    }
    others = Operation.objects.filter(target=harmless.id)
    assert set(others.values_list("state", "deaths")) == {("done", 0)}
    assert Session.objects.get(id=harmless.session_id).end_reason is None


def test_a_worker_that_leaves_while_it_restores_counts_against_no_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = Crashed(bench, monkeypatch)
    step(bench.log, crashed.run, 9)
    with monkeypatch.context() as patch:
        patch.setattr(Engines, "submit", lambda *arguments: None)
        worker = bench.start()
        wait_until_doing_again(bench, worker, crashed.run)
        worker.stop()
    lane = Lane.objects.get(target=crashed.run.id)
    assert (lane.restoring, lane.restore_deaths) == (False, 0)
    bench.start()
    bench.finish(crashed.run)
    assert crashed.is_exact()


@pytest.mark.usefixtures("quiet_pulse")
def test_a_run_that_comes_while_a_suspect_is_in_hand_is_taken_up_behind_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death would count against both; nobody announces the run once more."""
    log = bench.log
    suspected, other = log.run(log.team("a")), log.run(log.team("b"))
    bench.start()
    create(log, suspected)
    bench.finish(suspected)
    withheld: list[Any] = []
    submit = Engines.submit

    def withhold(*arguments: Any) -> None:
        if arguments[1].id == suspected.id:
            withheld.append(arguments)
        else:
            submit(*arguments)

    monkeypatch.setattr(Engines, "submit", withhold)
    log.submit(suspected, 1, "forward_backward", batch(suspected, 1, seed=1))
    Operation.objects.filter(target=suspected.id, seq=1).update(deaths=SUSPECT)
    bench.wait(lambda: bool(withheld), "the suspect")
    create(log, other)
    log.conn.execute("SELECT pg_notify('tinsmith_work', 'default change')")
    done = Operation.objects.filter(target=other.id, state="done")
    never(done.exists, for_s=0.5, but_after=lambda: submit(*withheld[0]), within_s=WITHIN_S)
