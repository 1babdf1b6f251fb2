"""The public cookbook's DPO on comparisons of ours."""

from __future__ import annotations

from typing import Any

import chz
from datasets import Dataset
from tinker_cookbook.preference import train_dpo
from tinker_cookbook.preference.dpo_datasets import DPODatasetBuilderFromComparisons
from tinker_cookbook.preference.preference_datasets import ComparisonDatasetBuilder
from tinker_cookbook.preference.types import Comparison, LabeledComparison
from tinker_cookbook.supervised.types import ChatDatasetBuilderCommonConfig

from .kit import Kit

PAIRS = 4
STEPS = 4


@chz.chz
class LoudOrQuiet(ComparisonDatasetBuilder):
    """The loud answer is always the better one."""

    def get_train_and_test_datasets(self) -> tuple[Dataset, Dataset | None]:
        rows = [{"question": f"Say thing {number}."} for number in range(PAIRS * STEPS)]
        return Dataset.from_list(rows), Dataset.from_list(rows[:PAIRS])

    def example_to_labeled_comparison(self, example: dict[str, Any]) -> LabeledComparison:
        return LabeledComparison(
            comparison=Comparison(
                prompt_conversation=[{"role": "user", "content": example["question"]}],
                completion_A=[{"role": "assistant", "content": "HEAR, HEAR!"}],
                completion_B=[{"role": "assistant", "content": "hush now"}],
            ),
            label="A",
        )


def prefer(kit: Kit, base_model: str, renderer_name: str, log_path: str) -> None:
    """A run over every pair once; what came of it is logged."""
    common = ChatDatasetBuilderCommonConfig(
        model_name_for_tokenizer=base_model,
        renderer_name=renderer_name,
        max_length=256,
        batch_size=PAIRS,
    )
    train_dpo.main(
        train_dpo.Config(
            model_name=base_model,
            recipe_name="contract",
            renderer_name=renderer_name,
            dataset_builder=DPODatasetBuilderFromComparisons(
                common_config=common, comparison_builder=LoudOrQuiet()
            ),
            learning_rate=1e-3,
            lora_rank=8,
            eval_every=2,
            save_every=2,
            log_path=log_path,
        )
    )
