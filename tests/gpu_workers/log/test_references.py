"""dpo compared with weights by their name: who may, what it costs, and what a crash does to it."""

from __future__ import annotations

from typing import Any

import pytest

from catalog.models import BaseModel
from checkpoints import leftovers, store
from checkpoints.models import Checkpoint
from operations.models import Operation, Payload
from runs.models import Sampler, TrainingRun
from tests.gpu_workers.bench import Bench, batch, body, create, results, step
from tinsmith.wire import wire_pb2
from usage.models import Entry

TOKENS = 5 + 17  # of a pair that `batch` makes


def pair(run: TrainingRun, seq: int, reference: str | float | None, **changes: Any) -> bytes:
    """A pair of answers that is to be compared with what `reference` names."""
    made = batch(run, seq, seed=seq, loss_fn="dpo", weight=0.5)
    request = wire_pb2.ForwardBackwardRequest.FromString(made)
    if isinstance(reference, str):
        request.loss_fn_config_v2["dpo_reference"].text = reference
    elif reference is not None:
        request.loss_fn_config_v2["dpo_reference"].number = reference
    for datum in request.data if changes.get("with_logprobs") else ():
        datum.loss_fn_inputs["logprobs"].CopyFrom(datum.loss_fn_inputs["weights"])
    request.forward_only = bool(changes.get("forward_only"))
    return request.SerializeToString()


def compare(bench: Bench, run: TrainingRun, seq: int, reference: str | None) -> None:
    """A pair at `seq`, and a step behind it."""
    bench.log.submit(run, seq, "forward_backward", pair(run, seq, reference))
    rate = {"learning_rate": 1e-2}
    bench.log.submit(run, seq + 1, "optim_step", body(run, seq + 1, adam_params=rate))


@pytest.fixture
def teacher(bench: Bench) -> TrainingRun:
    """A run of team a's whose weights are saved as the checkpoint `ref` and as a sampler."""
    log = bench.log
    run = log.run(log.team("a"), seed=7)
    create(log, run)
    step(log, run, 1)
    log.submit(run, 3, "save_weights_for_sampler", body(run, 3, path="ref"))
    log.submit(run, 4, "save_weights_for_sampler", body(run, 4, sampling_session_seq_id=0))
    return run


def test_a_crash_changes_nothing_whatever_has_become_of_the_reference(
    bench: Bench, teacher: TrainingRun
) -> None:
    """Checkpoint and sampler are deleted before the crash; the files stay until nobody may ask."""
    log = bench.log
    first = bench.start()
    bench.finish(teacher)
    checkpoint, sampler = Checkpoint.objects.get(), Sampler.objects.get()
    assert sampler.weights_key is not None
    keys = {checkpoint.key, sampler.weights_key}
    calm, disturbed = log.run(teacher.team, seed=3), log.run(teacher.team, seed=3)
    plain = log.run(teacher.team, seed=3)
    for run in (calm, disturbed, plain):
        create(log, run)
        named = run is not plain
        compare(bench, run, 1, checkpoint.path if named else None)
        compare(bench, run, 3, sampler.id if named else None)
    log.submit(calm, 5, "forward_backward", pair(calm, 5, None))
    for run in (calm, disturbed, plain):
        bench.finish(run)
    found = results(disturbed)
    assert found[3] != results(plain)[3], "the reference changes nothing"

    checkpoint.delete()
    Sampler.objects.all().delete()
    leftovers.leave(log.conn, *keys)
    assert leftovers.delete_due(log.conn) == []
    bench.crash(first)
    log.submit(disturbed, 5, "forward_backward", pair(disturbed, 5, None))
    log.submit(disturbed, 6, "forward_backward", pair(disturbed, 6, checkpoint.path))
    bench.start()
    bench.finish(disturbed)
    after = results(disturbed)
    assert {seq: after[seq] for seq in found} == found
    assert after[5] == results(calm)[5], "the run is another after the crash"
    gone = Operation.objects.get(target=disturbed.id, seq=6)
    assert gone.error_category == "user"
    assert gone.error == f"there is no checkpoint {checkpoint.path}"
    Payload.objects.update(reads=None)
    assert set(leftovers.delete_due(log.conn)) == keys
    assert not any(store.path(key).exists() for key in keys)


def test_the_reference_is_paid_for_as_tokens_that_were_read(
    bench: Bench, teacher: TrainingRun
) -> None:
    log = bench.log
    bench.start()
    bench.finish(teacher)
    path = Checkpoint.objects.get().path
    run = log.run(teacher.team)
    create(log, run)
    log.submit(run, 1, "forward_backward", pair(run, 1, path))
    log.submit(run, 2, "forward_backward", pair(run, 2, None))
    log.submit(run, 3, "forward_backward", pair(run, 3, path, forward_only=True))
    log.submit(run, 4, "forward_backward", pair(run, 4, None, with_logprobs=True))
    bench.finish(run)
    used = {
        seq: dict(
            Entry.objects.filter(
                operation_id=Operation.objects.get(target=run.id, seq=seq).id
            ).values_list("kind", "quantity")
        )
        for seq in (1, 2, 3, 4)
    }
    both = {"train": TOKENS, "score": TOKENS}
    assert used == {1: both, 2: both, 3: {"score": 2 * TOKENS}, 4: {"train": TOKENS}}


def test_what_cannot_be_compared_with_is_the_users_error(
    bench: Bench, teacher: TrainingRun
) -> None:
    """Another team's weights are unknown; nothing of the run is lost, nothing is held."""
    log = bench.log
    bench.start()
    log.submit(teacher, 5, "save_weights_for_sampler", body(teacher, 5, path="pub"))
    flowing = {"sampling_session_seq_id": 1, "kind": "inflight"}
    log.submit(teacher, 6, "save_weights_for_sampler", body(teacher, 6, **flowing))
    bench.finish(teacher)
    own, public = (Checkpoint.objects.get(name=name) for name in ("ref", "pub"))
    Checkpoint.objects.filter(name="pub").update(public=True)
    frozen, inflight = Sampler.objects.order_by("number")
    other = BaseModel.objects.create(
        name="other", source="/nowhere", tokenizer_id="x", family="qwen3", max_context_length=9
    )
    strange = log.run(teacher.team)
    TrainingRun.objects.filter(id=strange.id).update(base_model=other)
    elsewhere = Checkpoint.objects.create(
        run=strange, team=teacher.team, segment="weights", name="x", key="k", size_bytes=1
    )

    theirs, ours = log.run(log.team("b")), log.run(teacher.team)
    wrong: list[tuple[TrainingRun, str | float, bool, str]] = [
        (theirs, own.path, False, f"there is no checkpoint {own.path}"),
        (theirs, frozen.id, False, f"there is no sampler {frozen.id}"),
        (ours, f"{own.path}x", False, "there is no checkpoint"),
        (ours, "ref", False, "there is no sampler ref"),
        (ours, inflight.id, False, "whose weights stay as they are"),
        (ours, elsewhere.path, False, "is of other, this run is on tinsmith/nano-qwen3"),
        (ours, 0.5, False, "dpo_reference is 0.5: a checkpoint's tinker:// path or"),
        (ours, own.path, True, "give the reference logprobs, or dpo_reference"),
    ]
    for run in (theirs, ours):
        create(log, run)
    places = []
    for run, name, with_logprobs, says in wrong:
        seq = 1 + sum(place[0] is run for place in places)
        places.append((run, seq, says))
        sent = pair(run, seq, name, with_logprobs=with_logprobs)
        log.submit(run, seq, "forward_backward", sent)
    for run in (theirs, ours):
        last = 1 + sum(place[0] is run for place in places)
        log.submit(run, last, "forward_backward", pair(run, 99, public.path))
        bench.finish(run)
    for run, seq, says in places:
        failed = Operation.objects.get(target=run.id, seq=seq)
        assert failed.error_category == "user"
        assert says in str(failed.error)
    assert set(results(theirs)) == {0, 3}
    assert results(theirs)[3] == results(ours)[7]
    assert set(Payload.objects.exclude(reads=None).values_list("reads", flat=True)) == {public.key}
