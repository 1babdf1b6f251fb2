"""The public cookbook in a Python of its own: its recipes as commands, and what they ask a hub for.

Its code is what `pip` brings; a user's two variables lead it here. Its recipes load data sets and
tokenizers from a hub by name. Offline they find folders of those names where they run.
"""

from __future__ import annotations

import importlib.metadata
import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY, LiveStack
from tests.contract.clients import (
    PUBLIC,
    Release,
    pip_install,
    user_environment,
    virtual_environment,
)
from tests.support.waiting import eventually

NANO = REPOSITORY / "gpu_workers" / "nano"
# a name that the cookbook has a renderer for; here it is a nano model's
MODEL = "Qwen/Qwen3-4B-Instruct-2507"
UNTIED_MODEL = "tinsmith/nano-llama3"
HELD = {MODEL: NANO / "nano-qwen3", UNTIED_MODEL: NANO / "nano-llama3"}
RENDERER = "qwen3_instruct"
# the build without a GPU; of the cookbook's extras: what rl_loop grades with, what has the games
ALSO = ("torch==2.13.0", "pylatexenc", "textarena")
# for the tokens of two families of models alone; the release that 0.6.1 asks for is hard to find
LEFT_OUT = "tml-renderers"
COMMAND_WITHIN_S = 180.0
METALS = ["tin", "lead", "zinc", "iron", "gold", "brass"]
# what its RL tutorial says before and after a question
ASKED_FOR = " Provide a numerical answer without units, written inside \\boxed{}."
SPELT_OUT = (
    "Let's spell the word out and number all the letters: 1) s 2) t 3) r 4) a 5) w 6) b 7) e 8) r "
    "9) r 10) y. We have r's at positions 3, 8, and 9. \\boxed{3}"
)
RANK = 8

Row = dict[str, Any]


@dataclass(frozen=True)
class CookbookRelease(Release):
    """A release of the cookbook beside the newest public client."""

    def python(self) -> str:
        """The interpreter that has both."""
        assert self.requirement is not None
        return virtual_environment(self.requirement, self._fill)

    def _fill(self, folder: Path) -> None:
        assert self.requirement is not None
        assert PUBLIC.requirement is not None
        pip_install(folder, "--no-deps", self.requirement)
        pip_install(folder, PUBLIC.requirement, *ALSO, *_needs(folder))


COOKBOOK = CookbookRelease("tinker", "tinker-cookbook==0.6.1")


def _needs(folder: Path) -> list[str]:
    """What the cookbook itself asks for, without its extras and what is left out."""
    packages = [str(path) for path in folder.glob("lib/*/site-packages")]
    (found,) = importlib.metadata.distributions(name="tinker-cookbook", path=packages)
    return [
        line
        for line in found.requires or []
        if "extra ==" not in line and not line.startswith(LEFT_OUT)
    ]


def furnish(folder: Path) -> None:
    """Give a folder the models and the data sets that recipes load by name."""
    for name, held in HELD.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).symlink_to(held)
    chats = folder / "HuggingFaceH4" / "no_robots"
    problems = folder / "openai" / "gsm8k"
    choose = random.Random(0)
    train = [_asked(choose) if number % 2 else _chat(choose) for number in range(128)]
    _write(chats / "train.jsonl", [{"messages": chat} for chat in train])
    _write(chats / "test.jsonl", [{"messages": _chat(choose)} for _ in range(8)])
    _name_splits(chats, "default", "train", "test")
    pairs = folder / "Anthropic" / "hh-rlhf"
    _write(pairs / "train.jsonl", [_preference(choose) for _ in range(48)])
    _write(pairs / "test.jsonl", [_preference(choose) for _ in range(4)])
    _name_splits(pairs, "default", "train", "test")
    translated = [{"messages": _chat(choose)[:2]} for _ in range(24)]
    _write(folder / "distilled.jsonl", translated)
    rows = [
        {"question": _question(choose), "answer": f"One of both. #### {number % 2 + 1}"}
        for number in range(12)
    ]
    _write(problems / "train.jsonl", rows)
    _name_splits(problems, "main", "train")


def _question(choose: random.Random) -> str:
    return f"{' '.join(choose.sample(METALS, 3))}: one or two?"


def _answer(choose: random.Random) -> dict[str, str]:
    return {"role": "assistant", "content": f"\\boxed{{{choose.choice((1, 2))}}}"}


def _chat(choose: random.Random) -> list[dict[str, str]]:
    """Questions that both answers are right to, so that RL on them finds good and bad answers."""
    messages = []
    for _ in range(4):
        messages.append({"role": "user", "content": _question(choose)})
        messages.append(_answer(choose))
    return messages


def _asked(choose: random.Random) -> list[dict[str, str]]:
    """The same as the RL tutorial asks it, so that what it samples is an answer at all."""
    question = {"role": "user", "content": _question(choose) + ASKED_FOR}
    first = {"role": "user", "content": f"How many r's are in strawberry?{ASKED_FOR}"}
    return [first, {"role": "assistant", "content": SPELT_OUT}, question, _answer(choose)]


def _preference(choose: random.Random) -> Row:
    """Two answers to one question, as this data set writes its chats; short ones are preferred."""
    asked = f"\n\nHuman: {choose.choice(('tin', 'lead', 'zinc'))}?\n\nAssistant: "
    return {"chosen": f"{asked}yes", "rejected": f"{asked}no, no, no"}


def _write(path: Path, rows: list[Row]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _name_splits(folder: Path, config: str, *splits: str) -> None:
    """The card of a data set: what its one configuration is called, and where its splits are."""
    files = "".join(f"  - split: {name}\n    path: {name}.jsonl\n" for name in splits)
    card = f"---\nconfigs:\n- config_name: {config}\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(card)


@dataclass
class Recipes:
    """Runs the cookbook's own modules as commands in a furnished folder."""

    stack: LiveStack
    folder: Path

    def run(self, module: str, log_path: str, /, **options: Any) -> list[Row]:
        """The metrics that a recipe has logged when it ends, which has to be with success.

        An option of None is one that this recipe has not.
        """
        process = self._start(module, log_path, options)
        try:
            process.wait(COMMAND_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == 0, self._output(log_path)
        return self.metrics(log_path)

    def kill_once(
        self, happened: Callable[[], bool], module: str, log_path: str, **options: Any
    ) -> None:
        """Start a recipe and kill it when something has happened."""
        process = self._start(module, log_path, options)
        try:
            eventually(lambda: happened() or process.poll() is not None, within_s=COMMAND_WITHIN_S)
            assert process.poll() is None, self._output(log_path)
        finally:
            process.kill()
            process.wait()

    def metrics(self, log_path: str) -> list[Row]:
        """What a run has logged, step by step."""
        return _rows(self.folder / log_path / "metrics.jsonl")

    def episodes(self, log_path: str, step: int) -> list[Row]:
        """What a step of an RL run was trained on: a row an episode, with its turns' rewards."""
        return _rows(
            self.folder / log_path / f"iteration_{step:06d}" / "train_rollout_summaries.jsonl"
        )

    def checkpoints(self, log_path: str) -> list[Row]:
        """What a run has saved, the last one last."""
        return _rows(self.folder / log_path / "checkpoints.jsonl")

    def go_on_from(self, checkpoint: Row, log_path: str) -> None:
        """Let a run that has not begun start with the weights of another one."""
        start = {"name": "start", "batch": 0, "state_path": checkpoint["state_path"]}
        _write(self.folder / log_path / "checkpoints.jsonl", [start])

    def _start(self, module: str, log_path: str, options: Row) -> subprocess.Popen[bytes]:
        given = {"model_name": MODEL, "lora_rank": RANK, "log_path": log_path} | options
        given = {name: value for name, value in given.items() if value is not None}
        command = [COOKBOOK.python(), "-m", f"tinker_cookbook.recipes.{module}"]
        command += [f"{name}={value}" for name, value in given.items()]
        with (self.folder / f"{log_path}.out").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=user_environment(self.stack.url, self.stack.api_key, self.folder),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _output(self, log_path: str) -> str:
        return (self.folder / f"{log_path}.out").read_text(errors="replace")[-6000:]


def _rows(path: Path) -> list[Row]:
    """The rows of a file, none while there is no file; a last line may be half written."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
