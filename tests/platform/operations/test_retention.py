"""Results are kept for days after a session's end; what else is known of operations stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from config import env
from gpu_workers.process import upkeep
from operations import finish
from operations import retention as of_operations
from operations.models import Operation, Payload, Result
from runs import lifecycle, retention
from runs.models import Sampler, Session, TrainingRun
from tests.support.log import Log
from tests.support.sessions import end_sessions
from usage.models import Entry, Kind
from usage.services import Used

DAYS = 7


@pytest.fixture(autouse=True)
def _days(settings: Any) -> None:
    settings.RESULTS_KEPT_DAYS = DAYS


def do(log: Log, *targets: TrainingRun | Sampler, seqs: int = 1) -> None:
    """Do operations on each target, with results and usage, and keep a body that nobody needs."""
    worker = log.worker()
    for target in targets:
        log.append(target, *range(seqs))
    for claimed in log.claim(worker):
        finish.record(
            log.conn,
            worker_id=worker,
            outcomes=[
                finish.Outcome(
                    claimed.id,
                    f"{claimed.target}:{claimed.seq}",
                    content_type="application/json",
                    body=b"{}",
                    used=[Used(Kind.TRAIN, 3)],
                )
            ],
            applied={claimed.target: claimed.seq},
        )
    log.die(worker)


def end(log: Log, session: Session, days: float, *, released: bool = True) -> None:
    """Let a session have ended so many days ago."""
    end_sessions(session.id, ago=timedelta(days=days))
    if released:
        lifecycle.release_ended(log.conn, worker_id=log.worker())


def targets_with_results() -> set[str]:
    """The runs and samplers whose results are there."""
    return set(Result.objects.values_list("operation__target", flat=True))


def test_only_results_of_sessions_long_ended_go(log: Log) -> None:
    team = log.team("a")
    old, sampled = log.run(team), log.sampler(team)
    young, running, held = log.run(team), log.run(team), log.run(team)
    do(log, old, sampled, young, running, held, seqs=2)
    end(log, old.session, DAYS + 0.01)
    end(log, sampled.session, DAYS + 100)
    end(log, young.session, DAYS - 0.01)
    end(log, held.session, DAYS + 1, released=False)
    before = list(Operation.objects.order_by("id").values())
    assert retention.forget_results(log.conn) == 4
    assert targets_with_results() == {young.id, running.id, held.id}
    assert list(Operation.objects.order_by("id").values()) == before
    assert Entry.objects.filter(target=old.id).count() == 2
    # its workers have let go of it meanwhile
    lifecycle.release_ended(log.conn, worker_id=log.worker())
    assert retention.forget_results(log.conn) == 2
    assert targets_with_results() == {young.id, running.id}


def test_what_came_too_late_to_be_done_goes_as_well(log: Log) -> None:
    run = log.run(log.team("a"))
    end(log, run.session, DAYS + 1)
    log.append(run, 1)
    assert retention.forget_results(log.conn) == 1
    assert not Payload.objects.exists()
    assert Operation.objects.count() == 1


def test_in_batches_until_all_are_gone(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_operations, "OPERATIONS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "BATCHES_AT_ONCE", 2)
    team = log.team("a")
    first, second = log.run(team), log.run(team)
    do(log, first, second, seqs=5)
    for run in (first, second):
        end(log, run.session, DAYS + 1)
    assert [retention.forget_results(log.conn) for _ in range(4)] == [4, 4, 2, 0]
    assert not Result.objects.exists()
    assert not Session.objects.filter(results_forgotten_at=None).exists()


def test_many_ended_sessions_take_turns(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "SESSIONS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "BATCHES_AT_ONCE", 1)
    team = log.team("a")
    runs = [log.run(team) for _ in range(3)]
    do(log, *runs)
    for days, run in enumerate(runs, DAYS + 1):
        end(log, run.session, days)
    assert retention.forget_results(log.conn) == 2
    assert targets_with_results() == {runs[0].id}  # the one that ended last
    assert [retention.forget_results(log.conn) for _ in range(2)] == [1, 0]


def test_the_days_are_the_operators_to_say(log: Log, settings: Any) -> None:
    run = log.run(log.team("a"))
    do(log, run)
    end(log, run.session, 20)
    settings.RESULTS_KEPT_DAYS = 30
    assert retention.forget_results(log.conn) == 0
    settings.RESULTS_KEPT_DAYS = 0
    assert retention.forget_results(log.conn) == 1


def test_the_setting_refuses_what_it_cannot_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "TINSMITH_RESULTS_KEPT_DAYS"
    assert f"{name} " in (django_settings.BASE_DIR / "platform/config/settings.py").read_text()
    monkeypatch.setenv(name, "-1")
    with pytest.raises(env.BadEnvironment, match="from 0 on"):
        env.number(name, 7, least=0)
    monkeypatch.setenv(name, "0")
    assert env.number(name, 7, least=0) == 0


def test_the_workers_sweep_forgets(log: Log, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    run = log.run(log.team("a"))
    do(log, run)
    end(log, run.session, DAYS + 1)
    upkeep.sweep(log.conn)
    assert not Result.objects.exists()
