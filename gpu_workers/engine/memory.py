"""How many layers to checkpoint in a pass, from the memory that is free.

Selective, a pass at a time: short passes keep everything and lose no speed, long ones keep only the
inputs of as many layers as must be computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

HEADROOM = 0.8
"""Share of the free memory to plan with; the rest is for temporaries and fragmentation."""

SMALL_ON_CPU = 4096
"""Passes of up to this many tokens are not worth a look at the machine's memory."""


@dataclass(frozen=True, slots=True)
class CheckpointPlan:
    """`token_bytes` is what one layer keeps a token without checkpointing, `input_bytes` with."""

    total_layers: int
    token_bytes: int
    input_bytes: int
    device: torch.device
    fixed: int | None = None

    @classmethod
    def of(
        cls, config: Any, dtype: torch.dtype, device: torch.device, fixed: int | None
    ) -> CheckpointPlan:
        """From a transformers config. What a layer keeps was counted for Qwen3 and Llama."""
        d, inner = config.hidden_size, config.intermediate_size
        heads = config.num_attention_heads
        head_dim = getattr(config, "head_dim", None) or d // heads
        q = heads * head_dim
        kv = (getattr(config, "num_key_value_heads", None) or heads) * head_dim
        size = dtype.itemsize
        # Norms keep their input in float32 and its normalised copy (twice a layer); q/k/v before
        # and after norm and rotation; attention's output; gate, up, silu(gate) and their product.
        kept = size * (4 * d + 3 * (q + 2 * kv) + q + 4 * inner) + 4 * 4 * d
        return cls(config.num_hidden_layers, kept, size * d, device, fixed)

    def layers(self, tokens: int) -> int:
        """How many layers a pass of `tokens` should checkpoint."""
        if self.fixed is not None:
            return min(self.fixed, self.total_layers)
        if self.device.type == "cpu":
            return self.layers_for(tokens, _available_bytes()) if tokens > SMALL_ON_CPU else 0
        free, _ = torch.cuda.mem_get_info(self.device)
        reserved = torch.cuda.memory_reserved(self.device)
        free += reserved - torch.cuda.memory_allocated(self.device)
        return self.layers_for(tokens, free)

    def layers_for(self, tokens: int, free_bytes: int) -> int:
        """The fewest layers that make `tokens` fit `free_bytes`; all of them if none will do."""
        budget = free_bytes * HEADROOM - tokens * self.token_bytes  # one layer is computed again
        for checkpointed in range(self.total_layers):
            kept = (self.total_layers - checkpointed) * self.token_bytes
            if tokens * (kept + checkpointed * self.input_bytes) <= budget:
                return checkpointed
        return self.total_layers


def _available_bytes() -> int:
    """What the machine's memory has left, by the kernel's own estimate; plenty if it has none."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 62
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else 1 << 62
