"""What crashes, lost answers and lapsed leases leave of a worker's runs: everything, to the bit."""

from __future__ import annotations

import json
import threading
import time

import pytest

from checkpoints import store
from checkpoints.models import Checkpoint
from gpu_workers.engine.types import ForwardBackward, SaveState
from gpu_workers.engines import Engines
from gpu_workers.log import capacity as limits
from gpu_workers.log import drain, progress
from gpu_workers.process.worker import Worker
from gpu_workers.reading import plans
from operations import claims, finish, workers
from operations.claims import AdoptedRun
from operations.models import CONVICTED, Lane, Operation, Result
from runs.models import Sampler, Session, TrainingRun
from tests.gpu_workers.bench import WITHIN_S, Bench, batch, body, create, results, step
from tests.support.waiting import never


def test_a_crash_costs_time_and_nothing_else(bench: Bench, monkeypatch) -> None:
    log = bench.log
    # so that there is a snapshot and work behind it
    monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 8)
    team = log.team("a")
    calm, disturbed = log.run(team, seed=3), log.run(team, seed=3)
    for run in (calm, disturbed):
        create(log, run)
    first = bench.start()
    for seq in range(1, 15, 2):
        step(log, calm, seq)
        step(log, disturbed, seq)
    # an open gradient when the worker dies
    for run in (calm, disturbed):
        log.submit(run, 15, "forward_backward", batch(run, 15, seed=15))
        bench.finish(run)
    bench.wait(lambda: Lane.objects.get(target=disturbed.id).snapshot_seq > 0, "a recovery copy")
    before = results(disturbed)
    bench.crash(first)

    for seq in range(16, 24, 2):
        log.submit(disturbed, seq, "optim_step", body(disturbed, seq))
        log.submit(disturbed, seq + 1, "forward_backward", batch(disturbed, seq + 1, seed=seq))
        log.submit(calm, seq, "optim_step", body(calm, seq))
        log.submit(calm, seq + 1, "forward_backward", batch(calm, seq + 1, seed=seq))
    bench.start()
    bench.finish(disturbed)
    bench.finish(calm)
    after = results(disturbed)
    assert {seq: after[seq] for seq in before} == before
    undisturbed = bench.log.run(team, seed=3)
    create(log, undisturbed)
    for seq in range(1, 15, 2):
        step(log, undisturbed, seq)
    log.submit(undisturbed, 15, "forward_backward", batch(undisturbed, 15, seed=15))
    for seq in range(16, 24, 2):
        log.submit(undisturbed, seq, "optim_step", body(undisturbed, seq))
        log.submit(undisturbed, seq + 1, "forward_backward", batch(undisturbed, seq + 1, seed=seq))
    bench.finish(undisturbed)
    expected = results(undisturbed)
    for seq in range(1, 24):
        assert after[seq] == expected[seq], f"operation {seq} differs after the crash"


def test_a_step_that_diverged_is_the_users_error_and_replays_as_nothing(bench: Bench) -> None:
    """With and without a crash behind it, the run goes on as if the step had never been asked for.

    Its gradient is gone: the next step is on the next batch alone.
    """
    log = bench.log
    first = bench.start()
    team = log.team("a")
    calm, wild = log.run(team, seed=3), log.run(team, seed=3)
    for run in (calm, wild):
        create(log, run)
        step(log, run, 1)
    log.submit(wild, 3, "forward_backward", batch(wild, 3, seed=9))
    rate = {"learning_rate": 1e39}
    log.submit(wild, 4, "optim_step", body(wild, 4, adam_params=rate))
    bench.finish(wild)
    failed = Operation.objects.get(target=wild.id, state="failed")
    assert (failed.seq, failed.error_category) == (4, "user")
    assert failed.error.startswith("The run diverged: ")
    bench.crash(first)
    log.submit(wild, 5, "forward_backward", batch(wild, 5, seed=5))
    log.submit(wild, 6, "optim_step", body(wild, 6))
    log.submit(calm, 3, "forward_backward", batch(calm, 3, seed=5))
    log.submit(calm, 4, "optim_step", body(calm, 4))
    bench.start()
    for run in (calm, wild):
        bench.finish(run)
    assert results(wild)[5] == results(calm)[3]
    assert results(wild)[6] == results(calm)[4]


def one_step_behind(bench: Bench) -> tuple[TrainingRun, TrainingRun]:
    """Two runs that are alike but for step 3, which only the second has done."""
    log = bench.log
    team = log.team("a")
    run, calm = log.run(team, seed=2), log.run(team, seed=2)
    for each in (run, calm):
        create(log, each)
        step(log, each, 1)
        bench.finish(each)
    step(log, calm, 3)
    bench.finish(calm)
    return run, calm


def test_a_worker_declared_dead_starts_over_exactly(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    run, calm = one_step_behind(bench)
    # the lease runs out and nobody else is there; the next pulse notices
    workers.retire(log.conn, worker_id=worker.id)
    worker.pulse.beat(log.conn)
    step(log, run, 3)
    bench.finish(run)
    assert results(run)[3] == results(calm)[3]


def test_files_saved_before_a_crash_survive_the_replay(bench: Bench) -> None:
    log = bench.log
    first = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    step(log, run, 1)
    log.submit(run, 3, "save_weights", body(run, 3, path="final"))
    log.submit(run, 4, "save_weights_for_sampler", body(run, 4, sampling_session_seq_id=0))
    bench.finish(run)
    keys = [Checkpoint.objects.get().key, Sampler.objects.get().weights_key]
    bench.crash(first)
    log.submit(run, 5, "optim_step", body(run, 5))
    bench.start()
    bench.finish(run)
    assert all((store.path(key) / "adapter_model.safetensors").is_file() for key in keys)


def test_a_snapshot_holds_what_it_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshots fall between the claim and the submission of slow bodies, and are exact anyway."""
    monkeypatch.setattr(progress, "SNAPSHOT_EVERY_OPERATIONS", 3)
    real = plans.plan

    def slow(*arguments: object) -> plans.Plan:
        plan = real(*arguments)  # type: ignore[arg-type]
        time.sleep(0.05)
        return plan

    monkeypatch.setattr(plans, "plan", slow)
    log = bench.log
    team = log.team("a")
    first = bench.start()
    run, calm = log.run(team, seed=3), log.run(team, seed=3)
    create(log, run)
    for seq in range(1, 21, 2):
        step(log, run, seq)
    bench.finish(run)
    bench.wait(lambda: Lane.objects.get(target=run.id).snapshot_seq > 0, "a recovery copy")
    bench.crash(first)
    monkeypatch.setattr(plans, "plan", real)
    create(log, calm)
    for seq in range(1, 21, 2):
        step(log, calm, seq)
    for each in (run, calm):
        log.submit(each, 21, "forward_backward", batch(each, 21, seed=41))
    bench.start()
    bench.finish(run)
    bench.finish(calm)
    assert results(run)[21] == results(calm)[21]


def test_what_the_log_gave_and_the_worker_never_got_is_taken_up_again(bench: Bench) -> None:
    """The answers to an adoption and to a claim were lost on their way."""
    log = bench.log
    team = log.team("a")
    run, sampler = log.run(team), log.sampler(team)
    create(log, run)
    step(log, run, 1)
    prompt = {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]}
    fields = {"sampling_session_id": sampler.id, "seq_id": 0, "prompt": prompt}
    params = {"max_tokens": 1}
    log.submit(sampler, 0, "sample", json.dumps({**fields, "sampling_params": params}).encode())
    worker = Worker(log.pool)
    worker.start()
    log.claim(worker.id)
    assert set(Operation.objects.values_list("state", flat=True)) == {"running"}
    bench.adopt(worker)
    bench.wait(lambda: Result.objects.count() == 4, "all four results")


def test_a_lease_that_ran_out_ends_no_session(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain comes before the pulse and finds its own worker declared dead."""
    monkeypatch.setattr(drain, "LASTS_S", 1.0)
    log = bench.log
    worker = bench.start()
    run, calm = one_step_behind(bench)
    bench.pause(worker)
    workers.retire(log.conn, worker_id=worker.id)
    step(log, run, 3)
    bench.adopt(worker)
    bench.finish(run)
    assert results(run)[3] == results(calm)[3]
    assert not Session.objects.filter(ended_at__isnull=False).exists()


def test_a_save_that_is_done_again_keeps_its_files(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was done and used, the one before it not: both are done again, its files never go."""
    log = bench.log
    run = log.run(log.team("a"))
    create(log, run)
    real, held_back = Engines.submit, ["slow"]

    def submit(engines: Engines, run: AdoptedRun, work: object, *rest: object) -> None:
        is_save = isinstance(work, SaveState)
        if not (is_save and any(name in str(work.directory) for name in held_back)):
            real(engines, run, work, *rest)

    monkeypatch.setattr(Engines, "submit", submit)
    first = bench.start()
    log.submit(run, 1, "save_weights", body(run, 1, path="slow"))
    log.submit(run, 2, "save_weights", body(run, 2, path="quick"))
    bench.wait(Checkpoint.objects.filter(name="quick").exists, "the second save")
    weights = store.path(Checkpoint.objects.get().key) / "adapter_model.safetensors"
    before = weights.stat()
    bench.crash(first)
    held_back.append("quick")
    second = bench.start()
    wait_until_in_hand(bench, second, run, 2)
    assert weights.exists()
    bench.crash(second)
    held_back.clear()
    bench.start()
    bench.finish(run)
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert {item.name for item in Checkpoint.objects.all()} == {"slow", "quick"}


def wait_until_in_hand(bench: Bench, worker: Worker, run: TrainingRun, seq: int) -> None:
    in_hand = Operation.objects.filter(target=run.id, seq=seq, state="running", worker_id=worker.id)
    bench.wait(in_hand.exists, f"the taking up of {run.id}:{seq}")


def test_an_operation_that_kills_workers_is_tried_alone_and_then_given_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers die while they have it and another team's in hand, the last one with it alone."""
    log = bench.log
    deadly, harmless = log.run(log.team("a"), seed=4), log.run(log.team("b"), seed=4)
    real = Engines.submit
    never_answered = {deadly.id, harmless.id}

    def submit(engines: Engines, run: AdoptedRun, work: object, *rest: object) -> None:
        if run.id not in never_answered or not isinstance(work, ForwardBackward):
            real(engines, run, work, *rest)

    monkeypatch.setattr(Engines, "submit", submit)
    for run in (deadly, harmless):
        create(log, run)
        step(log, run, 1)
    for _ in range(CONVICTED - 1):
        worker = bench.start()
        wait_until_in_hand(bench, worker, deadly, 1)
        wait_until_in_hand(bench, worker, harmless, 1)
        bench.crash(worker)
    never_answered.discard(harmless.id)
    worker = bench.start()
    wait_until_in_hand(bench, worker, deadly, 1)
    assert Operation.objects.filter(state="running").count() == 1
    bench.crash(worker)
    bench.start()
    bench.finish(deadly)
    bench.finish(harmless)

    given_up = Operation.objects.get(target=deadly.id, seq=1)
    found = (given_up.state, given_up.error_category, given_up.deaths)
    assert found == ("failed", "user", CONVICTED)
    assert "send less at once" in str(given_up.error)
    others = Operation.objects.exclude(id=given_up.id)
    assert {(item.state, item.deaths < CONVICTED) for item in others} == {("done", True)}
    assert len(others) == 5


def test_a_worker_that_leaves_in_good_order_counts_against_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bench.log
    run = log.run(log.team("a"))
    create(log, run)
    step(log, run, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Engines, "submit", lambda *arguments: None)
        worker = bench.start()
        wait_until_in_hand(bench, worker, run, 2)
        worker.stop()
    assert set(Operation.objects.values_list("state", "deaths")) == {("queued", 0)}
    bench.start()
    bench.finish(run)
    assert set(Operation.objects.values_list("state", "deaths")) == {("done", 0)}


def test_a_suspect_is_begun_when_the_one_before_it_is_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the death of the second would convict the first."""
    monkeypatch.setattr(drain, "LASTS_S", 1.0)
    log = bench.log
    runs = [log.run(log.team(name)) for name in ("a", "b")]
    worker = bench.start()
    for run in runs:
        create(log, run)
        bench.finish(run)
    bench.pause(worker)
    for run in runs:
        log.submit(run, 1, "forward_backward", batch(run, 1, seed=1))
    Operation.objects.filter(seq=1).update(deaths=CONVICTED - 1)
    written, real = threading.Event(), finish.record

    def slow(*arguments: object, **named: object) -> object:
        assert written.wait(WITHIN_S)
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(finish, "record", slow)
    bench.adopt(worker)
    capacity = limits.MAX_OPERATIONS, limits.MAX_BYTES
    in_hand = Operation.objects.filter(state="running")
    bench.wait(lambda: in_hand.exists() and worker.capacity.left() == capacity, "the first one")
    never(
        lambda: Operation.objects.filter(seq=1).exclude(state="queued").count() > 1,
        for_s=0.3,
        but_after=written.set,
    )
    for run in runs:
        bench.finish(run)
    assert set(Operation.objects.values_list("state", flat=True)) == {"done"}


def test_a_worker_that_stops_in_the_middle_of_a_claim_leaves_nothing_behind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = bench.log
    worker = bench.start()
    sampler = log.sampler(log.team("a"))
    claiming, real = threading.Event(), claims.claim

    def slow(*arguments: object, **named: object) -> object:
        if not claiming.is_set():
            claiming.set()
            assert worker.stopping.wait(WITHIN_S)
        return real(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(claims, "claim", slow)
    log.append(sampler, *range(500))
    log.conn.execute("SELECT pg_notify('tinsmith_work', 'default work')")
    assert claiming.wait(WITHIN_S)
    worker.stop()
    claims.recover(log.conn, pool=log.pool)
    states = Operation.objects.exclude(state__in=["done", "failed"])
    assert set(states.values_list("state", "deaths")) == {("queued", 0)}
