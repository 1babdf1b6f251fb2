"""Small configurations of every family that the catalog offers, and of the ways they differ."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

VOCABULARY = 131
WINDOW = 7

_SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ALTERNATING = ["sliding_attention", "full_attention"]


def _rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


_LLAMA3 = _rope(
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)
_YARN = _rope("yarn", factor=8.0, original_max_position_embeddings=32)
_LINEAR = _rope("linear", factor=4.0)

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama with its own scaling": ("llama", {"rope_parameters": _LLAMA3, "head_dim": 16}),
    "llama with linear scaling": (
        "llama",
        {"rope_parameters": _LINEAR, "tie_word_embeddings": True},
    ),
    "qwen2": ("qwen2", {}),
    "qwen2 with windows and yarn": (
        "qwen2",
        {
            "use_sliding_window": True,
            "sliding_window": WINDOW,
            "layer_types": _ALTERNATING,
            "rope_parameters": _YARN,
        },
    ),
    "qwen3": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "mistral without windows": ("mistral", {"sliding_window": None, "head_dim": 16}),
    "ministral": (
        "ministral",
        {"head_dim": 16, "sliding_window": WINDOW, "layer_types": _ALTERNATING},
    ),
    "ministral3": (
        "ministral3",
        {
            "head_dim": 16,
            "rope_parameters": {
                **_YARN,
                "max_position_embeddings": 256,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "llama_4_scaling_beta": 0.1,
            },
        },
    ),
    "olmo": ("olmo", {"clip_qkv": 1.0}),
    "olmo2": ("olmo2", {}),
    "olmo3": (
        "olmo3",
        {
            "num_hidden_layers": 4,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention"] * 3 + ["full_attention"],
        },
    ),
    "smollm3": (
        "smollm3",
        {"num_hidden_layers": 4, "no_rope_layers": [1, 1, 1, 0], "tie_word_embeddings": True},
    ),
    "seed_oss": ("seed_oss", {"head_dim": 16}),
    "exaone4": (
        "exaone4",
        {"sliding_window": WINDOW, "layer_types": _ALTERNATING, "head_dim": 16},
    ),
    "ernie4_5": ("ernie4_5", {"head_dim": 16, "use_bias": True}),
    "stablelm": ("stablelm", {"use_qkv_bias": True, "partial_rotary_factor": 0.5}),
    "gemma": ("gemma", {"head_dim": 16, "tie_word_embeddings": True}),
    "gemma3_text": (
        "gemma3_text",
        {"head_dim": 16, "sliding_window": WINDOW, "layer_types": _ALTERNATING},
    ),
}


def tiny_config(case: str) -> PretrainedConfig:
    """A case's configuration: two to four layers, head width 12 or 16."""
    family, more = CASES[case]
    return AutoConfig.for_model(family, **{**_SHAPE, **more})
