"""Reads what a base model is from its config.json, in a folder or on the hub."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAMILIES = ("llama", "qwen3")  # what the engine can train
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
    elif _HUB_ID.fullmatch(source):
        config = _parse(_download_config(source))
    else:
        raise BadSource(f"{source!r} is neither a folder nor a hub id such as Qwen/Qwen3-0.6B")
    family = str(config.get("model_type"))
    if family not in FAMILIES:
        raise BadSource(f"{source}: model_type {family!r}; supported are {', '.join(FAMILIES)}")
    context = config.get("max_position_embeddings")
    if not isinstance(context, int) or context < 1:
        raise BadSource(f"{source}: config.json has no max_position_embeddings")
    return SourceInfo(source, source, family, context)


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
