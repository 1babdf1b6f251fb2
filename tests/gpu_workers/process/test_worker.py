"""A worker with a real engine on a real log: what comes out, what is refused, what is freed."""

from __future__ import annotations

import json

from checkpoints import store
from checkpoints.models import Checkpoint
from gpu_workers.log import capacity as limits
from gpu_workers.process import upkeep
from operations.models import Lane, Operation, Payload, Result
from runs.models import Sampler, Session
from tests.gpu_workers.bench import Bench, batch, body, create, results, step
from tests.support.sessions import end_sessions
from tinsmith.wire import wire_pb2


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
    upkeep.sweep(log.conn)
    assert not store.path(first.key).exists()


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
    assert worker.engines.report()["tinsmith/nano-qwen3"]["runs"] == 1
    end_sessions()
    bench.finish(run)
    waiting = Operation.objects.get(target=run.id, seq=5)
    assert (waiting.state, waiting.error_category) == ("failed", "user")
    bench.wait(lambda: worker.engines.report()["tinsmith/nano-qwen3"]["runs"] == 0, "the release")
    upkeep.sweep(log.conn)
    assert not store.path(key).exists()
    assert not Payload.objects.exists()


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
    end_sessions()
    bench.finish(run)
    bench.wait(
        lambda: worker.capacity.left() == (limits.MAX_OPERATIONS, limits.MAX_BYTES), "the way back"
    )


def test_a_session_on_two_workers_is_released_by_whoever_lets_go_last(bench: Bench) -> None:
    log = bench.log
    one, two = bench.start(), bench.start()
    team = log.team("a")
    session = log.session(team)
    runs = [log.run(team, number, session) for number in (0, 1)]
    for run, worker in zip(runs, (one, two), strict=True):
        Lane.objects.filter(target=run.id).update(worker_id=worker.id)
    end_sessions()
    bench.wait(lambda: Session.objects.get(id=session.id).released_at is not None, "the release")
