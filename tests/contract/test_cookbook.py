"""The public cookbook's own training code, unchanged, against a whole platform and offline.

Two variables lead it here, as they lead any script that was written for the hosted service. Its
recipes run as commands; what it leaves to its users, environments and comparisons, stands in
`scenarios/cookbook_*.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from tests.conftest import (
    LiveStack,
    make_folder,
    remove_folder,
    start_up,
    stop_up,
    wait_ready,
)
from tests.contract.clients import Client
from tests.contract.cookbook import (
    COOKBOOK,
    HELD,
    MODEL,
    RANK,
    RENDERER,
    UNTIED_MODEL,
    Recipes,
    Row,
    furnish,
)
from tests.contract.overheard import Overheard
from tinsmith import ServiceClient

CHAT = {"batch_size": 8, "learning_rate": 1e-2}
STEPS = 16
NAMES = {"base_model": MODEL, "renderer_name": RENDERER}


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """A platform that offers the nano model under a name that the cookbook knows."""
    folder = make_folder()
    process = start_up(folder, "--model", f"{MODEL}={HELD[MODEL]}")
    try:
        yield wait_ready(process, folder)
        assert stop_up(process) == 0, (folder / "up.log").read_text()
    finally:
        stop_up(process)
        remove_folder(folder)


@pytest.fixture(scope="module")
def recipes(stack: LiveStack, tmp_path_factory: pytest.TempPathFactory) -> Recipes:
    """The cookbook's commands, in a folder with the data they load."""
    folder = tmp_path_factory.mktemp("cookbook")
    furnish(folder)
    return Recipes(stack, folder)


@pytest.fixture(scope="module")
def cookbook(stack: LiveStack, recipes: Recipes) -> Iterator[Client]:
    """A process that has the cookbook, in the same folder."""
    running = Client(COOKBOOK, stack.url, stack.api_key, folder=recipes.folder)
    yield running
    running.close()


@pytest.fixture(scope="module")
def taught(recipes: Recipes) -> Row:
    """The last checkpoint of the supervised tutorial, which has to have learnt."""
    rows = recipes.run("sl_loop", "sl", save_every=6, **CHAT)
    _assert_learnt(rows)
    saved = recipes.checkpoints("sl")
    assert [row["name"] for row in saved] == ["000006", "000012", "final"]
    return saved[-1]


def _assert_learnt(rows: list[Row]) -> None:
    losses = _finite(rows, "train_mean_nll")
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert losses[-1] < 0.1 * losses[0]


def _finite(rows: list[Row], name: str) -> list[float]:
    """A metric's values in the rows that have it, none of them infinite or no number."""
    values = [row[name] for row in rows if name in row]
    assert values, f"no {name} in {sorted(set().union(*rows))}"
    assert all(map(math.isfinite, values)), values
    return values


def test_the_supervised_tutorial(taught: Row, cookbook: Client) -> None:
    told = cookbook.run(
        "cookbook_chat.answers",
        **NAMES,
        path=taught["sampler_path"],
        question="tin zinc lead: one or two?",
        count=32,
    )
    assert {"\\boxed{1}", "\\boxed{2}"} & set(told), told


def test_the_rl_tutorial(taught: Row, recipes: Recipes) -> None:
    recipes.go_on_from(taught, "rl")
    rows = recipes.run(
        "rl_loop", "rl", batch_size=4, group_size=8, max_tokens=16, save_every=2, learning_rate=1e-4
    )
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert 0 < sum(_finite(rows, "reward/total")) < 3
    _finite(rows, "unclipped_grad_norm:mean")  # a step with good and bad answers was trained on
    names = [row["name"] for row in recipes.checkpoints("rl")]
    assert names == ["start", "000002", "final"]


def test_a_killed_chat_run_goes_on(recipes: Recipes, stack: LiveStack) -> None:
    options = {"dataset": "no_robots", "eval_every": 5, "save_every": 3, "rolling_save_every": 1}
    options |= CHAT | {"behavior_if_log_dir_exists": "resume"}

    def is_saved() -> bool:
        return any("sampler_path" in row for row in recipes.checkpoints("chat"))

    recipes.kill_once(is_saved, "chat_sl.train", "chat", **options)
    interrupted = recipes.checkpoints("chat")
    assert interrupted[-1]["name"] != "final"

    rows = recipes.run("chat_sl.train", "chat", **options)
    _assert_learnt(rows)
    # where it went on, it was as good as where it was killed
    assert rows[interrupted[-1]["batch"]]["train_mean_nll"] < 0.5 * rows[0]["train_mean_nll"]
    assert _finite(rows, "test/nll")[-1] < 0.1 * _finite(rows, "test/nll")[0]
    first, last = interrupted[-1]["state_path"], recipes.checkpoints("chat")[-1]["state_path"]
    assert _run(first) != _run(last)
    _assert_kept(stack, _run(last))


def _run(path: str) -> str:
    return path.removeprefix("tinker://").split("/")[0]


def _assert_kept(stack: LiveStack, run: str) -> None:
    """Rolling checkpoints are gone, periodic ones expire, the final ones stay."""
    with httpx.Client(
        base_url=f"{stack.url}/api/v1/", headers={"X-API-Key": stack.api_key}
    ) as http:
        listed = http.get(f"training_runs/{run}/checkpoints").json()["checkpoints"]
        metadata = http.get(f"training_runs/{run}").json()["user_metadata"]
    expires = {item["checkpoint_id"]: item["expires_at"] for item in listed}
    kinds = {name.split("/")[0] for name in expires}
    steps = {name.split("/")[1] for name in expires}
    assert kinds == {"weights", "sampler_weights"}
    assert steps - {"final"} <= {f"{step:06d}" for step in range(3, STEPS, 3)}
    assert {name for name, at in expires.items() if at is None} == {
        "weights/final",
        "sampler_weights/final",
    }
    assert metadata["renderer_name"] == RENDERER


WAYS = {
    "synchronous": "importance_sampling",
    "with a KL penalty": "importance_sampling",
    "streamed": "importance_sampling",
    "asynchronous": "stable_reinforce",
}
# trained on what the very same weights have sampled, in one step
ON_POLICY = {"synchronous", "streamed"}


@pytest.mark.parametrize("way", WAYS)
def test_rl(cookbook: Client, recipes: Recipes, way: str) -> None:
    assert cookbook.run("cookbook_rl.learn", **NAMES, log_path=way, way=way) == WAYS[way]
    rows = [row for row in recipes.metrics(way) if "optim/lr" in row]
    assert [row["step"] for row in rows] == [0, 1, 2]
    for name in ("optim/entropy", "optim/kl_sample_train_v1", "unclipped_grad_norm:mean"):
        assert len(_finite(rows, name)) == 3, name
    differences = _finite(rows, "optim/kl_sample_train_v2")
    assert (max(differences) < 1e-9) is (way in ON_POLICY)
    rewards = [one["total_reward"] for step in range(3) for one in recipes.episodes(way, step)]
    assert len(rewards) == 36
    assert sum(_finite(rows, "env/all/reward/total")) == pytest.approx(sum(rewards) / 12)
    # right or wrong, well formed or not; so many answers are not all alike
    assert set(rewards) <= {1.0, 0.9, 0.0, -0.1}
    assert len(set(rewards)) > 1
    _finite(recipes.metrics(way), "test/env/all/reward/total")
    assert recipes.checkpoints(way)[-1]["name"] == "final"


def test_dpo(cookbook: Client, recipes: Recipes) -> None:
    cookbook.run("cookbook_dpo.prefer", **NAMES, log_path="dpo")
    rows = recipes.metrics("dpo")
    losses = _finite(rows, "dpo_loss")
    assert len(losses) == 4
    # at first the policy is its own reference
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4)
    assert losses[-1] < 0.5 * losses[0]
    assert rows[-1]["accuracy"] == 1.0
    _finite(rows, "test/nll")


def test_on_policy_distillation(
    taught: Row, cookbook: Client, recipes: Recipes, stack: LiveStack
) -> None:
    """What it samples is chance. All that follows from it is computed here a second time."""
    student = {"log_path": "on policy", "student_path": taught["state_path"]}
    steps = cookbook.run("cookbook_distillation.on_policy", **NAMES, **student)
    rows = recipes.metrics("on policy")
    assert len(steps) == len(rows) == 4
    last = recipes.checkpoints("on policy")[-1]["state_path"]
    with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
        teacher = service.create_lora_training_client(MODEL, rank=RANK)
        ours = service.create_training_client_from_state(taught["state_path"])
        for number, (step, row) in enumerate(zip(map(Overheard, steps), rows, strict=True)):
            sampled, worth = step.sampled("logprobs"), step.sampled("advantages")
            before = step.likelihoods(ours)
            assert sampled == pytest.approx(before, abs=1e-4)
            assert worth == pytest.approx(step.likelihoods(teacher) - before, abs=1e-3)
            assert row["teacher_kl"] == pytest.approx(-worth.mean(), abs=1e-4)
            step.train(ours, row["optim/lr"])
            if number == 0:  # Adam's first step is downhill, whatever was sampled, if it is small
                assert worth @ (step.likelihoods(ours) - before) > 0
        theirs = service.create_training_client_from_state(last)
        assert np.array_equal(step.likelihoods(ours), step.likelihoods(theirs))


def test_off_policy_distillation(taught: Row, cookbook: Client, recipes: Recipes) -> None:
    teacher = {"log_path": "off policy", "teacher_path": taught["sampler_path"]}
    chats = "HuggingFaceH4/no_robots/train.jsonl"
    cookbook.run("cookbook_distillation.off_policy", **NAMES, **teacher, chats=chats)
    losses = _finite(recipes.metrics("off policy"), "train/loss:sum")
    assert len(losses) == 4
    assert losses[-1] < 0.8 * losses[0]


# games play themselves: each turn of a model that knows none is an episode's last or costs reward
GAME = {"lora_rank": None, "max_tokens": 8, "max_steps": 2, "eval_every": 0, "save_every": 0}


def test_guess_the_number(recipes: Recipes) -> None:
    rows = recipes.run(
        "multiplayer_rl.guess_number.train",
        "guess",
        renderer_name=RENDERER,
        batch_size=2,
        group_size=2,
        **GAME,
    )
    steps = [row for row in rows if "optim/lr" in row]
    assert [row["step"] for row in steps] == [0, 1]
    for step in range(2):
        episodes = recipes.episodes("guess", step)
        assert len(episodes) == 4
        # ten turns, or a right guess: 0 is for a wrong one, -1 for what is none
        for rewards in ([turn["reward"] for turn in one["steps"]] for one in episodes):
            assert len(rewards) == 10 or rewards[-1] == 1
            assert set(rewards[:-1]) <= {0, -1}
    assert recipes.checkpoints("guess")[-1]["name"] == "final"


def test_tic_tac_toe(recipes: Recipes) -> None:
    rows = recipes.run(
        "multiplayer_rl.text_arena.train",
        "games",
        renderer_name=RENDERER,
        batch_size=4,
        num_train_datapoints=8,
        num_test_datapoints=4,
        **GAME,
    )
    steps = [row for row in rows if "optim/lr" in row]
    assert [row["step"] for row in steps] == [0, 1]
    _finite(steps, "env/all/reward/total")
    assert recipes.checkpoints("games")[-1]["name"] == "final"


def test_prompt_distillation(recipes: Recipes) -> None:
    rows = recipes.run(
        "prompt_distillation.train",
        "distilled",
        file_path="distilled.jsonl",
        renderer_name=RENDERER,
        num_epochs=4,
        save_every=0,
        eval_every=0,
        **CHAT,
    )
    losses = _finite(rows, "train_mean_nll")
    assert len(losses) == 12
    assert losses[-1] < 0.5 * losses[0]


def test_the_rlhf_pipeline(recipes: Recipes) -> None:
    recipes.run(
        "preference.rlhf.rlhf_pipeline",
        "rlhf",
        model_name=None,
        log_path=None,
        base_model=MODEL,
        short_name="nano",
        batch_size=4,
        max_length=1024,
        max_steps=3,
        sft_learning_rate=1e-2,
        rm_learning_rate=1e-2,
        rl_max_tokens=8,
        rl_group_size=3,
        eval_every=0,
        save_every=2,
    )
    stages = {stage: f"tinker-runs/rlhf-nano/{stage}" for stage in ("sft", "rm", "rl")}
    for path in stages.values():
        assert recipes.checkpoints(path)[-1]["name"] == "final"
    for stage in ("sft", "rm"):
        losses = _finite(recipes.metrics(stages[stage]), "train_mean_nll")
        assert losses[-1] < losses[0]
    steps = [row for row in recipes.metrics(stages["rl"]) if "optim/lr" in row]
    assert [row["step"] for row in steps] == [0, 1, 2]
    _finite(steps, "env/all/reward/total")


# a head that is also the embedding cannot take an adapter's change for itself alone
@pytest.mark.parametrize(("base_model", "train_unembed"), [(UNTIED_MODEL, True), (MODEL, False)])
def test_merged_weights(
    cookbook: Client, recipes: Recipes, base_model: str, train_unembed: bool
) -> None:
    seen = cookbook.run(
        "cookbook_weights.merged",
        base_model=base_model,
        train_unembed=train_unembed,
        folder=str(recipes.folder / "merged" / base_model),
    )
    assert seen["after"] < 0.9 * seen["before"]
    assert seen["merged"] == pytest.approx(seen["after"], rel=1e-4)
    assert seen["adapter"] == ["adapter_config.json", "adapter_model.safetensors"]
