"""The public cookbook turns what was trained here into a model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tinker_cookbook import weights
from transformers import AutoModelForCausalLM

from .kit import WAIT_S, Kit, token_lists


def merged(kit: Kit, base_model: str, train_unembed: bool, folder: str) -> dict[str, Any]:
    """What the loss is before training, after it, and in the model with the adapter merged in."""
    (tokens,) = token_lists(count=1)
    training, data = kit.training(base_model, train_unembed=train_unembed), [kit.datum(tokens)]
    before = kit.step(training, data)
    after = training.forward(data, "cross_entropy").result(WAIT_S).metrics["loss:sum"]
    saved = training.save_state("merged").result(WAIT_S).path
    adapter = weights.download(tinker_path=saved, output_dir=f"{folder}/downloaded")
    weights.build_hf_model(
        base_model=base_model, adapter_path=adapter, output_path=f"{folder}/model"
    )
    weights.build_lora_adapter(
        base_model=base_model, adapter_path=adapter, output_path=f"{folder}/adapter"
    )
    return {
        "before": before,
        "after": after,
        "merged": _loss(f"{folder}/model", tokens),
        "adapter": sorted(path.name for path in Path(folder, "adapter").iterdir()),
    }


def _loss(model_folder: str, tokens: list[int]) -> float:
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    with torch.no_grad():
        mean = model(torch.tensor([tokens]), labels=torch.tensor([tokens])).loss
    return float(mean) * (len(tokens) - 1)
