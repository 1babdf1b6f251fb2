"""How much the local sampler may hold and do at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SamplerOptions:
    """Limits of the local sampler. None: a default for the device.

    `slots`: samples decoded together. `guest_slots`: more, for teams that have none running, so
    that nobody waits for the end of another's long samples. `kv_bytes`: keys and values; one sample
    of the full context always fits. `prefill_tokens`: prompt tokens a step, so that a long prompt
    does not hold up those who decode. `adapter_bytes`: frozen adapters kept in memory.
    """

    slots: int = 64
    guest_slots: int = 8
    kv_bytes: int | None = None
    prefill_tokens: int | None = None
    adapter_bytes: int | None = None

    def kv_budget(self, device_type: str) -> int:
        """Bytes for keys and values."""
        if self.kv_bytes is not None:
            return self.kv_bytes
        return 256 * 2**20 if device_type == "cpu" else 8 * 2**30

    def prefill_step(self, device_type: str) -> int:
        """Prompt tokens computed in one step."""
        if self.prefill_tokens is not None:
            return self.prefill_tokens
        return 256 if device_type == "cpu" else 4096

    def adapter_budget(self, device_type: str) -> int:
        """Bytes for frozen adapters; those in use stay, whatever they take."""
        if self.adapter_bytes is not None:
            return self.adapter_bytes
        return 64 * 2**20 if device_type == "cpu" else 4 * 2**30
