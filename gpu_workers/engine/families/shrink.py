"""A small random model of a family: the same kind of layers, far shorter window and context.

What decides how layers compute stays (rope and its scaling, biases, norms, activation, head width,
which layers slide or have no positions); only sizes change. So a few dozen tokens reach beyond the
window and beyond the rope's original context, which at full size takes tens of thousands.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

WINDOW = 6
ORIGINAL_CONTEXT = 20
TOKENS = 53
"""Longer than both; the longest sequence of the proof."""
VOCABULARY = 131
_CONTEXT = 128
_HIDDEN, _INNER, _HEADS = 64, 96, 4
_MOST_LAYERS = 8
_SEED = 20


def shrunk_config(config: PretrainedConfig) -> PretrainedConfig:
    """The configuration, small. Raises what transformers raises of sizes that do not fit it."""
    wanted = config.to_dict()
    heads, kv_heads = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    if not wanted.get("head_dim"):
        wanted["hidden_size"] = _HEADS * (config.hidden_size // heads)
    else:
        wanted["hidden_size"] = _HIDDEN
    wanted["num_attention_heads"] = _HEADS
    if kv_heads is not None:
        wanted["num_key_value_heads"] = _HEADS if kv_heads == heads else min(kv_heads, 2)
    wanted["intermediate_size"] = _INNER
    wanted["vocab_size"] = VOCABULARY
    wanted["pad_token_id"] = None
    wanted["bos_token_id"] = wanted["eos_token_id"] = 1
    if wanted.get("sliding_window"):
        wanted["sliding_window"] = WINDOW
    _shorten(wanted, config.max_position_embeddings)
    _fewer_layers(wanted, config.num_hidden_layers)
    return type(config)(**wanted)


def _shorten(wanted: dict[str, Any], context: int) -> None:
    """Bring all that counts positions down by one factor."""
    rope = wanted.get("rope_parameters") or {}
    parts = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    originals = [part["original_max_position_embeddings"] for part in parts
                 if part.get("original_max_position_embeddings")]  # fmt: skip
    shorter = ORIGINAL_CONTEXT / min(originals) if originals else _CONTEXT / context
    wanted["max_position_embeddings"] = max(TOKENS, round(context * shorter))
    for part in parts:
        for name in ("original_max_position_embeddings", "max_position_embeddings"):
            if part.get(name):
                part[name] = max(1, round(part[name] * shorter))


def _fewer_layers(wanted: dict[str, Any], layers: int) -> None:
    """One layer of each kind, at least two: kinds differ in what lists say, one entry a layer."""
    lists = {
        name: value
        for name, value in wanted.items()
        if isinstance(value, list | tuple) and len(value) == layers
    }
    kinds: dict[tuple[str, ...], int] = {}
    for number in range(layers):
        kinds.setdefault(tuple(repr(value[number]) for value in lists.values()), number)
    chosen = sorted(kinds.values())[:_MOST_LAYERS]
    if len(chosen) < 2:
        chosen = [*chosen, layers - 1]
    wanted["num_hidden_layers"] = len(chosen)
    wanted.update({name: [value[number] for number in chosen] for name, value in lists.items()})


def random_model(config: PretrainedConfig) -> PreTrainedModel:
    """A model of this configuration in float32 on the CPU, whose every parameter matters.

    Also norms and biases, which begin as ones and zeros: random numbers of a size that keeps
    activations near one. The same each time; torch's own random state stays as it is.
    """
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="eager"
        )
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            numbers = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1:
                parameter.copy_(numbers / math.sqrt(parameter.shape[-1]))
            else:
                parameter.copy_(parameter + numbers * 0.3)
    return model.eval()
