"""The public cookbook's on-policy distillation: a strayed student returns to the base model."""

from __future__ import annotations

import asyncio

import chz
from tinker_cookbook.distillation import train_on_policy
from tinker_cookbook.distillation.datasets import (
    DistillationDatasetConfig,
    PromptOnlyDataset,
    TeacherConfig,
)
from tinker_cookbook.renderers import get_renderer
from tinker_cookbook.rl.types import RLDataset, RLDatasetBuilder
from tinker_cookbook.tokenizer_utils import get_tokenizer

from .kit import Kit

STEPS = 4
GROUPS = 2
GROUP_SIZE = 6


@chz.chz
class PromptsBuilder(RLDatasetBuilder):
    """Prompts that need no hub."""

    model_name: str
    renderer_name: str

    async def __call__(self) -> tuple[RLDataset, RLDataset | None]:
        tokenizer = get_tokenizer(self.model_name)
        prompts = [f"Say thing {number}." for number in range(GROUPS * STEPS)]
        dataset = PromptOnlyDataset(
            prompts=prompts,
            batch_size=GROUPS,
            group_size=GROUP_SIZE,
            renderer=get_renderer(self.renderer_name, tokenizer),
            tokenizer=tokenizer,
        )
        return dataset, None


def distill(
    kit: Kit, base_model: str, renderer_name: str, log_path: str, student_path: str
) -> None:
    """A run that starts from saved weights, with the base model as teacher."""
    prompts = PromptsBuilder(model_name=base_model, renderer_name=renderer_name)
    config = train_on_policy.Config(
        model_name=base_model,
        recipe_name="contract",
        renderer_name=renderer_name,
        load_checkpoint_path=student_path,
        dataset_configs=[
            DistillationDatasetConfig(
                dataset_builder=prompts,
                teacher_config=TeacherConfig(base_model=base_model),
                groups_per_batch=GROUPS,
            )
        ],
        learning_rate=1e-3,
        max_tokens=12,
        lora_rank=8,
        eval_every=0,
        save_every=0,
        log_path=log_path,
    )
    asyncio.run(train_on_policy.main(config))
