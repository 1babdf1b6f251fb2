"""The public cookbook's distillation.

On-policy a strayed student returns to the base model; off-policy the base model learns from the
strayed one, its teacher now, by the likeliest tokens at each position.
"""

from __future__ import annotations

import asyncio

import chz
from tinker_cookbook.distillation import train_off_policy, train_on_policy
from tinker_cookbook.distillation.datasets import (
    DistillationDatasetConfig,
    PromptOnlyDataset,
    TeacherConfig,
)
from tinker_cookbook.renderers import get_renderer
from tinker_cookbook.rl.types import RLDataset, RLDatasetBuilder
from tinker_cookbook.supervised.data import FromConversationFileBuilder
from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig
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


def on_policy(
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


def off_policy(
    kit: Kit, base_model: str, renderer_name: str, log_path: str, teacher_path: str, chats: str
) -> None:
    """A run on a file of chats, with saved weights as teacher."""
    common = ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer=base_model,
        renderer_name=renderer_name,
        max_length=256,
        batch_size=STEPS,
    )
    config = train_off_policy.Config(
        model_name=base_model,
        recipe_name="contract",
        renderer_name=renderer_name,
        dataset_configs=[
            train_off_policy.DatasetWithTeacher(
                dataset_builder=FromConversationFileBuilder(file_path=chats, common_config=common),
                teacher_config=TeacherConfig(
                    base_model=base_model, load_checkpoint_path=teacher_path
                ),
            )
        ],
        learning_rate=3e-3,
        lora_rank=8,
        batch_size=STEPS,
        max_steps=STEPS,
        eval_every=0,
        save_every=0,
        log_path=log_path,
    )
    asyncio.run(train_off_policy.main(config))
