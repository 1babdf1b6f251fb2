"""External weights for the holders of age keys, through a worker with a real engine."""

from __future__ import annotations

import json

import pyrage

from checkpoints import store
from checkpoints.models import Checkpoint
from operations.models import Operation
from tests.gpu_workers.bench import Bench, batch, body, create, results, step

NAMES = {"adapter_config.json.age", "adapter_model.safetensors.age"}


def test_what_is_saved_for_a_key_opens_with_it(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run, identity = log.run(log.team("a")), pyrage.x25519.Identity.generate()
    create(log, run)
    step(log, run, 1)
    keys = [str(identity.to_public())]
    # an attempt before this one crashed, and older workers wrote plain files
    abandoned = store.path(store.checkpoint_key(run.id, "external_weights", "e", 3))
    abandoned.mkdir(parents=True)
    (abandoned / "adapter_model.safetensors").write_bytes(b"plain")
    encrypted = body(run, 3, path="e", age_encryption_recipients=keys)
    log.submit(run, 3, "save_weights_external", encrypted)
    log.submit(run, 4, "save_weights_external", body(run, 4, path="plain"))
    bench.finish(run)
    saved, plain = (Checkpoint.objects.get(name=name) for name in ("e", "plain"))
    assert (saved.encrypted, plain.encrypted) == (True, False)
    folder, open_folder = store.path(saved.key), store.path(plain.key)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(files) == NAMES
    for path in open_folder.iterdir():
        assert pyrage.decrypt(files[f"{path.name}.age"], [identity]) == path.read_bytes()
    assert saved.size_bytes == sum(map(len, files.values())) > plain.size_bytes
    assert json.loads(results(run)[3]) == {
        "type": "save_weights_external",
        "path": saved.path,
        "size_bytes": saved.size_bytes,
    }


def test_it_cannot_be_loaded_and_the_run_goes_on(bench: Bench) -> None:
    log = bench.log
    bench.start()
    run, key = log.run(log.team("a")), str(pyrage.x25519.Identity.generate().to_public())
    create(log, run)
    log.submit(
        run, 1, "save_weights_external", body(run, 1, path="e", age_encryption_recipients=[key])
    )
    bench.finish(run)
    path = Checkpoint.objects.get().path
    log.submit(run, 2, "load_weights", body(run, 2, path=path, optimizer=False))
    log.submit(run, 3, "forward_backward", batch(run, 3, seed=1))
    bench.finish(run)
    refused, after = (Operation.objects.get(target=run.id, seq=seq) for seq in (2, 3))
    assert refused.error_category == "user"
    assert f"{path} is encrypted with age" in (refused.error or "")
    assert after.state == "done"


def test_the_worker_refuses_recipients_too(bench: Bench) -> None:
    """The web process has checked them; what is in the log may be older."""
    log = bench.log
    bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    log.submit(
        run, 1, "save_weights_external", body(run, 1, path="e", age_encryption_recipients=[])
    )
    bench.finish(run)
    refused = Operation.objects.get(target=run.id, seq=1)
    assert refused.error_category == "user"
    assert "age_encryption_recipients must be a list of 1 to 10" in (refused.error or "")
    assert not Checkpoint.objects.exists()
