"""A worker with a real engine on a real log: what comes out, what a crash leaves, what is freed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from catalog.models import BaseModel
from checkpoints import store
from checkpoints.models import Checkpoint
from core import database
from gpu_workers import drain, nano, plans, progress
from gpu_workers.worker import Worker
from operations import workers
from operations.models import Operation, Payload, Result
from runs.models import Sampler, Session, TrainingRun
from tests.support.log import Log
from tinsmith.wire import wire_pb2

WITHIN_S = 60.0


class Bench:
    """Workers that drain in threads of this process, and the log they work on."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.running: list[tuple[Worker, threading.Thread, threading.Event]] = []

    def start(self) -> Worker:
        """A worker that drains until it is stopped."""
        worker = Worker(self.log.pool)
        worker.start()
        self.adopt(worker)
        return worker

    def adopt(self, worker: Worker) -> None:
        """Let a started worker drain."""
        paused = threading.Event()
        thread = threading.Thread(target=self._drain, args=[worker, paused], daemon=True)
        thread.start()
        self.running.append((worker, thread, paused))

    def pause(self, worker: Worker) -> None:
        """Let a worker stop draining, without its stopping."""
        for index, (each, thread, paused) in enumerate(self.running):
            if each is worker:
                paused.set()
                self.running.pop(index)
                self.log.conn.execute("SELECT pg_notify('tinsmith_work', 'default work')")
                thread.join(20)
                assert not thread.is_alive()

    def _drain(self, worker: Worker, paused: threading.Event) -> None:
        while not worker.stopping.is_set() and not paused.is_set():
            worker.drain()

    def crash(self, worker: Worker) -> None:
        """What `kill -9` leaves: nothing more is written and the lease runs out."""
        worker.finisher.put = lambda ended: None  # type: ignore[method-assign]
        worker.finisher.call = lambda job: None  # type: ignore[method-assign]
        worker.stop()
        workers.retire(self.log.conn, worker_id=worker.id)

    def stop(self) -> None:
        """Stop every worker."""
        for worker, thread, _ in self.running:
            worker.stop()
            thread.join(20)
            assert not thread.is_alive()

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`, ringing as a submitter would."""
        deadline = time.monotonic() + WITHIN_S
        while not done():
            assert time.monotonic() < deadline, f"{what} did not happen in {WITHIN_S:.0f} s"
            self.log.conn.execute("SELECT pg_notify('tinsmith_work', 'default change')")
            time.sleep(0.05)

    def finish(self, run: TrainingRun) -> None:
        """Wait until everything asked of a run has its outcome."""
        self.wait(
            lambda: (
                not Operation.objects.filter(
                    target=run.id, state__in=["queued", "running"]
                ).exists()
            ),
            f"the work of {run.id}",
        )


@pytest.fixture
def bench(transactional_db: None, tmp_path: Path, settings) -> Iterator[Bench]:
    """Workers of a pool that offers the nano Qwen3."""
    settings.DATA_DIR = tmp_path
    base_model = BaseModel.objects.create(
        name="tinsmith/nano-qwen3",
        source=str(nano.folder("nano-qwen3")),
        tokenizer_id="x",
        family="qwen3",
        max_context_length=256,
    )
    with database.connect() as conn:
        made = Bench(Log(conn, base_model))
        yield made
        made.stop()


def batch(run: TrainingRun, seq: int, seed: int, **changes: object) -> bytes:
    """A small cross-entropy batch; the same seed gives the same batch."""
    random = np.random.default_rng(seed)
    request = wire_pb2.ForwardBackwardRequest(
        model_id=run.id, seq_id=seq, loss_fn=changes.get("loss_fn", "cross_entropy")
    )
    for length in (5, 17):
        tokens = random.integers(0, 400, length + 1)
        datum = request.data.add()
        datum.model_input.add().encoded_text.tokens = tokens[:-1].astype("<i4").tobytes()
        target = datum.loss_fn_inputs["target_tokens"]
        target.dense, target.dtype = tokens[1:].astype("<i8").tobytes(), wire_pb2.DTYPE_INT64
        target.shape.append(length)
        weights = datum.loss_fn_inputs["weights"]
        values = np.full(length, changes.get("weight", 1.0))
        weights.dense, weights.dtype = values.astype("<f4").tobytes(), wire_pb2.DTYPE_FLOAT32
        weights.shape.append(length)
    return request.SerializeToString()


def body(run: TrainingRun, seq: int, **fields: object) -> bytes:
    """A JSON body of an operation on a run."""
    return json.dumps({"model_id": run.id, "seq_id": seq, **fields}).encode()


def create(log: Log, run: TrainingRun) -> None:
    """Operation 0."""
    log.submit(run, 0, "create_run", b"{}")


def step(log: Log, run: TrainingRun, seq: int) -> None:
    """A batch at `seq` and the optimizer step behind it."""
    log.submit(run, seq, "forward_backward", batch(run, seq, seed=seq))
    rate = {"learning_rate": 1e-2}
    log.submit(run, seq + 1, "optim_step", body(run, seq + 1, adam_params=rate))


def results(run: TrainingRun) -> dict[int, bytes]:
    """seq → answer."""
    found = Result.objects.filter(operation__target=run.id).select_related("operation")
    return {result.operation.seq: bytes(result.body) for result in found}


def loss(answer: bytes) -> float:
    return wire_pb2.ForwardBackwardOutput.FromString(answer).metrics["loss:sum"]


def test_a_run_trains_saves_and_samples(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    for seq in range(1, 21, 2):
        log.submit(run, seq, "forward_backward", batch(run, seq, seed=7))
        rate = {"learning_rate": 1e-2}
        log.submit(run, seq + 1, "optim_step", body(run, seq + 1, adam_params=rate))
    log.submit(run, 21, "save_weights", body(run, 21, path="final", overwrite=False))
    log.submit(
        run, 22, "save_weights_for_sampler", body(run, 22, sampling_session_seq_id=5, path=None)
    )
    bench.finish(run)

    answers = results(run)
    assert json.loads(answers[0]) == {"type": "create_model", "model_id": run.id}
    assert loss(answers[19]) < loss(answers[1]) / 2
    checkpoint = Checkpoint.objects.get()
    assert json.loads(answers[21])["path"] == checkpoint.path == f"tinker://{run.id}/weights/final"
    files = {file.name for file in store.path(checkpoint.key).iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= files
    sampler = Sampler.objects.get()
    assert json.loads(answers[22])["sampling_session_id"] == sampler.id

    request = {
        "sampling_session_id": sampler.id,
        "seq_id": 0,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3]}]},
        "sampling_params": {"max_tokens": 4, "stop": []},
    }
    operation = log.submit(sampler, 0, "sample", json.dumps(request).encode())
    bench.wait(lambda: Result.objects.filter(operation=operation).exists(), "the sample")
    response = wire_pb2.SampleResponse.FromString(Result.objects.get(operation=operation).body)
    assert [len(sequence.tokens) // 4 for sequence in response.sequences] == [4, 4]
    assert not Payload.objects.filter(operation=operation).exists()


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
    bench.wait(lambda: TrainingRun.objects.get(id=disturbed.id).snapshot_seq > 0, "a recovery copy")
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


def test_a_user_error_leaves_no_trace_in_the_numbers(bench: Bench) -> None:
    log = bench.log
    bench.start()
    team = log.team("a")
    clean, careless = log.run(team, seed=5), log.run(team, seed=5)
    for run in (clean, careless):
        create(log, run)
    step(log, clean, 1)
    log.submit(clean, 3, "forward_backward", batch(clean, 3, seed=9))

    bad = {
        1: ("forward_backward", batch(careless, 1, 1, loss_fn="hinge")),
        2: ("forward_backward", batch(careless, 2, 1, weight=float("nan"))),
        3: ("forward_backward", b"\xff\xff\xff"),
        4: ("optim_step", body(careless, 4, adam_params={"momentum": 0.9})),
        5: ("save_weights", body(careless, 5, path="../up")),
        6: ("load_weights", body(careless, 6, path="tinker://x/weights/y", optimizer=True)),
        7: ("refused", b"the request body is too large"),
    }
    for seq, (kind, text) in bad.items():
        log.submit(careless, seq, kind, text)
    log.submit(careless, 8, "forward_backward", batch(careless, 1, seed=1))
    rate = {"learning_rate": 1e-2}
    log.submit(careless, 9, "optim_step", body(careless, 9, adam_params=rate))
    log.submit(careless, 10, "forward_backward", batch(careless, 3, seed=9))
    bench.finish(clean)
    bench.finish(careless)

    failed = Operation.objects.filter(target=careless.id, state="failed")
    assert {operation.seq for operation in failed} == set(bad)
    assert {operation.error_category for operation in failed} == {"user"}
    messages = {operation.seq: operation.error for operation in failed}
    assert "hinge" in messages[1]
    assert "cross_entropy" in messages[1]
    assert "momentum" in messages[4]
    assert "learning_rate" in messages[4]
    assert messages[7] == "the request body is too large"
    assert results(careless)[8] == results(clean)[1]
    assert results(careless)[10] == results(clean)[3]
    assert not Checkpoint.objects.exists()


def test_a_taken_name_is_refused_and_the_first_stays(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    log.submit(run, 1, "save_weights", body(run, 1, path="one", overwrite=False))
    log.submit(run, 2, "save_weights", body(run, 2, path="one", overwrite=False))
    bench.finish(run)
    first = Checkpoint.objects.get()
    assert Operation.objects.get(target=run.id, seq=2).error_category == "user"
    assert store.path(first.key).is_dir()
    log.submit(run, 3, "save_weights", body(run, 3, path="one", overwrite=True))
    bench.finish(run)
    second = Checkpoint.objects.get()
    assert second.key != first.key
    assert store.path(second.key).is_dir()
    bench.wait(lambda: not store.path(first.key).exists(), "the deletion of what was replaced")


def test_an_ended_session_frees_everything(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    step(log, run, 1)
    log.submit(run, 3, "save_weights_for_sampler", body(run, 3, sampling_session_seq_id=0))
    # its predecessor never comes
    log.submit(run, 5, "optim_step", body(run, 5))
    bench.wait(lambda: Sampler.objects.exists(), "the sampler")
    key = Sampler.objects.get().weights_key
    assert store.path(key).is_dir()
    assert worker.report()["tinsmith/nano-qwen3"]["runs"] == 1
    log.conn.execute("UPDATE runs_session SET ended_at = now(), end_reason = 'success'")
    bench.finish(run)
    waiting = Operation.objects.get(target=run.id, seq=5)
    assert (waiting.state, waiting.error_category) == ("failed", "user")
    bench.wait(lambda: worker.report()["tinsmith/nano-qwen3"]["runs"] == 0, "the release")
    assert not store.path(key).exists()
    assert not Payload.objects.exists()


def test_a_worker_declared_dead_starts_over_exactly(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    team = log.team("a")
    run, calm = log.run(team, seed=2), log.run(team, seed=2)
    for each in (run, calm):
        create(log, each)
        step(log, each, 1)
        bench.finish(each)
    step(log, calm, 3)
    bench.finish(calm)
    # the lease runs out and nobody else is there; the next pulse notices
    workers.retire(log.conn, worker_id=worker.id)
    worker.pulse_now(log.conn)
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
    bench.wait(lambda: TrainingRun.objects.get(id=run.id).snapshot_seq > 0, "a recovery copy")
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


def test_a_session_that_ends_with_work_in_hand_gives_all_capacity_back(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    for seq in range(1, 101):
        log.submit(run, seq, "forward_backward", batch(run, seq, seed=seq))
    bench.wait(
        lambda: Operation.objects.filter(target=run.id, state="done").count() >= 5, "a beginning"
    )
    log.conn.execute("UPDATE runs_session SET ended_at = now(), end_reason = 'success'")
    bench.finish(run)
    bench.wait(
        lambda: worker.capacity.left() == (drain.MAX_OPERATIONS, drain.MAX_BYTES), "the way back"
    )


def test_a_session_on_two_workers_is_released_by_whoever_lets_go_last(bench: Bench) -> None:
    log = bench.log
    one, two = bench.start(), bench.start()
    team = log.team("a")
    session = log.session(team)
    runs = [log.run(team, number, session) for number in (0, 1)]
    for run, worker in zip(runs, (one, two), strict=True):
        TrainingRun.objects.filter(id=run.id).update(worker_id=worker.id)
    log.conn.execute("UPDATE runs_session SET ended_at = now(), end_reason = 'success'")
    bench.wait(lambda: Session.objects.get(id=session.id).released_at is not None, "the release")


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
    team = log.team("a")
    run, calm = log.run(team, seed=2), log.run(team, seed=2)
    for each in (run, calm):
        create(log, each)
        step(log, each, 1)
        bench.finish(each)
    step(log, calm, 3)
    bench.finish(calm)
    bench.pause(worker)
    workers.retire(log.conn, worker_id=worker.id)
    step(log, run, 3)
    bench.adopt(worker)
    bench.finish(run)
    assert results(run)[3] == results(calm)[3]
    assert not Session.objects.filter(ended_at__isnull=False).exists()
