"""Saved adapters are what PEFT reads, and computes the same with."""

from __future__ import annotations

import json
import pickletools
from pathlib import Path

import numpy as np
import pytest
import torch

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    ForwardBackward,
    LoadState,
    OptimStep,
    PublishSampler,
    SaveState,
)
from tests.gpu_workers.engine.harness import Client, Draw, PeftOracle, assert_equal

SPECS = [
    AdapterSpec(8, 1),
    AdapterSpec(5, 2, train_unembed=False),
    AdapterSpec(40, 3, train_attn=False, train_mlp=False),
    AdapterSpec(16, 4, train_attn=False),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_peft_loads_a_trained_adapter_and_agrees(
    spec: AdapterSpec, client: Client, model_directory: Path, tmp_path: Path
) -> None:
    """By PeftModel.from_pretrained, checkpoints and published samplers alike: equal logprobs."""
    client.do("run", CreateRun(spec))
    data = Draw(0).data([30, 12])
    for _ in range(2):
        client.submit("run", ForwardBackward(data, "cross_entropy"))
        client.do("run", OptimStep(learning_rate=0.05))
    saved = client.do("run", SaveState(tmp_path / "saved"))
    client.do("run", PublishSampler("v1", tmp_path / "v1"))
    ours = client.do("run", ForwardBackward(data, "cross_entropy", forward_only=True))
    for directory in (tmp_path / "saved", tmp_path / "v1"):
        work = ForwardBackward(data, "cross_entropy", forward_only=True)
        theirs = PeftOracle(model_directory, directory).forward_backward(work)
        for a, b in zip(ours.outputs, theirs.outputs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-5)
    assert saved.size_bytes == sum(p.stat().st_size for p in (tmp_path / "saved").iterdir())


def test_what_peft_saves_can_be_loaded(
    client: Client, model_directory: Path, tmp_path: Path
) -> None:
    """Out to PEFT, changed there, saved by PEFT, and in again."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("run", SaveState(tmp_path / "ours"))
    oracle = PeftOracle(model_directory, tmp_path / "ours")
    for parameter in oracle.parameters().values():
        torch.nn.init.normal_(parameter, std=0.05)
    oracle.model.save_pretrained(str(tmp_path / "theirs"), save_embedding_layers=False)
    client.do("run", LoadState(tmp_path / "theirs", optimizer=False))
    state = client.state("run", tmp_path / "state")
    expected = {name: p.detach() for name, p in oracle.parameters().items()}
    assert_equal({name: state[name] for name in expected}, expected)


def test_a_folder_holds_these_files_and_no_pickle(client: Client, tmp_path: Path) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("run", SaveState(tmp_path / "saved"))
    client.do("run", SaveState(tmp_path / "bare", optimizer=False))
    names = sorted(p.name for p in (tmp_path / "saved").iterdir())
    assert names == [peft_io.CONFIG, peft_io.WEIGHTS, peft_io.OPTIMIZER]
    assert sorted(p.name for p in (tmp_path / "bare").iterdir()) == names[:2]
    for path in (tmp_path / "saved").glob("*.safetensors"):
        with pytest.raises(ValueError, match=r"."):
            pickletools.dis(path.read_bytes(), out=open("/dev/null", "w"))  # noqa: SIM115
    config = json.loads((tmp_path / "saved" / peft_io.CONFIG).read_text())
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (8, 32, "LORA")


def test_saving_leaves_no_half_written_folder(
    client: Client, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in the middle: an error, no folder, and the run goes on."""
    client.do("run", CreateRun(AdapterSpec(8, 1)))

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(peft_io, "_flush", full)
        with pytest.raises(OSError, match="No space left"):
            client.do("run", SaveState(tmp_path / "saves" / "one"))
    assert list((tmp_path / "saves").iterdir()) == []
    client.do("run", SaveState(tmp_path / "saves" / "one"))


def test_what_a_killed_process_left_half_written_goes_with_the_next_attempt(
    client: Client, tmp_path: Path
) -> None:
    saves = tmp_path / "saves"
    abandoned, of_another = saves / ".one@3.0123abcd", saves / ".one@33.0123abcd"
    for folder in (abandoned, of_another):
        folder.mkdir(parents=True)
        (folder / peft_io.WEIGHTS).write_bytes(b"half")
    client.do("run", CreateRun(AdapterSpec(8, 1)))
    client.do("run", SaveState(saves / "one@3"))
    assert {path.name for path in saves.iterdir()} == {"one@3", of_another.name}
