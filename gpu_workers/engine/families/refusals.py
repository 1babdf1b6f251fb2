"""What cannot be served whatever a proof would say, by name, from the configuration alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from transformers import PretrainedConfig

ROPES = ("default", "linear", "llama3", "yarn")
"""Rope types whose frequencies are the same for every sequence. Others (dynamic, longrope) change
with the longest sequence of a pass: a run's numbers would depend on its neighbours."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


class CannotServe(ValueError):
    """The base model is not one that the engine computes right; str(self) says why."""


def refuse(config: PretrainedConfig) -> None:
    """Raise CannotServe if the configuration names something that the engine does not do."""
    for reason in _reasons(config):
        raise CannotServe(f"model_type {config.model_type!r} cannot be served: {reason}")


def _reasons(config: PretrainedConfig) -> Iterator[str]:
    if any((getattr(config, name, None) or 0) > 1 for name in _EXPERTS):
        yield "it is a mixture of experts, which is not supported yet"
    if getattr(config, "text_config", None) is not None:
        yield "it reads more than text; offer its language model by itself"
    if getattr(config, "is_encoder_decoder", False):
        yield "it has an encoder; decoders alone are supported"
    if getattr(config, "quantization_config", None) is not None:
        yield "its weights are quantised; float32, float16 and bfloat16 are supported"
    if not isinstance(getattr(config, "max_position_embeddings", None), int):
        yield "its config.json has no max_position_embeddings"
    for rope in rope_types(config):
        if rope not in ROPES:
            yield (
                f"its rope type {rope!r} changes with the length of what else is computed; "
                f"supported are {', '.join(ROPES)}"
            )


def rope_types(config: PretrainedConfig) -> list[str]:
    """The rope types that the configuration names, of all layer types."""
    parameters = getattr(config, "rope_parameters", None) or {}
    if not isinstance(parameters, dict):
        return []
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    found: list[dict[str, Any]] = nested or [parameters]
    return [str(each.get("rope_type") or each.get("type") or "default") for each in found]
