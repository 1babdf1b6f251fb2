"""Reads what a base model is from its config.json, in a folder or on the hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILIES = (
    "ernie4_5",
    "exaone4",
    "gemma",
    "gemma3_text",
    "llama",
    "ministral",
    "ministral3",
    "mistral",
    "olmo",
    "olmo2",
    "olmo3",
    "qwen2",
    "qwen3",
    "seed_oss",
    "smollm3",
    "stablelm",
)
"""The model types that the engine is tested with. It proves each model by itself at load, too."""
ROPES = ("default", "linear", "llama3", "yarn")
"""The kinds of rope that the engine computes."""
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class BadSource(ValueError):
    """The source cannot be served; the message says what is wrong and what would do."""


@dataclass(frozen=True)
class SourceInfo:
    """What a base model's own configuration says."""

    source: str
    tokenizer_id: str
    family: str
    max_context_length: int
    hidden_size: int | None


def is_hub_id(source: str) -> bool:
    """Whether a source is written as hub ids are, and not as a folder."""
    return _HUB_ID.fullmatch(source) is not None


def inspect(source: str) -> SourceInfo:
    """Read the configuration of a folder (made absolute) or a hub id.

    Raises:
        BadSource: no such model, or not one that the engine supports.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        source = str(folder.resolve())
        config = _parse(folder / "config.json")
        if not any(folder.glob("*.safetensors")):
            raise BadSource(f"{source} holds no *.safetensors file")
    elif is_hub_id(source):
        config = _parse(_download_config(source))
    else:
        raise BadSource(f"{source!r} is neither a folder nor a hub id such as Qwen/Qwen3-0.6B")
    family = str(config.get("model_type"))
    _check_family(source, family, config)
    context = config.get("max_position_embeddings")
    if not isinstance(context, int) or context < 1:
        raise BadSource(f"{source}: config.json has no max_position_embeddings")
    hidden = config.get("hidden_size")
    known = isinstance(hidden, int) and hidden >= 1
    return SourceInfo(source, source, family, context, hidden if known else None)


def _check_family(source: str, family: str, config: dict[str, Any]) -> None:
    """Refuse by name what the engine would refuse when it loads the model."""
    if any(isinstance(found := config.get(name), int) and found > 1 for name in _EXPERTS):
        raise BadSource(
            f"{source}: model_type {family!r} is a mixture of experts, which is not supported yet"
        )
    if "text_config" in config:
        raise BadSource(
            f"{source}: model_type {family!r} reads more than text; offer its language model by "
            "itself"
        )
    if family not in FAMILIES:
        raise BadSource(f"{source}: model_type {family!r}; supported are {', '.join(FAMILIES)}")
    if config.get("quantization_config"):
        raise BadSource(
            f"{source}: its weights are quantised; offer them in float32, float16 or bfloat16"
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling")
    if isinstance(rope, dict):
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind not in ROPES:
            raise BadSource(f"{source}: rope type {kind!r}; supported are {', '.join(ROPES)}")


def _parse(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadSource(f"cannot read {path}: {error}") from error
    if not isinstance(config, dict):
        raise BadSource(f"{path} is not a JSON object")
    return config


def _download_config(hub_id: str) -> Path:
    from huggingface_hub import hf_hub_download  # slow to import, seldom needed

    try:
        return Path(hf_hub_download(hub_id, "config.json"))
    except Exception as error:
        raise BadSource(f"cannot fetch {hub_id} from the hub: {error}") from error
