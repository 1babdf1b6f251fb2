"""Adapters that are saved for the holders of age keys: the same bytes, and never plain on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyrage
import pytest
import torch
from safetensors.torch import save_file

from gpu_workers.engine.lora import peft_io, sealed
from gpu_workers.engine.types import AdapterSpec, CreateRun, ForwardBackward, OptimStep, SaveState
from tests.gpu_workers.engine.harness import Client, Draw

TENSORS = {
    "b": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a": torch.full((5,), 0.5),
    "step": torch.tensor(7, dtype=torch.int64),
    "none": torch.zeros(0, 4),
    "ünï": torch.ones(1),
}


def test_the_pieces_are_the_file_that_safetensors_writes(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "theirs", metadata={"format": "pt"})
    pieces = list(sealed.safetensors(TENSORS, {"format": "pt"}))
    assert b"".join(pieces) == (tmp_path / "theirs").read_bytes()


def test_a_tensor_is_not_copied_whole() -> None:
    (_, piece) = sealed.safetensors({"a": TENSORS["a"]}, {})
    assert np.shares_memory(np.frombuffer(piece, np.float32), TENSORS["a"].numpy())


def test_each_recipient_decrypts_what_a_plain_save_holds(client: Client, tmp_path: Path) -> None:
    ours, theirs, nobody = (pyrage.x25519.Identity.generate() for _ in range(3))
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.submit("run", ForwardBackward(Draw(0).data([30]), "cross_entropy"))
    client.do("run", OptimStep(learning_rate=0.05))
    plain, folder = tmp_path / "plain", tmp_path / "encrypted"
    client.do("run", SaveState(plain))
    keys = [ours.to_public(), theirs.to_public()]
    saved = client.do("run", SaveState(folder, encrypt_for=keys))
    files = {path.name: path.read_bytes() for path in plain.iterdir()}
    assert {path.name for path in folder.iterdir()} == {f"{name}.age" for name in files}
    for name, content in files.items():
        hidden = (folder / f"{name}.age").read_bytes()
        for identity in (ours, theirs):
            assert pyrage.decrypt(hidden, [identity]) == content
        with pytest.raises(pyrage.DecryptError):
            pyrage.decrypt(hidden, [nobody])
    assert saved.size_bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_nothing_is_plain_while_it_is_written(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies in the middle leaves what the disk holds at that moment."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    key = pyrage.x25519.Identity.generate().to_public()
    seen: dict[str, bytes] = {}

    def dies(path: Path) -> None:
        draft = path.parent if path.is_file() else path
        seen.update({file.name: file.read_bytes() for file in draft.iterdir()})
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(peft_io, "_flush", dies)
    with pytest.raises(OSError, match="Input/output"):
        client.do("run", SaveState(tmp_path / "saves" / "one", optimizer=False, encrypt_for=[key]))
    assert set(seen) == {"adapter_config.json.age", "adapter_model.safetensors.age"}
    assert all(content.startswith(b"age-encryption.org/v1") for content in seen.values())
    assert list((tmp_path / "saves").iterdir()) == []
