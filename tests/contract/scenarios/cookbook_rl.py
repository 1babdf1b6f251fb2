"""The public cookbook's RL loop, in each of its ways to run, on an environment of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import chz
from tinker_cookbook.renderers import Renderer, get_renderer
from tinker_cookbook.rl import train
from tinker_cookbook.rl.problem_env import ProblemEnv, ProblemGroupBuilder
from tinker_cookbook.rl.types import EnvGroupBuilder, RLDataset, RLDatasetBuilder
from tinker_cookbook.tokenizer_utils import get_tokenizer

from .kit import Kit

STEPS = 3
GROUPS = 2
GROUP_SIZE = 6


class EvenLetters(ProblemEnv):
    """Right is what has an even number of letters: about half of what any model says."""

    def __init__(self, renderer: Renderer, number: int) -> None:
        super().__init__(renderer)
        self.number = number

    def get_question(self) -> str:
        return f"Say thing {self.number}."

    def check_format(self, sample_str: str) -> bool:
        return len(sample_str) < 12

    def check_answer(self, sample_str: str) -> bool:
        return sum(map(str.isalpha, sample_str)) % 2 == 0

    def get_reference_answer(self) -> str:
        return "an even number of letters"


class Questions(RLDataset):
    """A few batches of such questions."""

    def __init__(self, renderer: Renderer, batches: int) -> None:
        self.renderer = renderer
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def get_batch(self, index: int) -> Sequence[EnvGroupBuilder]:
        return [
            ProblemGroupBuilder(
                partial(EvenLetters, self.renderer, index * GROUPS + group), GROUP_SIZE, "letters"
            )
            for group in range(GROUPS)
        ]


@chz.chz
class QuestionsBuilder(RLDatasetBuilder):
    """Says with which tokenizer and renderer questions are asked."""

    model_name: str
    renderer_name: str

    async def __call__(self) -> tuple[RLDataset, RLDataset | None]:
        renderer = get_renderer(self.renderer_name, get_tokenizer(self.model_name))
        return Questions(renderer, STEPS), Questions(renderer, 1)


def ways(base_model: str) -> dict[str, dict[str, Any]]:
    """What each way to run adds to the configuration; losses are the cookbook's defaults."""
    return {
        "synchronous": {},
        "with a KL penalty": {
            "compute_post_kl": True,
            "kl_penalty_coef": 0.01,
            "kl_reference_config": train.KLReferenceConfig(base_model=base_model),
            "num_substeps": 2,
        },
        "streamed": {
            "stream_minibatch_config": train.StreamMinibatchConfig(
                groups_per_batch=GROUPS, num_minibatches=2
            )
        },
        "asynchronous": {
            "async_config": train.AsyncConfig(max_steps_off_policy=2, groups_per_batch=GROUPS)
        },
    }


def learn(kit: Kit, base_model: str, renderer_name: str, log_path: str, way: str) -> str:
    """A run of a few steps; the loss it trained with. The rest it has logged."""
    config = train.Config(
        model_name=base_model,
        recipe_name="contract",
        renderer_name=renderer_name,
        dataset_builder=QuestionsBuilder(model_name=base_model, renderer_name=renderer_name),
        learning_rate=1e-3,
        max_tokens=12,
        lora_rank=8,
        eval_every=2,
        save_every=2,
        log_path=log_path,
        **ways(base_model)[way],
    )
    asyncio.run(train.main(config))
    return config.training_loss_fn()
