"""The public cookbook's distillation.

On-policy a strayed student returns to the base model; off-policy the base model learns from the
strayed one, its teacher now, by the likeliest tokens at each position.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

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


@contextmanager
def overheard() -> Iterator[list[list[dict[str, Any]]]]:
    """What steps are given to train on from here on, step by step and datum by datum."""
    steps: list[list[dict[str, Any]]] = []
    train_step = train_on_policy.train_step

    async def listen(data_D: list[Any], **others: Any) -> Any:  # noqa: N803
        steps.append([_told(datum) for datum in data_D])
        return await train_step(data_D=data_D, **others)

    with patch.object(train_on_policy, "train_step", listen):
        yield steps


def _told(datum: Any) -> dict[str, Any]:
    inputs = {name: value.to_numpy().tolist() for name, value in datum.loss_fn_inputs.items()}
    return inputs | {"tokens": datum.model_input.to_ints()}


def on_policy(
    kit: Kit, base_model: str, renderer_name: str, log_path: str, student_path: str
) -> list[list[dict[str, Any]]]:
    """A run that starts from saved weights, with the base model as teacher.

    Returns what was trained on: by step and datum `tokens` and the inputs of the loss.
    """
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
        learning_rate=3e-4,
        max_tokens=12,
        lora_rank=8,
        eval_every=0,
        save_every=0,
        log_path=log_path,
    )
    with overheard() as steps:
        asyncio.run(train_on_policy.main(config))
    return steps


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
