"""Order, gaps, fairness and leases of the operation log, against a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.utils import timezone

from checkpoints.models import Leftover
from core import database
from operations import claims, finish, restoring, workers
from operations.finish import Outcome
from operations.models import CONVICTED, SUSPECT, Lane, Operation, Payload, Result, Worker
from tests.support.log import Log


def seqs(claimed: list[claims.Claimed], target: str) -> list[int]:
    return [operation.seq for operation in claimed if operation.target == target]


def finish_all(
    log: Log, worker_id, claimed: list[claims.Claimed], applied: dict[str, int]
) -> set[int]:
    outcomes = [
        Outcome(
            operation.id,
            f"{operation.target}:{operation.seq}",
            content_type="application/json",
            body=b"{}",
        )
        for operation in claimed
    ]
    return finish.record(log.conn, worker_id=worker_id, outcomes=outcomes, applied=applied)


def replayable(log: Log, run: claims.AdoptedRun) -> list[restoring.Replayed]:
    return restoring.replayable(log.conn, run, after=run.snapshot_seq, limit=1000, max_bytes=10**9)


def test_a_run_is_claimed_in_seq_order_whatever_the_order_of_arrival(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 2, 3, 1, 0)
    claimed = log.claim(worker)
    assert seqs(claimed, run.id) == [0, 1, 2, 3]


def test_a_gap_is_waited_for_and_never_skipped(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 0, 1, 3, 4)
    assert seqs(log.claim(worker), run.id) == [0, 1]
    assert log.claim(worker) == []
    log.append(run, 2)
    assert seqs(log.claim(worker), run.id) == [2, 3, 4]


def test_a_run_whose_creation_has_not_arrived_waits(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 1, 2)
    assert log.claim(worker) == []


def test_a_limit_cuts_a_run_without_leaving_a_hole(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 4, 2, 3, 1, 0)
    assert seqs(log.claim(worker, limit=2), run.id) == [0, 1]
    assert seqs(log.claim(worker, limit=2), run.id) == [2, 3]
    assert seqs(log.claim(worker, limit=2), run.id) == [4]


def test_a_byte_budget_cuts_but_always_lets_one_through(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 0, 1, 2, cost=100)
    assert seqs(log.claim(worker, max_bytes=1), run.id) == [0]
    assert seqs(log.claim(worker, max_bytes=150), run.id) == [1, 2]


def test_teams_take_turns(log: Log) -> None:
    busy, quiet = log.team("busy"), log.team("quiet")
    worker = log.worker()
    for _ in range(4):
        log.append(log.run(busy), *range(10))
    log.append(log.run(quiet), 0, 1)
    claimed = log.claim(worker, limit=6)
    teams = Counter(operation.team_id for operation in claimed)
    assert teams == {busy.id: 4, quiet.id: 2}


def test_samples_need_no_order_and_compete_with_runs_by_team(log: Log) -> None:
    sampling, training = log.team("sampling"), log.team("training")
    sampler, run = log.sampler(sampling), log.run(training)
    worker = log.worker()
    log.append(sampler, *range(100, 0, -1))
    log.append(run, 0, 1)
    claimed = log.claim(worker, limit=4)
    assert seqs(claimed, run.id) == [0, 1]
    assert seqs(claimed, sampler.id) == [99, 100]
    assert claimed[0].base_model is not None or claimed[-1].base_model is not None


def test_a_run_belongs_to_one_worker_until_that_dies(log: Log) -> None:
    run = log.run(log.team("a"))
    first, second = log.worker(), log.worker()
    log.append(run, 0, 1)
    claimed = log.claim(first)
    assert seqs(claimed, run.id) == [0, 1]
    log.append(run, 2)
    assert log.claim(second) == []

    log.die(first)
    assert claims.recover(log.conn, pool=log.pool) == 2
    assert seqs(log.claim(second), run.id) == [0, 1, 2]
    assert finish_all(log, first, claimed, {run.id: 1}) == set()
    lane = Lane.objects.get(target=run.id)
    assert (lane.applied_seq, lane.worker_id) == (-1, second)
    assert not Result.objects.exists()


def test_after_a_death_work_goes_on_behind_the_last_operation_without_a_gap(log: Log) -> None:
    run = log.run(log.team("a"))
    first, second = log.worker(), log.worker()
    log.append(run, 0, 1, 2, 3)
    claimed = log.claim(first)
    # 2 finished before 1, as a save does that is still being written
    finish_all(log, first, [claimed[0], claimed[2]], {run.id: 0})
    log.die(first)
    claims.recover(log.conn, pool=log.pool)

    adopted = claims.adopt(log.conn, worker_id=second, pool=log.pool, limit=10)
    assert [(found.id, found.applied_seq) for found in adopted] == [(run.id, 0)]
    assert [operation.seq for operation in replayable(log, adopted[0])] == [0]
    again = log.claim(second)
    assert seqs(again, run.id) == [1, 2, 3]

    # the result of 2 was given already: doing it again does not change it
    before = Result.objects.get(operation__seq=2).body
    outcome = Outcome(again[1].id, "x", content_type="application/json", body=b'"other"')
    finish.record(log.conn, worker_id=second, outcomes=[outcome], applied={})
    assert bytes(Result.objects.get(operation__seq=2).body) == bytes(before)


def test_failures_behind_a_death_are_done_again_in_order(log: Log) -> None:
    run = log.run(log.team("a"))
    first, second = log.worker(), log.worker()
    log.append(run, 0, 1, 2)
    claimed = log.claim(first)
    failed = Outcome(claimed[1].id, "x", error="no", category="user")
    finish.record(log.conn, worker_id=first, outcomes=[failed], applied={})
    log.die(first)
    claims.recover(log.conn, pool=log.pool)
    assert seqs(log.claim(second), run.id) == [0, 1, 2]


def test_a_snapshot_makes_bodies_unnecessary(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 0, 1, 2)
    claimed = log.claim(worker)
    finish_all(log, worker, claimed, {run.id: 2})
    finish.record_snapshot(log.conn, worker_id=worker, run_id=run.id, seq=1, key="k1")
    assert not Leftover.objects.exists()
    assert set(Payload.objects.values_list("operation__seq", flat=True)) == {2}
    finish.record_snapshot(log.conn, worker_id=worker, run_id=run.id, seq=2, key="k2")
    assert [leftover.key for leftover in Leftover.objects.all()] == ["k1"]
    log.die(worker)
    claims.recover(log.conn, pool=log.pool)
    log.append(run, 3)
    second = log.worker()
    (adopted,) = claims.adopt(log.conn, worker_id=second, pool=log.pool, limit=10)
    assert (adopted.snapshot_key, adopted.snapshot_seq) == ("k2", 2)
    assert replayable(log, adopted) == []


def test_a_snapshot_ahead_of_what_is_finished_is_not_taken(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 0, 1)
    claimed = log.claim(worker)
    finish_all(log, worker, claimed[:1], {run.id: 0})
    finish.record_snapshot(log.conn, worker_id=worker, run_id=run.id, seq=1, key="k")
    assert [leftover.key for leftover in Leftover.objects.all()] == ["k"]
    assert Lane.objects.get().snapshot_seq == -1
    assert Payload.objects.count() == 2


def die_with_work(log: Log, times: int) -> None:
    """Let workers die that had claimed whatever was there, suspects too."""
    for _ in range(times):
        worker = log.worker()
        log.claim(worker)
        log.claim_suspects(worker)
        log.die(worker)
        claims.recover(log.conn, pool=log.pool)


def test_suspects_are_claimed_apart_and_hold_up_their_own_run_only(log: Log) -> None:
    team = log.team("a")
    suspected, sampler, other = log.run(team), log.sampler(team), log.run(team)
    log.append(suspected, 0, 1)
    log.append(sampler, 7)
    die_with_work(log, SUSPECT)
    log.append(suspected, 2)
    log.append(other, 0, 1)
    log.append(sampler, 8)
    worker = log.worker()
    innocent = {(other.id, 0), (other.id, 1), (sampler.id, 8)}
    assert {(item.target, item.seq) for item in log.claim(worker)} == innocent
    assert claims.has_suspects(log.conn, worker_id=worker, pool=log.pool)
    together = {(item.target, item.seq) for item in log.claim_suspects(worker)}
    assert together == {(suspected.id, 0), (suspected.id, 1), (sampler.id, 7)}
    assert log.claim_suspects(worker) == []
    assert not claims.has_suspects(log.conn, worker_id=worker, pool=log.pool)
    assert seqs(log.claim(worker), suspected.id) == [2]


def test_groups_of_suspects_shrink_until_each_is_alone(log: Log) -> None:
    sampler, run = log.sampler(log.team("a")), log.run(log.team("b"))
    log.append(sampler, *range(40))
    log.append(run, 0, 1)
    die_with_work(log, SUSPECT)
    sizes = []
    for _ in range(CONVICTED - SUSPECT):
        worker = log.worker()
        claimed = log.claim_suspects(worker)
        sizes.append(len(claimed))
        log.die(worker)
        claims.recover(log.conn, pool=log.pool)
        # the others are done meanwhile
        others = Operation.objects.exclude(id__in=[item.id for item in claimed])
        others.filter(kind="sample").update(state="done")
    assert sizes == [32, 4, 1]
    assert Operation.objects.filter(deaths=CONVICTED).count() == 1


def test_what_is_convicted_does_not_hide_suspects_behind_it(log: Log) -> None:
    run = log.run(log.team("a"))
    log.append(run, 0, 1)
    worker = log.worker()
    claims.adopt(log.conn, worker_id=worker, pool=log.pool, limit=1)
    Operation.objects.filter(seq=0).update(deaths=CONVICTED)
    Operation.objects.filter(seq=1).update(deaths=SUSPECT)
    assert log.claim(worker) == []
    assert seqs(log.claim_suspects(worker), run.id) == [0]
    assert seqs(log.claim_suspects(worker), run.id) == [1]


def test_a_worker_looks_for_suspects_that_are_its_own_to_claim(log: Log) -> None:
    run = log.run(log.team("a"))
    log.append(run, 0)
    holder, other = log.worker(), log.worker()
    claims.adopt(log.conn, worker_id=holder, pool=log.pool, limit=1)
    Operation.objects.update(deaths=SUSPECT)
    assert claims.has_suspects(log.conn, worker_id=holder, pool=log.pool)
    assert not claims.has_suspects(log.conn, worker_id=other, pool=log.pool)


def test_a_dead_worker_claims_nothing(log: Log) -> None:
    team = log.team("a")
    run, sampler = log.run(team), log.sampler(team)
    worker = log.worker()
    log.append(run, 0, 1)
    assert len(log.claim(worker, limit=1)) == 1
    log.append(sampler, 0)
    log.append(log.run(team), 0)
    log.die(worker)
    assert log.claim(worker) == []
    assert Lane.objects.filter(worker_id=worker).count() == 1


def test_a_release_and_a_finish_at_once_do_not_lock_each_other_out(log: Log) -> None:
    """Both touch operations and runs; in opposite orders one of them would be thrown out."""
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, *range(400))

    def finish_all_at_once(claimed: list[claims.Claimed]) -> None:
        with database.connect() as conn:
            outcomes = [
                Outcome(item.id, f"{item.target}:{item.seq}", "application/json", b"{}")
                for item in claimed
            ]
            applied = {run.id: claimed[-1].seq}
            finish.record(conn, worker_id=worker, outcomes=outcomes, applied=applied)

    with ThreadPoolExecutor(1) as threads:
        for attempt in range(20):
            finishing = threads.submit(finish_all_at_once, log.claim(worker, limit=20))
            time.sleep(attempt * 0.0005)
            claims.release_runs(log.conn, worker_id=worker, run_ids=[run.id])
            finishing.result()
            Lane.objects.update(worker_id=None)
    finished = Operation.objects.filter(state="done").count()
    assert finished == Lane.objects.get().applied_seq + 1


def test_workers_that_died_long_ago_are_forgotten_once_their_work_is_not_theirs(log: Log) -> None:
    run = log.run(log.team("a"))
    log.append(run, 0)
    holder, idle, lately = log.worker(), log.worker(), log.worker()
    log.claim(holder)
    for worker in (holder, idle, lately):
        log.die(worker)
    long_ago = timezone.now() - timedelta(days=workers.KEPT_DAYS + 1)
    Worker.objects.exclude(id=lately).update(alive_until=long_ago)
    workers.forget_old(log.conn)
    assert set(Worker.objects.values_list("id", flat=True)) == {holder, lately}
    claims.recover(log.conn, pool=log.pool)
    workers.forget_old(log.conn)
    assert set(Worker.objects.values_list("id", flat=True)) == {lately}


def test_only_what_was_in_hand_counts_a_death(log: Log) -> None:
    run, sampler = log.run(log.team("a")), log.sampler(log.team("b"))
    worker = log.worker()
    log.append(run, 0, 1, 2)
    log.append(sampler, 0)
    claimed = log.claim(worker, limit=3)
    saved_early = next(item for item in claimed if item.seq == 1)
    finish_all(log, worker, [saved_early], {})
    log.append(run, 3)
    log.die(worker)
    claims.recover(log.conn, pool=log.pool)
    deaths = dict(Operation.objects.filter(target=run.id).values_list("seq", "deaths"))
    assert deaths == {0: 1, 1: 0, 2: 0, 3: 0}
    assert Operation.objects.get(target=sampler.id).deaths == 1


def test_workers_claiming_at_once_never_get_the_same(log: Log) -> None:
    teams = [log.team(f"team{n}") for n in range(4)]
    for team in teams:
        log.append(log.sampler(team), *range(25))
        log.append(log.run(team), *range(5))
    ids = [log.worker() for _ in range(4)]

    def take(worker_id) -> list[int]:
        taken: list[int] = []
        with database.connect() as conn:
            for _ in range(200):
                claims.adopt(conn, worker_id=worker_id, pool=log.pool, limit=2)
                taken += [
                    operation.id
                    for operation in claims.claim(
                        conn, worker_id=worker_id, pool=log.pool, limit=3, max_bytes=10**9
                    )
                ]
                if not Operation.objects.filter(state="queued").exists():
                    break
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [operation for found in threads.map(take, ids) for operation in found]
    assert len(taken) == len(set(taken)) == 4 * 30


def test_other_pools_are_left_alone(log: Log) -> None:
    run = log.run(log.team("a"))
    worker = log.worker()
    log.append(run, 0)
    assert claims.adopt(log.conn, worker_id=worker, pool="other", limit=9) == []
    assert claims.claim(log.conn, worker_id=worker, pool="other", limit=9, max_bytes=9) == []


def test_a_worker_whose_process_is_gone_is_taken_out_at_once(log: Log) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, alive, elsewhere = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    for worker_id, host, pid in (
        (dead, "here", gone.pid),
        (alive, "here", os.getpid()),
        (elsewhere, "there", gone.pid),
    ):
        workers.register(
            log.conn, worker_id=worker_id, pool=log.pool, host=host, pid=pid, models=[]
        )
    workers.retire_gone(log.conn, host="here")
    found = Worker.objects.filter(alive_until__gt=timezone.now()).values_list("id", flat=True)
    assert set(found) == {alive, elsewhere}
