"""Sessions that fall silent or end, and what is freed then."""

from __future__ import annotations

from operations.models import Lane, Operation, Payload
from runs import lifecycle
from runs.models import Listening, Session
from tests.support.log import Log
from tests.support.sessions import end_sessions


def silence(log: Log, session: Session, seconds: int) -> None:
    """Nothing was heard for so long, by web processes that listened all the while."""
    log.conn.execute(
        """
        UPDATE runs_session SET heartbeat_at = now() - make_interval(secs => %(seconds)s),
            heard_at_s = (SELECT seconds FROM runs_listening) - %(seconds)s
        WHERE id = %(id)s
        """,
        {"seconds": seconds, "id": session.id},
    )


def test_only_silent_sessions_expire(log: Log) -> None:
    team = log.team("a")
    Listening.objects.create(seconds=10_000)
    silent, lively, ended = (log.run(team).session for _ in range(3))
    silence(log, silent, lifecycle.EXPIRES_AFTER_S + 1)
    silence(log, lively, lifecycle.EXPIRES_AFTER_S - 60)
    silence(log, ended, lifecycle.EXPIRES_AFTER_S + 1)
    end_sessions(ended.id)
    assert lifecycle.expire_sessions(log.conn) == [log.pool]
    reasons = dict(Session.objects.values_list("id", "end_reason"))
    assert reasons == {silent.id: "expired", lively.id: None, ended.id: "success"}
    assert lifecycle.expire_sessions(log.conn) == []


def test_release_fails_what_waits_and_frees_the_run(log: Log) -> None:
    team = log.team("a")
    gone, stays = log.run(team), log.run(team)
    worker = log.worker()
    log.append(gone, 0, 2)
    log.append(stays, 0)
    log.claim(worker)
    end_sessions(gone.session_id)
    (released,) = lifecycle.release_ended(log.conn, worker_id=worker)
    assert released.run_ids == [gone.id]
    assert set(released.failed_requests) == {f"{gone.id}:0", f"{gone.id}:2"}
    states = dict(Operation.objects.values_list("target", "state").order_by("seq"))
    assert states == {gone.id: "failed", stays.id: "running"}
    assert Payload.objects.filter(operation__target=stays.id).count() == 1
    assert not Payload.objects.filter(operation__target=gone.id).exists()
    assert Lane.objects.get(target=gone.id).worker_id is None
    assert lifecycle.release_ended(log.conn, worker_id=worker) == []


def test_a_session_whose_runs_another_worker_holds_is_left_to_it(log: Log) -> None:
    run = log.run(log.team("a"))
    holder, other = log.worker(), log.worker()
    log.append(run, 0)
    log.claim(holder)
    end_sessions(run.session_id)
    assert lifecycle.release_ended(log.conn, worker_id=other) == []
    log.die(holder)
    assert [found.session_id for found in lifecycle.release_ended(log.conn, worker_id=other)] == [
        run.session_id
    ]
