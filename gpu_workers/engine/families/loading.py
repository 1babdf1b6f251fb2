"""Loading a base model: nothing is served that was not proven to be computed right."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from transformers import AutoConfig, AutoModelForCausalLM

from gpu_workers.engine.base import BaseModel, choose_dtype
from gpu_workers.engine.families.proof import Probe, prove_family
from gpu_workers.engine.families.refusals import refuse

logger = logging.getLogger(__name__)


def load(
    source: str | Path,
    device: str = "cpu",
    dtype: str = "auto",
    max_context_length: int | None = None,
) -> BaseModel:
    """Load from a folder or hub id (safetensors only). dtype "auto": see `base.choose_dtype`.

    Raises:
        CannotServe: the engine does not compute such a model right; says why.
    """
    config = AutoConfig.from_pretrained(source)
    refuse(config)
    kind = choose_dtype(dtype, device, config)
    begun = time.monotonic()
    prove_family(config, device, kind)
    proven = time.monotonic()
    model = AutoModelForCausalLM.from_pretrained(
        source, config=config, dtype=kind, attn_implementation="eager", use_safetensors=True
    ).to(device=device)
    model.eval()
    loaded = time.monotonic()
    probe = Probe(model)
    base = BaseModel(model, str(source), max_context_length)
    probe.compare(base)
    seconds = proven - begun + time.monotonic() - loaded
    logger.info(
        "%s is computed as %s does it: proven in %.1f s", source, base.info.architecture, seconds
    )
    return base
