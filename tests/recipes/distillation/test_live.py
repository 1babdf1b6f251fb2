"""Distillation on a live platform, small: whole runs, killed runs, what teachers are refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.killed import assert_a_killed_run_ends_as_it_would_have, measured
from tinsmith import ServiceClient
from tinsmith_recipes.distillation.off_policy.train import OffPolicy
from tinsmith_recipes.distillation.on_policy.train import OnPolicy
from tinsmith_recipes.prompt_distillation.train import PromptDistillation
from tinsmith_recipes.training.distillation import soft_datum

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("server")]

OTHER = "tinsmith/nano-llama3"
LESSONS: dict[str, Any] = {"steps": 5, "batch_size": 4, "asked": 12, "held_out": 4, "save_every": 2}
TAUGHT: dict[str, Any] = {"teacher_steps": 3}
ASKED: dict[str, Any] = {
    "steps": 3,
    "groups_per_batch": 3,
    "group_size": 2,
    "asked": 12,
    "held_out": 4,
    "save_every": 1,
}


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [(OffPolicy, LESSONS | TAUGHT | {"soft_targets": 3}), (OnPolicy, ASKED | TAUGHT)],
    ids=["off-policy", "on-policy"],
)
def test_killed_with_9_it_ends_with_the_same_numbers(
    recipe: type[Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    after = "checkpoints.jsonl"
    undisturbed = assert_a_killed_run_ends_as_it_would_have(recipe, settings, after, tmp_path)
    # the teacher is no stranger, and nobody is further away than negative probabilities allow
    kls = [row["teacher_kl"] for row in measured(undisturbed)[0]]
    assert len(kls) == settings["steps"]
    assert all(math.isfinite(kl) for kl in kls)


def test_dense_and_sparse_soft_targets_are_the_same_to_the_server() -> None:
    tokens, places = [5, 6, 7, 9, 11], [2, 4]
    targets, weights = np.array([[7, 8], [9, 0]]), np.array([[0.75, 0.25], [0.5, 0.125]])
    with ServiceClient() as service:
        training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=4, seed=1)
        found = [
            training.forward(
                [soft_datum(tokens, places, targets, weights, sparse=sparse)], "cross_entropy"
            ).result()
            for sparse in (True, False)
        ]
        plain = training.forward(
            [soft_datum(tokens, [2, 4], targets[:, :1], np.ones((2, 1)))], "cross_entropy"
        ).result()
    logprobs = [one.loss_fn_outputs[0]["logprobs"].to_numpy() for one in found]
    assert np.array_equal(*logprobs)
    assert found[0].loss == found[1].loss
    rows = [place - 1 for place in places]
    assert found[0].loss == pytest.approx(-(logprobs[0][rows] * weights).sum(), rel=1e-5)
    assert plain.loss == pytest.approx(-logprobs[0][rows, 0].sum(), rel=1e-5)


async def test_a_prompt_is_distilled_from_a_teacher_with_another_tokenizer(tmp_path: Path) -> None:
    recipe = PromptDistillation(log_path=str(tmp_path), teacher=OTHER, temperature=0.0, **LESSONS)
    done = await recipe.run()
    assert done.figures["teacher"].value > done.figures["before"].value
    rows, _, lessons = measured(tmp_path)
    assert len(lessons) == 12
    assert all(len(row["messages"]) == 2 for row in lessons)  # without the teacher's prompt
    assert rows[-1]["train_mean_nll"] < rows[0]["train_mean_nll"]
    assert await recipe.run() == done  # a finished folder is not trained again


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [(OffPolicy, LESSONS | {"soft_targets": 2}), (OnPolicy, ASKED)],
    ids=["off-policy", "on-policy"],
)
async def test_probabilities_of_other_tokens_cost_no_run(
    recipe: type[Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="have different tokenizers"):
        await recipe(log_path=str(tmp_path), teacher=OTHER, **settings).run()
    assert not (tmp_path / "lessons.jsonl").exists()
    assert not (tmp_path / "checkpoints.jsonl").exists()


async def test_chats_of_ones_own_are_learnt_from_their_answers_or_from_teachers(
    tmp_path: Path,
) -> None:
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for number, file in enumerate(files):
        rows = [
            {"prompt": f"Say '{word}'.", "completion": word.upper()}
            for word in ("tin", "pan", "kettle", "can", "lid", "pot")[number::2]
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    small: dict[str, Any] = {"steps": 4, "batch_size": 2, "held_out": 1, "save_every": 0}
    learnt = await OffPolicy(log_path=str(tmp_path / "a"), data=str(files[0]), **small).run()
    assert learnt.figures["nll"].value < learnt.figures["before_nll"].value
    judged = await OnPolicy(
        log_path=str(tmp_path / "b"),
        data=f"{files[0]}, {files[1]}",
        teacher=f"{learnt.sampler_path},tinsmith/nano-qwen3",
        start_from=learnt.state_path,
        **ASKED | {"held_out": 1},
    ).run()
    assert {"before_teacher_kl", "teacher_kl"} == set(judged.figures)
    row, memo = measured(tmp_path / "b")[0][0], measured(tmp_path / "b")[1]
    # it began as the first teacher, and is another than the second
    assert memo["before_kl"][0] == pytest.approx(0, abs=1e-5)
    assert memo["before_kl"][1] != pytest.approx(0, abs=1e-5)
    assert {f"env/{file}/reward/total" for file in files} <= set(row)
