"""How many layers are checkpointed."""

from __future__ import annotations

import torch

from gpu_workers.engine.memory import HEADROOM, CheckpointPlan

PLAN = CheckpointPlan(
    total_layers=36, token_bytes=100_000, input_bytes=8_000, device=torch.device("cuda")
)
GIB = 1 << 30


def test_nothing_is_checkpointed_while_memory_lasts() -> None:
    assert PLAN.layers_for(1000, 20 * GIB) == 0


def test_all_is_checkpointed_when_nothing_else_helps() -> None:
    assert PLAN.layers_for(100_000, GIB) == 36


def test_as_few_layers_as_will_do() -> None:
    tokens, free = 16_000, 40 * GIB
    layers = PLAN.layers_for(tokens, free)

    def needed(checkpointed: int) -> int:
        kept = (36 - checkpointed + 1) * PLAN.token_bytes + checkpointed * PLAN.input_bytes
        return tokens * kept

    assert 0 < layers < 36
    assert needed(layers) <= free * HEADROOM < needed(layers - 1)


def test_a_fixed_number_wins() -> None:
    cpu = torch.device("cpu")
    assert CheckpointPlan(4, 1, 1, cpu, fixed=2).layers(1) == 2
    assert CheckpointPlan(4, 1, 1, cpu, fixed=9).layers(1) == 4


def test_on_cpu_only_very_long_passes_are_checkpointed() -> None:
    assert CheckpointPlan(4, 1 << 40, 1, torch.device("cpu")).layers(4096) == 0
    assert CheckpointPlan(4, 1 << 40, 1, torch.device("cpu")).layers(4097) == 4
    assert CheckpointPlan(4, 1, 1, torch.device("cpu")).layers(4097) == 0
