"""Three recipes as they stand, from nothing to their goals: chats, preferences, RL with a tool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LiveStack
from tinsmith import SamplingParams, ServiceClient, renderers
from tinsmith_recipes.chat_sl.data import held_out_chats

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

MODEL = "tinsmith/nano-qwen3"
# what the recipes say of themselves, said a second time: a goal that is lowered is noticed
GOALS = {
    "preference.dpo": {"before": (0.0, 0.6), "preferred": (0.9, 1.0)},
    "tool_use": {"without_tool": (0.0, 0.2), "accuracy": (0.8, 1.0)},
    "chat_sl": {"before": (0.0, 0.1), "exact_match": (0.9, 1.0), "general": (0.8, 1.0)},
}
ASKED = 40


def test_three_recipes_reach_their_goals(live_stack: LiveStack, tmp_path: Path) -> None:
    where = {"TINSMITH_BASE_URL": live_stack.url, "TINSMITH_API_KEY": live_stack.api_key}
    words = ["recipes", "prove", *GOALS, "--seeds", "1", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "tinsmith.cli", *words]
    done = subprocess.run(command, env={**os.environ, **where}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(one["recipe"], one["seed"], one["missed"]) for one in report] == [
        (name, 0, []) for name in GOALS
    ]
    found = {one["recipe"]: one["summary"] for one in report}
    for name, goals in GOALS.items():
        for figure, (least, most) in goals.items():
            assert least <= found[name]["figures"][figure]["value"] <= most, (name, figure)
    assert right_answers(found["chat_sl"]["sampler_path"], live_stack) >= 0.9


def right_answers(path: str, stack: LiveStack) -> float:
    """The share of held-out chats that a checkpoint ends right, asked without any recipe."""
    chats: list[Any] = held_out_chats(ASKED)
    with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
        sampler = service.create_sampling_client(model_path=path)
        renderer = renderers.for_model(MODEL, sampler.get_tokenizer())
        params = SamplingParams(max_tokens=64, temperature=0.0, stop=renderer.stop)
        drawn = [sampler.sample(renderer.prompt(chat[:-1]), 1, params) for chat in chats]
        said = [renderer.parse(one.result().sequences[0].tokens).message for one in drawn]
    right = [one["content"] == chat[-1]["content"] for one, chat in zip(said, chats, strict=True)]
    return sum(right) / len(right)
