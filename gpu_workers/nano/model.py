"""Shapes of the two models and what their folders hold."""

import json
from pathlib import Path
from typing import Any

from gpu_workers.nano.tokenizer import FAMILIES, build

_WIDTH, _LAYERS, _HEAD = 192, 4, 32
_CONTEXT = 2048


def new_model(name: str) -> Any:
    """The named model with fresh weights from torch's current seed, float32."""
    from transformers import (
        GenerationConfig,
        LlamaConfig,
        LlamaForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    tokenizer = build(name)
    # A turn's end first: it is what stops a chat. A text's end stops plain text.
    ends = [
        tokenizer.eos_token_id,
        tokenizer.convert_tokens_to_ids(FAMILIES[name].end_of_text),
    ]
    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": _WIDTH,
        "intermediate_size": 3 * _WIDTH,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _WIDTH // _HEAD,
        "num_key_value_heads": _WIDTH // _HEAD // 2,
        "head_dim": _HEAD,
        "max_position_embeddings": _CONTEXT,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": ends,
        "pad_token_id": tokenizer.pad_token_id,
    }
    # One ties input and output embeddings, as the families' small models do, the other does not, as
    # the large ones: between them they exercise both.
    model = (
        Qwen3ForCausalLM(Qwen3Config(**common, tie_word_embeddings=True))
        if name == "nano-qwen3"
        else LlamaForCausalLM(LlamaConfig(**common, tie_word_embeddings=False))
    )
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=ends,
        pad_token_id=tokenizer.pad_token_id,
    )
    return model


def save(name: str, model: Any, directory: Path) -> None:
    """Writes weights, configs, tokenizer and chat template as `from_pretrained` reads them.

    Weights are stored as float32 numbers that bfloat16 can hold: they load without conversion, lose
    nothing in bfloat16, and compress to half their size.
    """
    import torch

    directory.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(torch.bfloat16).float())
    model.save_pretrained(directory)
    (directory / "model.safetensors").chmod(0o644)  # others than its maker load it too
    build(name).save_pretrained(directory)
    # The class name of transformers 5 is unknown to version 4; both know this one.
    path = directory / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
