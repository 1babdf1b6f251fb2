"""Chat SFT on a live platform: a reader's own chats, what comes of them, a run killed twice."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, LiveStack
from tests.support.killed import measured
from tests.support.waiting import eventually
from tinsmith import ServiceClient, renderers
from tinsmith.data import load_chats
from tinsmith_recipes.chat_sl.train import ChatSL
from tinsmith_recipes.evaluation import examine
from tinsmith_recipes.training.folder import RunFolder

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

MODEL = "tinsmith/nano-qwen3"
WORDS = ["kettle", "lamp", "bridge", "castle", "donkey", "spoon", "garden", "cup", "door", "tea"]
MOST_LINES = 8


def chats(path: Path, words: list[str] = WORDS) -> Path:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Ask for '{word}' in the shop."},
                {"role": "assistant", "content": f"One {word}!"},
            ]
        }
        for word in words
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def variables(live_stack: LiveStack) -> dict[str, str]:
    return {
        **os.environ,
        "TINSMITH_BASE_URL": live_stack.url,
        "TINSMITH_API_KEY": live_stack.api_key,
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with somebody's chats."""
    folder = tmp_path_factory.mktemp("shop")
    chats(folder / "chats.jsonl", WORDS[:4])
    chats(folder / "others.jsonl", WORDS[4:])
    chats(folder / "asked.jsonl", [*WORDS[:4], "tea" * 1000])
    return folder


@pytest.fixture(scope="module")
def tuned(shop: Path, variables: dict[str, str]) -> str:
    """The checkpoint that the program in the README ends with."""
    page = (REPOSITORY / "recipes" / "README.md").read_text()
    section = page.split("## Fine-tune on your own chats")[1].split("\n## ")[0]
    (program,) = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len([line for line in program.splitlines() if line.strip()]) <= MOST_LINES
    told = run(shop, variables, sys.executable, "-c", program)
    return told.split()[-1]


def run(folder: Path, variables: Mapping[str, str], *words: str) -> str:
    done = subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tinsmith(folder: Path, variables: Mapping[str, str], *words: str) -> str:
    return run(folder, variables, sys.executable, "-m", "tinsmith.cli", *words)


def test_the_program_of_the_readme_learns_a_readers_chats(
    tuned: str, shop: Path, variables: dict[str, str]
) -> None:
    assert re.fullmatch(r"tinker://.*:train:0/sampler_weights/final", tuned)
    words = ("eval", tuned, "--on", "asked.jsonl", "copy", "--limit", "12", "--max-tokens", "24")
    told = json.loads(tinsmith(shop, variables, *words, "--json"))
    assert (told["model"], told["base"]) == (tuned, MODEL)
    mine, copied = (one["figures"] for one in told["sets"])
    assert told["sets"][0]["count"] == 4
    (left_out,) = told["sets"][0]["left_out"]
    assert re.fullmatch(r"chat 5: it has \d+ tokens, and 2048 is the most", left_out)
    assert mine["exact_match"]["ours"]["value"] == 1
    assert mine["exact_match"]["base"]["value"] == 0
    assert mine["win_rate"]["ours"]["value"] == 1
    assert mine["nll"]["difference"]["high"] < 0
    assert copied["exact_match"]["base"]["value"] > 0.8
    begun = tuned.removeprefix("tinker://")[:20]
    shown = tinsmith(shop, variables, "eval", begun, *words[2:])
    assert f"{tuned} beside {MODEL}" in shown
    assert "exact match            100.0 % " in shown


async def test_what_eval_measures_is_what_training_computes(
    shop: Path, variables: dict[str, str]
) -> None:
    where = {"base_url": variables["TINSMITH_BASE_URL"], "api_key": variables["TINSMITH_API_KEY"]}
    async with ServiceClient(**where) as service:
        sampler = await service.create_sampling_client_async(base_model=MODEL)
        renderer = renderers.for_model(MODEL, sampler.get_tokenizer())
        found = load_chats(shop / "others.jsonl")
        scores = await examine(sampler, renderer, found, ask=False)
        training = await service.create_lora_training_client_async(MODEL, rank=4)
        data = [renderer.example(chat).datum() for chat in found]
        passed = await training.forward(data, "cross_entropy")
    weights = [datum.loss_fn_inputs["weights"].to_numpy() for datum in data]
    logprobs = [output["logprobs"].to_numpy() for output in passed.loss_fn_outputs]
    losses = [-float(a @ b) for a, b in zip(weights, logprobs, strict=True)]
    assert scores.losses == pytest.approx(losses, abs=1e-4)
    assert scores.counts == [int(one.sum()) for one in weights]
    assert scores.answers == []


def numbers(folder: Path) -> dict[str, Any]:
    """All that a run measured, times left out."""
    rows, memo, _ = measured(folder)
    summary = RunFolder.of(folder).summary
    assert summary is not None
    return {"rows": rows, "memo": memo, "figures": summary.figures}


def test_a_run_that_is_killed_twice_ends_with_the_same_numbers(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    settings = (
        "steps=10 batch_size=3 held_out=2 save_every=3 eval_every=4 general=4 rank=8 warmup=2"
    )
    data = chats(tmp_path / "chats.jsonl", WORDS * 2)
    command = [sys.executable, "-m", "tinsmith_recipes.chat_sl.train", f"data={data}"]
    command += ["seed=5", *settings.split()]
    run(tmp_path, variables, *command, f"log_path={tmp_path / 'calm'}")
    disturbed = tmp_path / "disturbed"
    for rows in (2, 7):  # before there is a checkpoint, and after two
        process = subprocess.Popen(
            [*command, f"log_path={disturbed}"], env=variables, stderr=subprocess.PIPE, text=True
        )
        try:
            eventually(lambda rows=rows: _rows(disturbed) >= rows, within_s=60)
        finally:
            process.kill()
            process.communicate()
        assert RunFolder.of(disturbed).summary is None
    run(tmp_path, variables, *command, f"log_path={disturbed}")
    assert numbers(disturbed) == numbers(tmp_path / "calm")
    assert [row["step"] for row in numbers(disturbed)["rows"]] == _steps(tmp_path / "calm")

    changed = data.read_text().replace("One", "Two")
    data.write_text(changed)
    (disturbed / "summary.json").unlink()
    done = subprocess.run(
        [*command, f"log_path={disturbed}"], env=variables, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "the data are not those that" in done.stderr


def _rows(folder: Path) -> int:
    file = folder / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def _steps(folder: Path) -> list[int]:
    return [row["step"] for row in RunFolder.of(folder).metrics]


async def test_a_rising_held_out_loss_and_forgetting_are_said_once(
    tmp_path: Path,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("TINSMITH_BASE_URL", "TINSMITH_API_KEY"):
        monkeypatch.setenv(name, variables[name])
    # what is held out is answered in another way: the more is learnt, the worse
    rows = chats(tmp_path / "chats.jsonl", WORDS).read_text().splitlines()
    recipe = ChatSL(
        data=str(tmp_path / "chats.jsonl"),
        log_path=str(tmp_path / "run"),
        steps=12,
        batch_size=8,
        held_out=1,
        eval_every=2,
        learning_rate=0.02,
        general=22,
        warmup=0,
    )
    from tinsmith_recipes.chat_sl.data import load

    (held,) = load(recipe.data, seed=0, held_out=1).held_out
    number = int(held.place.rpartition(":")[2]) - 1
    rows[number] = rows[number].replace("One ", "zzzz qqqq vvvv ")
    (tmp_path / "chats.jsonl").write_text("\n".join(rows) + "\n")
    summary = await recipe.run()
    told = capsys.readouterr().err
    assert told.count("the held-out loss has risen since step ") == 1
    assert told.count("forgetting: of general tasks the model did ") == 1
    assert summary.figures["general"].value < summary.figures["general_before"].value
    assert "12 steps are few" in told
