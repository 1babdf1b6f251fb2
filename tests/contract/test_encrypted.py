"""External weights for the holders of age keys, through the newest clients, as a user gets them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyrage
import pytest
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from gpu_workers import nano
from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client
from tests.contract.conftest import BASE_MODEL

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module", params=[PUBLIC, OURS], ids=lambda release: release.name)
def client(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """Older releases know no recipients."""
    running = Client(request.param, live_stack.url, live_stack.api_key)
    yield running
    running.close()


@pytest.fixture(scope="module")
def identity() -> pyrage.x25519.Identity:
    """A user's secret key."""
    return pyrage.x25519.Identity.generate()


@pytest.fixture(scope="module")
def saved(client: Client, identity: pyrage.x25519.Identity) -> dict[str, Any]:
    """The same weights, plain and encrypted."""
    keys = [str(identity.to_public()), str(pyrage.x25519.Identity.generate().to_public())]
    return client.run("encrypted.saved", base_model=BASE_MODEL, recipients=keys)


def fetch(urls: dict[str, str]) -> dict[str, bytes]:
    """The files, fetched without a key."""
    return {name: httpx.get(url).raise_for_status().content for name, url in urls.items()}


def test_the_files_open_with_the_key_and_peft_loads_them(
    saved: dict[str, Any], identity: pyrage.x25519.Identity, tmp_path: Path
) -> None:
    plain, hidden = (fetch(saved[name]["urls"]) for name in ("plain", "encrypted"))
    assert sorted(hidden) == [f"{CONFIG}.age", f"{WEIGHTS}.age"]
    opened = {
        name.removesuffix(".age"): pyrage.decrypt(content, [identity])
        for name, content in hidden.items()
    }
    assert opened == plain
    assert saved["encrypted"]["size_bytes"] == sum(map(len, hidden.values()))
    for name, content in opened.items():
        (tmp_path / name).write_bytes(content)
    base = AutoModelForCausalLM.from_pretrained(nano.folder("nano-qwen3"))
    loaded = PeftModel.from_pretrained(base, tmp_path)
    trained = {
        name.replace(".default", ""): parameter
        for name, parameter in loaded.named_parameters()
        if ".lora_" in name
    }
    file = load_file(tmp_path / WEIGHTS)
    assert trained.keys() == file.keys()
    assert all(parameter.equal(file[name]) for name, parameter in trained.items())
    assert any(file[name].any() for name in file if ".lora_B." in name)
    assert json.loads(opened[CONFIG])["r"] == 8


def test_nobody_else_can_open_them(saved: dict[str, Any], live_stack: LiveStack) -> None:
    hidden = fetch(saved["encrypted"]["urls"])
    for content in hidden.values():
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(content, [pyrage.x25519.Identity.generate()])
    run, _, address = saved["encrypted"]["path"].removeprefix("tinker://").partition("/")
    (folder,) = (live_stack.folder / "store" / "checkpoints" / run.replace(":", "/")).glob(
        f"{address}@*"
    )
    assert {path.name: path.read_bytes() for path in folder.rglob("*")} == hidden


def test_our_command_downloads_them_as_they_are(
    saved: dict[str, Any], live_stack: LiveStack, tmp_path: Path
) -> None:
    where = ["--base-url", live_stack.url, "--api-key", live_stack.api_key]
    path, folder = saved["encrypted"]["path"], tmp_path / "adapter"
    command = [sys.executable, "-m", "tinsmith.cli", "checkpoints", "download", path]
    subprocess.run([*command, "--output", str(folder), *where], check=True)
    hidden = fetch(saved["encrypted"]["urls"])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == hidden


def test_recipients_that_are_refused(client: Client, identity: pyrage.x25519.Identity) -> None:
    key = str(identity.to_public())
    outcomes = client.run(
        "encrypted.refused",
        base_model=BASE_MODEL,
        recipients=[[], [key] * 11, [key, "age1xyz"], [str(identity)]],
    )
    *refused, after = outcomes
    words = ("not 0", "not 11", "age_encryption_recipients[1]", "is a secret key")
    for outcome, word in zip(refused, words, strict=True):
        assert (outcome["type"], outcome["status"]) == ("BadRequestError", 400)
        assert word in outcome["message"]
        assert str(identity) not in outcome["message"]
    assert after["type"] is None, after


def test_the_server_uses_no_weights_that_it_cannot_read(
    client: Client, saved: dict[str, Any]
) -> None:
    path = saved["encrypted"]["path"]
    seen = client.run("encrypted.used", base_model=BASE_MODEL, path=path)
    assert seen.pop("run")["type"] is None
    assert (seen["load"]["type"], seen["load"]["category"]) == ("RequestFailedError", "user")
    assert seen["create"]["status"] == seen["sample"]["status"] == 400
    for kind, outcome in seen.items():
        assert f"{path} is encrypted with age" in outcome["message"], kind
