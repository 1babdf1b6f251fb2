"""What a worker with a real engine does about checkpoints, and what it enters into the ledger."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone
from peft import PeftModel
from transformers import AutoModelForCausalLM

from audit.models import Entry
from checkpoints import store
from checkpoints.models import Checkpoint
from core import database
from gpu_workers import nano
from gpu_workers.engines import told_as
from gpu_workers.log import progress
from gpu_workers.process import upkeep
from operations.models import Lane, Operation
from runs.models import Parent, Sampler, Session
from tests.gpu_workers.bench import Bench, batch, body, create, results, step
from usage.models import Entry as UsageEntry


def used(target: str) -> dict[tuple[int, str], int]:
    """What the ledger holds for a run or sampler: (seq, kind) → quantity."""
    seqs = dict(Operation.objects.filter(target=target).values_list("id", "seq"))
    return {
        (seqs[entry.operation_id], entry.kind): entry.quantity
        for entry in UsageEntry.objects.filter(target=target)
    }


@pytest.mark.parametrize(
    ("name", "source", "told"),
    [
        ("team/our-qwen", "Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("team/our-qwen", "/srv/models/qwen", "team/our-qwen"),
    ],
)
def test_an_adapter_says_where_its_base_is_without_a_path(
    name: str, source: str, told: str
) -> None:
    assert told_as(name, source) == told


def test_external_weights_are_what_peft_loads(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    step(log, run, 1)
    log.submit(run, 3, "save_weights_external", body(run, 3, path="e1", ttl_seconds=3600))
    recipients = ["age1xyz"]
    log.submit(
        run,
        4,
        "save_weights_external",
        body(run, 4, path="e2", age_encryption_recipients=recipients),
    )
    log.submit(run, 5, "save_weights_external", body(run, 5, path="e1"))
    bench.finish(run)
    saved = Checkpoint.objects.get()
    assert saved.path == f"tinker://{run.id}/external_weights/e1"
    assert saved.expires_at is not None
    assert json.loads(results(run)[3]) == {
        "type": "save_weights_external",
        "path": saved.path,
        "size_bytes": saved.size_bytes,
    }
    folder = store.path(saved.key)
    files = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert set(files) == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"]) == ("LORA", run.rank)
    assert config["base_model_name_or_path"] == run.base_model.name
    assert str(nano.folder("nano-qwen3").parent) not in (folder / "adapter_config.json").read_text()
    base = AutoModelForCausalLM.from_pretrained(nano.folder(config["base_model_name_or_path"]))
    assert isinstance(PeftModel.from_pretrained(base, folder), PeftModel)
    refused = Operation.objects.get(target=run.id, seq=4)
    assert (refused.error_category, "age_encryption_recipients" in (refused.error or "")) == (
        "user",
        True,
    )
    taken = Operation.objects.get(target=run.id, seq=5)
    assert (taken.error_category, "e1" in (taken.error or "")) == ("user", True)
    assert [entry.target for entry in Entry.objects.filter(event="checkpoint.saved")] == [
        saved.path
    ]


def test_metadata_of_checkpoints_is_text(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    log.submit(run, 1, "save_weights", body(run, 1, path="s", user_metadata={"a": 1, "b": "x"}))
    log.submit(run, 2, "save_weights", body(run, 2, path="t", user_metadata={"a": "x" * 70_000}))
    bench.finish(run)
    assert Checkpoint.objects.get().user_metadata == {"a": "1", "b": "x"}
    assert Operation.objects.get(target=run.id, seq=2).error_category == "user"


def test_another_teams_checkpoint_needs_its_key_or_its_publication(bench: Bench) -> None:
    log = bench.log
    bench.start()
    owner, reader = log.team("owner"), log.team("reader")
    source = log.run(owner, seed=4)
    create(log, source)
    step(log, source, 1)
    log.submit(source, 3, "save_weights", body(source, 3, path="s"))
    log.submit(source, 4, "forward_backward", batch(source, 4, seed=9))
    bench.finish(source)
    path = Checkpoint.objects.get().path
    run = log.run(reader, seed=5)
    create(log, run)
    load = {"path": path, "optimizer": True}
    log.submit(run, 1, "load_weights", body(run, 1, **load))
    grant = f"team:{owner.id}"
    log.submit(run, 2, "load_weights", body(run, 2, **load, weights_access_token=grant))
    log.submit(run, 3, "forward_backward", batch(run, 3, seed=9))
    bench.finish(run)
    assert Operation.objects.get(target=run.id, seq=1).error == f"there is no checkpoint {path}"
    assert results(run)[3] == results(source)[4]
    Checkpoint.objects.update(public=True)
    log.submit(run, 4, "load_weights", body(run, 4, **load))
    bench.finish(run)
    assert Operation.objects.get(target=run.id, seq=4).state == "done"
    # what failed is no parent
    noted = Parent.objects.order_by("seq").values_list("run_id", "seq", "how", "source")
    assert list(noted) == [(run.id, seq, "loaded", path) for seq in (2, 4)]


def test_a_checkpoint_of_another_shape_is_refused_and_changes_nothing(bench: Bench) -> None:
    log = bench.log
    bench.start()
    team = log.team("a")
    source = log.run(team, seed=4)
    create(log, source)
    log.submit(source, 1, "save_weights", body(source, 1, path="s"))
    log.submit(source, 2, "save_weights_for_sampler", body(source, 2, path="w"))
    bench.finish(source)
    paths = {item.segment: item.path for item in Checkpoint.objects.all()}
    others = {
        "rank": log.run(team, seed=5, rank=4),
        "train_mlp": log.run(team, seed=5, train_mlp=False),
        "optimizer": log.run(team, seed=4),
    }
    for word, run in others.items():
        create(log, run)
        path = paths["sampler_weights" if word == "optimizer" else "weights"]
        log.submit(run, 1, "load_weights", body(run, 1, path=path, optimizer=True))
        bench.finish(run)
        refused = Operation.objects.get(target=run.id, seq=1)
        assert (refused.error_category, word in str(refused.error)) == ("user", True)
    calm, careless = log.run(team, seed=5, rank=4), others["rank"]
    create(log, calm)
    log.submit(calm, 1, "forward_backward", batch(calm, 1, seed=9))
    log.submit(careless, 2, "forward_backward", batch(careless, 2, seed=9))
    bench.finish(calm)
    bench.finish(careless)
    assert results(careless)[2] == results(calm)[1]


@pytest.mark.parametrize("name", ["w", "gone"], ids=["by the engine", "by the plan"])
def test_a_run_that_could_not_be_made_of_a_checkpoint_does_nothing_else(
    bench: Bench, name: str
) -> None:
    """It would be untrained, which nobody asked for; nor after a restart."""
    log = bench.log
    first = bench.start()
    team = log.team("a")
    source = log.run(team)
    create(log, source)
    log.submit(source, 1, "save_weights_for_sampler", body(source, 1, path="w"))
    bench.finish(source)
    run = log.run(team)
    path = f"tinker://{source.id}/sampler_weights/{name}"
    fields = {"session_id": run.session_id, "model_seq_id": 0, "path": path, "optimizer": True}
    log.submit(run, 0, "create_run_from_checkpoint", json.dumps(fields).encode())
    step(log, run, 1)
    bench.finish(run)
    bench.crash(first)
    step(log, run, 3)
    bench.start()
    bench.finish(run)
    failed = Operation.objects.filter(target=run.id)
    assert set(failed.values_list("state", "error_category")) == {("failed", "user")}
    word = "optimizer" if name == "w" else "no checkpoint"
    assert all(word in str(item.error) for item in failed)


def test_the_sweep_deletes_expired_checkpoints(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    log.submit(run, 1, "save_weights", body(run, 1, path="old", ttl_seconds=3600))
    log.submit(run, 2, "save_weights", body(run, 2, path="new"))
    bench.finish(run)
    old, new = Checkpoint.objects.get(name="old"), Checkpoint.objects.get(name="new")
    with database.connect() as conn:
        upkeep.sweep(conn)
        assert store.path(old.key).is_dir()
        Checkpoint.objects.filter(name="old").update(expires_at=timezone.now() - timedelta(1))
        upkeep.sweep(conn)
    assert Checkpoint.objects.get() == new
    assert (store.path(old.key).exists(), store.path(new.key).is_dir()) == (False, True)
    # the name is free again
    log.submit(run, 3, "save_weights", body(run, 3, path="old"))
    bench.finish(run)
    assert Checkpoint.objects.filter(name="old").exists()


def test_the_ledger_counts_what_was_done(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run, sampler = log.run(log.team("a")), log.sampler(log.team("b"))
    create(log, run)
    step(log, run, 1)
    log.submit(run, 3, "forward_backward", batch(run, 3, 1, loss_fn="hinge"))
    log.submit(run, 4, "save_weights", body(run, 4, path="s"))
    request = {
        "sampling_session_id": sampler.id,
        "seq_id": 0,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3]}]},
        "sampling_params": {"max_tokens": 4, "stop": []},
    }
    log.submit(sampler, 0, "sample", json.dumps(request).encode())
    bench.finish(run)
    bench.wait(lambda: UsageEntry.objects.filter(kind="sample").exists(), "the sample")
    assert used(run.id) == {(1, "train"): 22, (4, "checkpoint"): 1}
    counted = used(sampler.id)
    assert counted.pop((0, "sample")) == 8
    assert sum(counted.values()) == 3


def test_a_run_that_cannot_be_restored_ends_its_session(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its checkpoint was deleted before a recovery copy held what had been loaded from it."""
    log = bench.log
    monkeypatch.setattr(progress.RunProgress, "snapshot_due", lambda self: False)
    first = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    log.submit(run, 1, "save_weights", body(run, 1, path="s"))
    bench.finish(run)
    log.submit(
        run, 2, "load_weights", body(run, 2, path=Checkpoint.objects.get().path, optimizer=True)
    )
    bench.finish(run)
    bench.crash(first)
    Checkpoint.objects.all().delete()
    step(log, run, 3)
    bench.start()
    bench.finish(run)
    session = Session.objects.get(id=run.session_id)
    assert (session.end_reason, session.failed_run_id) == ("failed", run.id)
    assert {item.state for item in Operation.objects.filter(target=run.id, seq__gte=3)} == {
        "failed"
    }
    bench.wait(lambda: Lane.objects.get(target=run.id).worker_id is None, "the release")
    assert not Sampler.objects.exists()
