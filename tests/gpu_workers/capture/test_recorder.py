"""What a worker notes of runs that really train: numbers equal to those computed here by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import psycopg
import pytest

from captures import blocks, services
from captures.models import DatumStat, KeptTokens, StepStat
from events.models import Event
from gpu_workers.capture import measuring
from gpu_workers.capture.recorder import Recorder
from gpu_workers.capture.seen import Seen
from gpu_workers.log.finisher import Ended, Finisher
from operations.models import Result
from runs.models import TrainingRun
from tests.gpu_workers.bench import Bench, body, create, results, step
from tests.support.waiting import eventually
from tinsmith.wire import wire_pb2

ADAM = {"learning_rate": 1e-2}


def policy_batch(run: TrainingRun, seq: int, data: list[dict[str, np.ndarray]]) -> bytes:
    """A ppo batch; each datum has tokens, target_tokens, logprobs and advantages."""
    request = wire_pb2.ForwardBackwardRequest(model_id=run.id, seq_id=seq, loss_fn="ppo")
    for given in data:
        datum = request.data.add()
        datum.model_input.add().encoded_text.tokens = given["tokens"].astype("<i4").tobytes()
        for name in ("target_tokens", "logprobs", "advantages"):
            whole = name == "target_tokens"
            tensor = datum.loss_fn_inputs[name]
            tensor.dense = given[name].astype("<i8" if whole else "<f4").tobytes()
            tensor.dtype = wire_pb2.DTYPE_INT64 if whole else wire_pb2.DTYPE_FLOAT32
            tensor.shape.append(len(given[name]))
    return request.SerializeToString()


def answer_of(run: TrainingRun, seq: int) -> tuple[dict[str, float], list[np.ndarray]]:
    """Metrics and logprobs as the client gets them."""
    output = wire_pb2.ForwardBackwardOutput.FromString(results(run)[seq])
    arrays = []
    for record in output.loss_fn_outputs:
        tensor = record.fields["logprobs"]
        offsets = np.frombuffer(tensor.offsets, "<i8")
        arrays += [
            np.frombuffer(tensor.data[start:end], "<f4")
            for start, end in itertools.pairwise(offsets)
        ]
    return dict(output.metrics), arrays


def rollouts() -> list[dict[str, np.ndarray]]:
    """Two groups of two: one whose advantages differ, one that is constant."""
    random = np.random.default_rng(3)
    data = []
    for group, (one, other) in enumerate(((1.0, -1.0), (0.0, 0.0))):
        prompt = random.integers(0, 400, 4 + group)
        for advantage in (one, other):
            answer = random.integers(0, 400, 6)
            tokens = np.concatenate([prompt, answer])
            asked = len(prompt) - 1
            data.append(
                {
                    "tokens": tokens[:-1],
                    "target_tokens": tokens[1:],
                    "logprobs": np.concatenate([np.zeros(asked), random.uniform(-6, -4, 6)]),
                    "advantages": np.concatenate([np.zeros(asked), np.full(6, advantage)]),
                }
            )
    return data


def captured(run: TrainingRun, steps: int) -> list[StepStat]:
    """The rows of a run's steps, once there are so many."""
    eventually(lambda: StepStat.objects.filter(run=run).count() >= steps, within_s=20)
    return list(StepStat.objects.filter(run=run).order_by("step"))


def test_supervised_steps(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    step(bench.log, run, 3)
    bench.start()
    bench.finish(run)
    rows = captured(run, 2)
    assert [(row.step, row.first_seq, row.last_seq) for row in rows] == [(0, 1, 2), (1, 3, 4)]
    for row in rows:
        metrics, logprobs = answer_of(run, row.first_seq)
        stepped = json.loads(results(run)[row.last_seq])["metrics"]
        assert row.loss_sum == metrics["loss:sum"]
        assert row.loss_sum == pytest.approx(-sum(array.sum() for array in logprobs), rel=1e-5)
        assert (row.loss_fn, row.passes, row.datums) == ("cross_entropy", 1, 2)
        assert (row.tokens, row.trained_tokens) == (22, 22)
        assert row.grad_norm == stepped["unclipped_grad_norm:mean"]
        assert row.learning_rate == 1e-2
        assert row.kl_v1 is row.accuracy is row.groups is None
    assert rows[0].seconds is None
    assert rows[1].seconds is not None
    assert rows[1].seconds > 0
    told = Event.objects.filter(run_id=run.id, kind="steps.captured")
    assert {event.data["last_step"] for event in told} >= {1}


def test_a_step_of_several_passes_adds_up(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    data = rollouts()
    create(bench.log, run)
    bench.log.submit(run, 1, "forward_backward", policy_batch(run, 1, data[:3]))
    bench.log.submit(run, 2, "forward_backward", policy_batch(run, 2, data[3:]))
    bench.log.submit(run, 3, "optim_step", body(run, 3, adam_params=ADAM))
    bench.start()
    bench.finish(run)
    (row,) = captured(run, 1)
    p = np.concatenate([*answer_of(run, 1)[1], *answer_of(run, 2)[1]]).astype(np.float64)
    q = np.concatenate([one["logprobs"] for one in data]).astype(np.float32)
    gap = (p - q)[q != 0]
    ratio = np.sort(np.exp(gap))
    assert (row.passes, row.datums, row.sampled_tokens, row.trained_tokens) == (2, 4, 24, 24)
    assert row.kl_v1 == pytest.approx(-gap.mean(), rel=1e-6)
    assert row.kl_v2 == pytest.approx((gap**2).mean() / 2, rel=1e-6)
    assert row.entropy == pytest.approx(-q[q != 0].mean(), rel=1e-6)
    assert row.ratio_p50 == pytest.approx(ratio[11], rel=1e-5)
    assert row.ratio_p99 == pytest.approx(ratio[23], rel=1e-5)
    assert row.clipped_share == pytest.approx(((ratio < 0.8) | (ratio > 1.2)).mean(), rel=1e-6)
    assert (row.groups, row.mixed_share, row.constant_share) == (2, 0.5, 0.5)
    assert (row.length_mean, row.length_max) == (6, 6)


def test_datums_are_kept_with_their_tokens(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    data = rollouts()
    create(bench.log, run)
    bench.log.submit(run, 1, "forward_backward", policy_batch(run, 1, data))
    bench.log.submit(run, 2, "optim_step", body(run, 2, adam_params=ADAM))
    bench.start()
    bench.finish(run)
    captured(run, 1)
    rows = list(DatumStat.objects.filter(run=run).order_by("place"))
    metrics, logprobs = answer_of(run, 1)
    assert sum(row.loss for row in rows) == pytest.approx(metrics["loss:sum"], abs=1e-6)
    prompts = [row.prompt_hash for row in rows]
    assert prompts[0] == prompts[1] != prompts[2] == prompts[3]
    assert len({row.hash for row in rows}) == 4
    for row, given, p in zip(rows, data, logprobs, strict=True):
        assert (row.step, row.tokens, row.trained_tokens) == (0, len(given["tokens"]), 6)
        assert row.advantage == given["advantages"][-1]
        assert row.logprob == pytest.approx(p[-6:].mean(), rel=1e-6)
        assert row.sampled_logprob == pytest.approx(given["logprobs"][-6:].mean(), rel=1e-6)
        found = blocks.decode(
            blocks.read(row.block or "", row.offset or 0, row.length or 0), row.part or 0
        )
        assert (found["tokens"] == given["tokens"]).all()
        assert (found["targets"] == given["target_tokens"]).all()
        assert (found["trained"] == (given["logprobs"] != 0)).all()
        assert found["logprobs"] == pytest.approx(p, abs=0.01)
        assert found["sampled"] == pytest.approx(given["logprobs"], abs=0.01)
        assert found["advantages"] == pytest.approx(given["advantages"])
    kept = KeptTokens.objects.get(run=run, step=0)
    assert kept.size_bytes == (blocks.store.path(kept.key) / blocks.FILE).stat().st_size


@pytest.mark.parametrize("by", ["team", "program"])
def test_no_tokens_are_kept_where_they_are_not_wanted(bench: Bench, by: str) -> None:
    team = bench.log.team("team")
    run = bench.log.run(team, user_metadata={"capture": "off"} if by == "program" else {})
    if by == "team":
        team.capture_tokens = False
        team.save()
    create(bench.log, run)
    step(bench.log, run, 1)
    bench.start()
    bench.finish(run)
    captured(run, 1)
    assert set(DatumStat.objects.filter(run=run).values_list("block", flat=True)) == {None}
    assert not blocks.store.path(blocks.key(run.id, 0)).exists()


def test_what_a_dead_worker_had_no_time_to_note_is_noted_by_the_next(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    for seq in (1, 3, 5):
        step(bench.log, run, seq)
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "put", lambda recorder, seen: None)
        worker = bench.start()
        bench.finish(run)
        bench.crash(worker)
    assert not StepStat.objects.filter(run=run).exists()
    step(bench.log, run, 7)
    notes: list[Seen] = []
    put = Recorder.put

    def noted(recorder: Recorder, seen: Iterable[Seen]) -> None:
        notes.extend(own := list(seen))
        put(recorder, own)

    monkeypatch.setattr(Recorder, "put", noted)
    bench.start()
    bench.finish(run)
    rows = captured(run, 4)
    assert [note.taken_up for note in notes] == [True] + [False] * 8
    assert [(row.step, row.first_seq, row.last_seq) for row in rows] == [
        (0, 1, 2),
        (1, 3, 4),
        (2, 5, 6),
        (3, 7, 8),
    ]
    for row in rows:
        assert row.loss_sum == answer_of(run, row.first_seq)[0]["loss:sum"]


def test_a_dropped_gradient_is_part_of_no_step(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    bench.log.submit(run, 3, "save_weights", body(run, 3, path="one"))
    bench.start()
    bench.finish(run)
    bench.log.submit(run, 4, "forward_backward", policy_batch(run, 4, rollouts()))
    address = f"tinker://{run.id}/weights/one"
    bench.log.submit(run, 5, "load_weights", body(run, 5, path=address, optimizer=True))
    step(bench.log, run, 6)
    bench.finish(run)
    rows = captured(run, 2)
    assert [(row.first_seq, row.datums) for row in rows] == [(1, 2), (6, 2)]
    eventually(lambda: DatumStat.objects.filter(run=run).count() == 4, within_s=20)
    assert set(DatumStat.objects.filter(run=run).values_list("seq", flat=True)) == {1, 6}


def test_a_store_without_room_costs_frames_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(key: str, encoded: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(blocks, "append", full)
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    worker = bench.start()
    bench.finish(run)
    captured(run, 1)
    assert worker.recorder.unkept == 1
    assert DatumStat.objects.filter(run=run, block=None).count() == 2
    assert Result.objects.filter(operation__target=run.id).count() == 3


def test_what_does_not_fit_is_forgotten_and_its_step_is_not_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_workers.capture.recorder.MOST_BYTES", 10)
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    worker = bench.start()
    bench.finish(run)
    eventually(lambda: worker.recorder.forgotten == 1, within_s=20)
    monkeypatch.setattr("gpu_workers.capture.recorder.MOST_BYTES", 2**20)
    step(bench.log, run, 3)
    bench.finish(run)
    assert [row.step for row in captured(run, 1)] == [1]


def test_a_fault_of_the_database_costs_what_it_is_about(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    worker = bench.start()

    def broken(self: Recorder, conn: Any, batch: Any) -> None:
        raise RuntimeError("no such table")

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "_write", broken)
        bench.finish(run)
        eventually(lambda: worker.recorder.forgotten == 2, within_s=20)
    step(bench.log, run, 3)
    bench.finish(run)
    assert [row.step for row in captured(run, 1)] == [1]


def test_a_step_of_which_a_pass_is_lost_is_not_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    bench.log.submit(run, 1, "forward_backward", policy_batch(run, 1, rollouts()))
    worker = bench.start()

    def broken(self: Recorder, conn: Any, batch: Any) -> None:
        raise RuntimeError("no such table")

    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "_write", broken)
        bench.finish(run)
        eventually(lambda: worker.recorder.forgotten == 1, within_s=20)
    step(bench.log, run, 2)
    step(bench.log, run, 4)
    bench.finish(run)
    eventually(lambda: DatumStat.objects.filter(run=run, seq=4).exists(), within_s=20)
    assert [(row.step, row.first_seq) for row in captured(run, 1)] == [(1, 4)]


def test_what_is_kept_to_be_noted_takes_room_until_it_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Ended] = []
    put = Finisher.put

    def taken(finisher: Finisher, one: Ended) -> None:
        ended.append(one)
        put(finisher, one)

    monkeypatch.setattr(Finisher, "put", taken)
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    bench.start()
    bench.finish(run)
    (trained,) = [one for one in ended if one.seen is not None and one.seen.size]
    # tokens, targets, weights and logprobs
    assert trained.size == 22 * (4 + 8 + 4 + 4)


def test_answers_do_not_depend_on_who_notes_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = bench.log.team("team")
    noted, unnoted = bench.log.run(team, seed=3), bench.log.run(team, seed=3)
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "put", lambda recorder, seen: None)
        worker = bench.start()
        create(bench.log, unnoted)
        step(bench.log, unnoted, 1)
        step(bench.log, unnoted, 3)
        bench.finish(unnoted)
        worker.stop()
    bench.start()
    create(bench.log, noted)
    step(bench.log, noted, 1)
    step(bench.log, noted, 3)
    bench.finish(noted)
    captured(noted, 2)
    assert not StepStat.objects.filter(run=unnoted).exists()
    answers = results(noted), results(unnoted)
    for seq in range(1, 5):
        assert answers[0][seq] == answers[1][seq]


def test_a_database_that_is_away_for_a_while_costs_no_step(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_workers.capture.recorder.RETRY_S", 0.05)
    write, away = services.write, iter(range(3))

    def sometimes(conn: Any, **given: Any) -> None:
        if next(away, None) is not None:
            raise psycopg.OperationalError("the connection is lost")
        write(conn, **given)

    monkeypatch.setattr(services, "write", sometimes)
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    step(bench.log, run, 3)
    worker = bench.start()
    bench.finish(run)
    assert [row.step for row in captured(run, 2)] == [0, 1]
    assert DatumStat.objects.filter(run=run).count() == 4
    assert worker.recorder.forgotten == 0


def test_what_is_done_again_after_a_crash_is_kept_once(bench: Bench) -> None:
    run = bench.log.run(bench.log.team("team"))
    create(bench.log, run)
    step(bench.log, run, 1)
    worker = bench.start()
    bench.finish(run)
    captured(run, 1)
    file = blocks.store.path(blocks.key(run.id, 0)) / blocks.FILE
    size = file.stat().st_size
    bench.crash(worker)
    step(bench.log, run, 3)
    bench.start()
    bench.finish(run)
    assert [row.step for row in captured(run, 2)] == [0, 1]
    assert file.stat().st_size == KeptTokens.objects.get(run=run, step=0).size_bytes == size
    assert DatumStat.objects.filter(run=run).count() == 4


def test_a_pass_that_cannot_be_measured_costs_its_own_step_only(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = measuring.measure

    def measure(run_id: str, number: int, seq: int, *given: Any) -> Any:
        if run_id == odd.id and seq == 1:
            raise ValueError("an odd pass")
        return whole(run_id, number, seq, *given)

    monkeypatch.setattr("gpu_workers.capture.recorder.measure", measure)
    odd, other = (bench.log.run(bench.log.team(name)) for name in ("odd", "other"))
    for run in (odd, other):
        create(bench.log, run)
        step(bench.log, run, 1)
        step(bench.log, run, 3)
    bench.start()
    bench.finish(odd)
    bench.finish(other)
    assert [row.step for row in captured(other, 2)] == [0, 1]
    assert [row.step for row in captured(odd, 1)] == [1]
