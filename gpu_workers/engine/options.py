"""How an engine is set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gpu_workers.engine.arena import BUCKETS
from gpu_workers.engine.sampler.options import SamplerOptions

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Settings of one engine. What is None is chosen for the device when the model is loaded.

    `park_directory` takes what does not fit: runs that gave up their slot. `dtype` is "float32",
    "bfloat16" or "auto". At most `slots` runs, and about `arena_bytes` of them, are in memory.
    A request is cut into chunks of `chunk_tokens` (this decides bits, see docs/engine.md); passes
    take up to `micro_batch_tokens`; a cycle plans up to `cycle_tokens`. `deterministic` gives every
    request passes of its own (for GPUs; CPUs need no such thing). `checkpointed_layers` overrides
    the choice made from free memory. `base_name` is what files call the base model. Copies of rows
    that wait to be written take up to `waiting_file_bytes`, of one team a quarter of that.
    """

    park_directory: Path
    device: str = "cpu"
    dtype: str = "auto"
    threads: int = 1
    slots: int = 64
    arena_bytes: int | None = None
    chunk_tokens: int | None = None
    micro_batch_tokens: int | None = None
    cycle_tokens: int | None = None
    max_rank: int = BUCKETS[-1]
    max_context_length: int | None = None
    deterministic: bool = False
    checkpointed_layers: int | None = None
    base_name: str | None = None
    waiting_file_bytes: int | None = None
    sampler: SamplerOptions = field(default_factory=SamplerOptions)

    @property
    def on_cpu(self) -> bool:
        """Whether the model computes on the CPU."""
        return self.device.startswith("cpu")

    @property
    def chunk(self) -> int:
        """Tokens of a chunk."""
        return self.chunk_tokens or (512 if self.on_cpu else 8192)

    @property
    def micro_batch(self) -> int:
        """Tokens of a pass. On CPU more than 1024 fall out of the cache."""
        return self.micro_batch_tokens or (1024 if self.on_cpu else 16384)

    @property
    def cycle(self) -> int:
        """Tokens planned at a time: nobody waits longer than this for a fair share."""
        return self.cycle_tokens or self.micro_batch

    @property
    def waiting_bytes(self) -> int:
        """Memory for copies of rows that wait to be written to files."""
        return self.waiting_file_bytes or (512 * MIB if self.on_cpu else 8192 * MIB)

    @property
    def row_multiple(self) -> int:
        """Every pass has a multiple of this many rows.

        Elementwise kernels treat whole groups of 32 numbers in another way than what is left over
        at the end, or at the end of a thread's share; so that nothing is ever left over, rows are a
        multiple of 32 a thread (on GPUs of 8, for alignment).
        """
        return 32 * self.threads if self.on_cpu else 8


def default_arena_bytes(on_cpu: bool, free_bytes: int) -> int:
    """A quarter of a gigabyte on CPU; on a GPU half of what the model left free."""
    return 256 * MIB if on_cpu else free_bytes // 2
