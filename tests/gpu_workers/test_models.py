"""A worker serves the base models that it has loaded, and says why it does not serve the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog.models import BaseModel
from gpu_workers import engines, nano
from gpu_workers.process.worker import Worker
from operations import workers
from operations.models import SUSPECT, Operation
from runs.models import Sampler, Session
from tests.gpu_workers.bench import Bench, create, step
from tests.support.log import Log


@pytest.fixture
def broken(bench: Bench) -> Log:
    """The log of a base model of the same pool whose files are not where the catalog says."""
    model = BaseModel.objects.create(
        name="acme/broken",
        source="/nowhere/at-all",
        tokenizer_id="x",
        family="qwen3",
        max_context_length=256,
    )
    return Log(bench.log.conn, model)


def mend(worker: Worker, broken: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the files there; the worker's next turn of loading finds them."""
    BaseModel.objects.filter(id=broken.base_model.id).update(source=str(nano.folder("nano-qwen3")))
    for trouble in worker.engines._troubles.values():
        trouble.again_at = 0.0
    worker.load_models(broken.conn)


def sample(log: Log, sampler: Sampler) -> None:
    body = {
        "sampling_session_id": sampler.id,
        "seq_id": 0,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2]}]},
        "sampling_params": {"max_tokens": 1},
    }
    log.submit(sampler, 0, "sample", json.dumps(body).encode())


def states(log: Log) -> set[str]:
    found = Operation.objects.filter(
        target__in=[
            *log.base_model.runs.values_list("id", flat=True),
            *log.base_model.samplers.values_list("id", flat=True),
        ]
    )
    return set(found.values_list("state", flat=True))


def test_a_model_that_cannot_be_loaded_keeps_its_own_work_waiting_and_no_other(
    bench: Bench, broken: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, team = bench.log, bench.log.team("a")
    stuck, run = broken.run(team), good.run(team)
    for log, each in ((broken, stuck), (good, run)):
        create(log, each)
        step(log, each, 1)
        sample(log, log.sampler(team))
    # a suspect that cannot be taken must not put others off
    Operation.objects.filter(target=stuck.id).update(deaths=SUSPECT)
    worker = bench.start()
    bench.wait(lambda: states(good) == {"done"}, "the work on the model that is there")
    assert states(broken) == {"queued"}
    assert not Session.objects.filter(ended_at__isnull=False).exists()
    found = workers.Worker.objects.get()
    assert found.models_served == ["tinsmith/nano-qwen3"]
    assert "/nowhere/at-all" in found.report["acme/broken"]["not_loaded"]
    assert "/nowhere/at-all" in workers.troubles(good.pool)["acme/broken"]

    mend(worker, broken, monkeypatch)
    bench.wait(lambda: states(broken) == {"done"}, "the work on the model that came later")
    assert workers.Worker.objects.get().models_served == ["acme/broken", "tinsmith/nano-qwen3"]
    assert workers.troubles(good.pool) == {}


def test_a_worker_without_any_model_takes_nothing_and_does_not_count(
    bench: Bench, broken: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    BaseModel.objects.exclude(id=broken.base_model.id).delete()
    run = broken.run(broken.team("a"))
    create(broken, run)
    worker = bench.start()
    worker.drain()
    assert states(broken) == {"queued"}
    assert not workers.any_alive(broken.pool)
    mend(worker, broken, monkeypatch)
    bench.finish(run)
    assert workers.any_alive(broken.pool)
    assert not Session.objects.filter(ended_at__isnull=False).exists()


def test_a_run_goes_to_the_worker_that_serves_its_model(bench: Bench, broken: Log) -> None:
    """Another worker of the pool has the model; this one's drain must leave the run to it."""
    without = bench.start()
    run = broken.run(broken.team("a"))
    create(broken, run)
    other = broken.worker()
    assert [item.target for item in broken.claim(other)] == [run.id]
    broken.die(other)
    without.pulse.beat(broken.conn)
    assert [item.target for item in broken.claim(broken.worker())] == [run.id]


def test_pauses_between_tries_get_longer(
    bench: Bench, broken: Log, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = engines.Engines(broken.pool, tmp_path)
    BaseModel.objects.exclude(id=broken.base_model.id).delete()
    pauses = []
    for tries in range(1, 8):
        assert not made.load_missing(broken.conn)
        trouble = made._troubles["acme/broken"]
        assert trouble.tries == tries
        # its time has not come
        assert not made.load_missing(broken.conn)
        assert trouble.tries == tries
        pauses.append(trouble.again_at)
        trouble.again_at = 0.0
    assert "it is tried again in 10 s" in caplog.text
    assert "it is tried again in 300 s" in caplog.text
    told_at_length = [record for record in caplog.records if record.exc_info]
    assert len(told_at_length) == 1, "the same reason was told at length again"


def test_a_model_that_is_offered_no_longer_is_loaded_for_what_was_begun_on_it(
    bench: Bench, tmp_path: Path
) -> None:
    log = bench.log
    BaseModel.objects.update(enabled=False)
    made = engines.Engines(log.pool, tmp_path)
    assert not made.load_missing(log.conn)
    log.run(log.team("a"))
    assert made.load_missing(log.conn)
    made.stop()
