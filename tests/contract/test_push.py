"""`tinsmith checkpoints push`: the real huggingface_hub uploads to a hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyrage
import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL
from tests.support import model_hub
from tests.support.model_hub import ModelHub

TOKEN = "hf_of-the-test"
ADAPTER = {"adapter_config.json", "adapter_model.safetensors"}
Push = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    """An empty hub."""
    with model_hub.running(TOKEN) as made:
        yield made


@pytest.fixture
def push(live_stack: LiveStack, hub: ModelHub, tmp_path: Path) -> Push:
    """Runs the command as a user does who is logged in at both; `more` changes the environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TINSMITH_", "TINKER_", "HF_", "HUGGING"))
    }
    # xet's own protocol is the hub's; HTTP and LFS is what every client falls back to
    environment = kept | {
        "TINSMITH_BASE_URL": live_stack.url,
        "TINSMITH_API_KEY": live_stack.api_key,
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tinsmith.cli", "checkpoints", "push", *arguments],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture(scope="module")
def saved(
    live_stack: LiveStack, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[str, dict[str, bytes]]]:
    """The path and the adapter's files of a checkpoint of each kind, and of an encrypted one."""
    key = str(pyrage.x25519.Identity.generate().to_public())
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        training = service.create_lora_training_client(BASE_MODEL, rank=8)
        training.forward_backward([tinsmith.Datum.from_tokens([5, 6, 7, 8])], "cross_entropy")
        training.optim_step().result()
        paths = {
            "weights": training.save_state("pushed").result().path,
            "sampler_weights": training.save_weights_for_sampler("pushed").result().path,
            "external_weights": training.save_weights_external("pushed").result().path,
            "encrypted": training.save_weights_external("hidden", age_encryption_recipients=[key])
            .result()
            .path,
        }
        rest = service.create_rest_client()
        found = {}
        for kind, path in paths.items():
            folder = rest.download_checkpoint(path, tmp_path_factory.mktemp("saved") / kind)
            files = {file.name: file.read_bytes() for file in folder.iterdir()}
            found[kind] = (path, {name: files[name] for name in files.keys() & ADAPTER})
    return found


@pytest.mark.parametrize("kind", ["weights", "sampler_weights", "external_weights"])
def test_the_hub_gets_the_adapter_byte_for_byte(
    kind: str,
    push: Push,
    hub: ModelHub,
    saved: dict[str, tuple[str, dict[str, bytes]]],
) -> None:
    path, adapter = saved[kind]
    done = push(path, "somebody/pig-latin", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "tinker_path": path,
        "repository": "somebody/pig-latin",
        "url": f"{hub.url}/somebody/pig-latin/commit/{model_hub.COMMITS_CODE}",
    }
    (repository,) = hub.repositories.values()
    assert (repository.private, repository.commits) == (False, ["Upload pushed"])
    files = dict(repository.branches["main"])
    card = files.pop("README.md").decode()
    assert files.keys() == ADAPTER
    assert files == adapter
    assert f"base_model: {BASE_MODEL}\n" in card
    assert "rank 8" in card


def test_a_private_repository_and_a_branch(
    push: Push, hub: ModelHub, saved: dict[str, tuple[str, dict[str, bytes]]]
) -> None:
    path, adapter = saved["weights"]
    for _ in range(2):  # the second time all is there already
        done = push(path, "somebody/secret", "--private", "--revision", "try/one")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{path} is at {hub.url}/somebody/secret/commit/")
    repository = hub.repositories["somebody/secret"]
    assert repository.private
    assert repository.branches["main"] == {}
    branch = repository.branches["try/one"]
    assert {name: branch[name] for name in branch if name in ADAPTER} == adapter


def test_a_hub_that_will_not_have_it(
    push: Push, hub: ModelHub, saved: dict[str, tuple[str, dict[str, bytes]]]
) -> None:
    path, _ = saved["external_weights"]
    refused = push(path, "somebody/x", HF_TOKEN="hf_wrong")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("tinsmith: ")
    assert "401" in refused.stderr
    absent = push(path, "somebody/x", HF_ENDPOINT="http://127.0.0.1:1")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr.startswith("tinsmith: the hub at http://127.0.0.1:1 did not take it: ")
    assert "Traceback" not in absent.stderr
    assert hub.repositories == {}


def test_what_is_encrypted_is_not_pushed(
    push: Push, hub: ModelHub, saved: dict[str, tuple[str, dict[str, bytes]]]
) -> None:
    path, _ = saved["encrypted"]
    refused = push(path, "somebody/x")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"{path} is encrypted with age" in refused.stderr
    assert hub.repositories == {}


def test_a_checkpoint_that_is_not_there(push: Push, hub: ModelHub) -> None:
    refused = push("tinker://no:train:0/weights/x", "somebody/x")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no:train:0" in refused.stderr
    assert hub.repositories == {}
