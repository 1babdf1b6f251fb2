"""Requests that never come, on a real engine: half a batch is never stepped on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gpu_workers.log import missing
from gpu_workers.log.missing import GapWatch
from operations import gaps
from operations.models import Operation
from runs.models import Session, TrainingRun
from tests.gpu_workers.bench import Bench, batch, body, create, results, step
from tests.support.log import Log


class Clock:
    """A clock that goes when the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The watch's clock."""
    made = Clock()
    monkeypatch.setattr(missing, "time", made)
    return made


def gap_run(log: Log) -> TrainingRun:
    """A run with a gap: 0 and 1 can be done, 2 is missing, 3 waits."""
    run = log.run(log.team("a"))
    create(log, run)
    log.append(run, 1, 3)
    return run


def come_long_ago(run: TrainingRun, seconds: float) -> None:
    """As if what waits had come so long ago."""
    ago = timezone.now() - timedelta(seconds=seconds)
    Operation.objects.filter(target=run.id).update(created_at=ago)


class TestWatch:
    """When a gap is closed."""

    def test_after_the_time_that_the_setting_says(
        self, bench: Bench, clock: Clock, settings: Any
    ) -> None:
        settings.GAP_CLOSES_AFTER_S = 600
        run = gap_run(bench.log)
        come_long_ago(run, 5000)
        watch = GapWatch(bench.log.pool)
        for passed, closed in ((0, False), (599, False), (2, True), (600, False)):
            clock.now += passed
            assert watch.close_due(bench.log.conn) == closed
        assert Operation.objects.get(target=run.id, seq=2).kind == "missing"

    def test_only_while_the_client_is_heard_of(
        self, bench: Bench, clock: Clock, settings: Any
    ) -> None:
        run = gap_run(bench.log)
        come_long_ago(run, 5000)
        watch = GapWatch(bench.log.pool)
        session = Session.objects.filter(id=run.session_id)
        beat = session.get().heartbeat_at
        assert not watch.close_due(bench.log.conn)
        clock.now += 599
        session.update(heartbeat_at=beat.replace(year=2000))
        assert not watch.close_due(bench.log.conn)
        session.update(heartbeat_at=beat)
        for passed, closed in ((10, False), (590, False), (11, True)):
            clock.now += passed
            assert watch.close_due(bench.log.conn) == closed

    def test_not_while_more_of_a_batch_comes_unless_it_goes_on_for_ever(
        self, bench: Bench, clock: Clock
    ) -> None:
        gap_run(bench.log)
        watch = GapWatch(bench.log.pool)
        for passed, closed in ((0, False), (1100, False), (101, True)):
            clock.now += passed
            assert watch.close_due(bench.log.conn) == closed

    def test_a_gap_that_is_filled_is_forgotten(self, bench: Bench, clock: Clock) -> None:
        run = gap_run(bench.log)
        watch = GapWatch(bench.log.pool)
        assert not watch.close_due(bench.log.conn)
        bench.log.append(run, 2, 5)
        clock.now += 5000
        come_long_ago(run, 5000)
        assert not watch.close_due(bench.log.conn)
        clock.now += 601
        assert watch.close_due(bench.log.conn)
        kinds = dict(Operation.objects.filter(target=run.id).values_list("seq", "kind"))
        assert (kinds[2], kinds[4]) == ("optim_step", "missing")


def give_up(log: Log) -> None:
    """What the watch does when its time has come."""
    (gap,) = gaps.find(log.conn, pool=log.pool)
    assert gaps.close(log.conn, gap)


def errors(run: TrainingRun) -> dict[int, str]:
    """seq → category of what failed."""
    rows = Operation.objects.filter(target=run.id, state="failed")
    return dict(rows.values_list("seq", "error_category"))


def half_a_batch(log: Log, run: TrainingRun) -> None:
    """1 is done, 2 never comes, 3 and the step 4 wait for it."""
    log.submit(run, 1, "forward_backward", batch(run, 1, seed=99))
    log.submit(run, 3, "forward_backward", batch(run, 3, seed=98))
    log.append(run, 4)


def go_on(log: Log, run: TrainingRun, first: int) -> None:
    for seq in (first, first + 2, first + 4):
        step(log, run, seq)


@pytest.mark.parametrize("crash", ["no", "before it is given up", "after", "and after more steps"])
def test_no_half_batch_is_ever_stepped_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, crash: str
) -> None:
    """What follows computes the same bits as if the batch had never been sent."""
    log = bench.log
    team = log.team("a")
    plain, run = log.run(team, 0), log.run(team, 1)
    worker = bench.start()
    for each in (plain, run):
        create(log, each)
    # batches are made of their seeds: those of the other run have the same at other numbers
    for seq in (5, 7, 9):
        log.submit(plain, seq - 4, "forward_backward", batch(plain, seq - 4, seed=seq))
        rate = {"learning_rate": 1e-2}
        log.submit(plain, seq - 3, "optim_step", body(plain, seq - 3, adam_params=rate))
    half_a_batch(log, run)
    bench.wait(lambda: 1 in results(run), "the first part of the batch")
    if crash == "before it is given up":
        bench.crash(worker)
        worker = bench.start()
    give_up(log)
    bench.finish(run)
    assert errors(run) == {2: "user", 3: "user", 4: "user"}
    if crash == "after":
        bench.crash(worker)
        worker = bench.start()
    go_on(log, run, 5)
    bench.finish(run)
    if crash == "and after more steps":
        bench.crash(worker)
        worker = bench.start()
    # one more pass shows the weights
    log.submit(run, 11, "forward_backward", batch(run, 11, seed=3))
    log.submit(plain, 7, "forward_backward", batch(plain, 7, seed=3))
    bench.finish(run)
    bench.finish(plain)
    ours, theirs = results(run), results(plain)
    assert [ours[seq] for seq in (5, 6, 7, 8, 9, 10, 11)] == [theirs[n] for n in range(1, 8)]
    assert errors(run) == {2: "user", 3: "user", 4: "user"}


def test_a_pulse_gives_up_what_is_due(bench: Bench, clock: Clock) -> None:
    log = bench.log
    run = log.run(log.team("a"))
    create(log, run)
    log.append(run, 2)
    come_long_ago(run, 5000)
    worker = bench.start()
    worker.pulse.beat(bench.log.conn)
    clock.now += 601
    worker.pulse.beat(bench.log.conn)
    bench.finish(run)
    assert errors(run) == {1: "user", 2: "user"}
    assert "request 1 of this training run" in Operation.objects.get(target=run.id, seq=2).error
