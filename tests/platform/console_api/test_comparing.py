"""Runs side by side: settings, curves, matched prompts and what their difference is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from runs import matching
from tests.platform.console_api.conftest import Api, Browser, log, make_run

RUNS = "compare?run={}&run={}"


async def roll_out(api: Api, run: str, rewards: dict[str, list[Any]], step: int = 0) -> None:
    """Record a group of rollouts for each prompt."""
    rollouts = [
        {"step": step, "group": group, "index": index, "prompt": prompt, "reward": reward}
        for group, (prompt, of_group) in enumerate(rewards.items())
        for index, reward in enumerate(of_group)
    ]
    answer = await api.call(f"runs/{run}/rollouts", rollouts=rollouts)
    assert answer.status_code == 200, answer.text


async def prompts(browser: Browser, *runs: str, **more: Any) -> Any:
    """The matched prompts of runs."""
    return await browser.shown("compare/prompts", run=list(runs), **more)


async def test_settings_that_differ_come_first_and_missing_ones_are_told(
    browser: Browser, api: Api
) -> None:
    lora = {"rank": 8, "train_unembed": True, "train_mlp": True, "train_attn": True}
    metadata = {"name": "a", "lr": "1e-4", "same": "x"}
    a = await make_run(api, user_metadata=metadata, lora_config=lora | {"seed": 1})
    b = await make_run(
        api, user_metadata={"name": "b", "same": "x"}, lora_config=lora | {"seed": 1, "rank": 4}
    )
    shown = await browser.shown("compare", run=[a, b])
    assert [one["name"] for one in shown["runs"]] == ["a", "b"]
    settings = {one["key"]: one["values"] for one in shown["settings"] if one["differs"]}
    assert settings == {
        "rank": ["8", "4"],
        "metadata: name": ["a", "b"],
        "metadata: lr": ["1e-4", None],
    }
    same = {one["key"]: one["values"] for one in shown["settings"] if not one["differs"]}
    assert (same["metadata: same"], same["seed"]) == (["x", "x"], ["1", "1"])
    differs = [one["differs"] for one in shown["settings"]]
    assert differs == sorted(differs, reverse=True)


async def test_metrics_say_which_runs_lack_them_and_curves_come_in_the_order_of_runs(
    browser: Browser, api: Api
) -> None:
    a, b = await make_run(api), await make_run(api)
    await log(api, a, ("loss", 0, 2.0), ("loss", 1, 1.0), ("kl", 0, 0.5))
    await log(api, b, ("loss", 0, 3.0), ("loss", 5, 2.5))
    shown = await browser.shown("compare", run=[b, a])
    assert [(one["key"], one["has"], one["last"]) for one in shown["metrics"]] == [
        ("loss", [True, True], [2.5, 1.0]),
        ("kl", [False, True], [None, 0.5]),
    ]
    curves = await browser.shown("compare/series", run=[b, a], key=["loss", "kl"])
    found = [[(one["key"], one["steps"], one["last"]) for one in run] for run in curves["runs"]]
    assert found == [
        [("loss", [0, 5], [3.0, 2.5]), ("kl", [], [])],
        [("loss", [0, 1], [2.0, 1.0]), ("kl", [0], [0.5])],
    ]


async def test_prompts_are_matched_by_what_was_asked(browser: Browser, api: Api) -> None:
    a, b, c = [await make_run(api) for _ in range(3)]
    await roll_out(api, a, {"x": [0, 1], "y": [1], "only a": [1], "bare": ["nan"]})
    await roll_out(api, a, {"x": [1, 1]}, step=4)
    await roll_out(api, b, {"y": [0.5], "x": [0], "bare": [1]})
    await roll_out(api, c, {"y": [0]})
    found = await prompts(browser, a, b, c)
    shown = [
        (one["preview"], [each and each["mean"] for each in one["runs"]], one["spread"])
        for one in found["prompts"]
    ]
    # what has no finite reward has nothing to compare
    assert shown == [("y", [1, 0.5, 0], 1), ("x", [0.75, 0, None], 0.75)]
    assert found["total"] == 2
    assert found["prompts"][1]["runs"][0] == {"mean": 0.75, "rollouts": 4, "step": 4, "group": 0}
    assert found["differences"] == [
        {"place": 1, "prompts": 2, "mean": None, "low": None, "high": None},
        {"place": 2, "prompts": 1, "mean": None, "low": None, "high": None},
    ]
    second = await prompts(browser, a, b, c, limit=1, offset=1)
    assert [one["preview"] for one in second["prompts"]] == ["x"]


async def test_tokens_match_where_there_is_no_text(browser: Browser, api: Api) -> None:
    a, b = await make_run(api), await make_run(api)
    for run, reward in ((a, 0), (b, 1)):
        rollout = {"step": 0, "prompt_tokens": [1, 2, 3], "reward": reward}
        assert (await api.call(f"runs/{run}/rollouts", rollouts=[rollout])).is_success
    (one,) = (await prompts(browser, a, b))["prompts"]
    assert (one["preview"], one["spread"]) == ("⟨1⟩⟨2⟩⟨3⟩", 1)


async def test_the_difference_is_said_from_six_prompts_on(browser: Browser, api: Api) -> None:
    a, b = await make_run(api), await make_run(api)
    chance = np.random.default_rng(3)
    first, second = chance.random(40), chance.random(40) * 0.2 + 0.8
    await roll_out(api, a, {f"p{at}": [float(one)] for at, one in enumerate(first)})
    await roll_out(api, b, {f"p{at}": [float(one)] for at, one in enumerate(second)})
    (found,) = (await prompts(browser, a, b))["differences"]
    assert found["prompts"] == 40
    assert found["mean"] == pytest.approx(float((second - first).mean()))
    assert 0 < found["low"] < found["mean"] < found["high"]
    # the same rollouts say the same, whatever is shown of them
    assert (await prompts(browser, a, b, limit=1))["differences"] == [found]
    (back,) = (await prompts(browser, b, a))["differences"]
    assert back["mean"] == pytest.approx(-found["mean"])
    five = await make_run(api)
    await roll_out(api, five, {f"p{at}": [1.0] for at in range(5)})
    (few,) = (await prompts(browser, a, five))["differences"]
    assert (few["prompts"], few["mean"], few["low"]) == (5, None, None)


def test_the_interval_holds_what_it_says() -> None:
    """Of many samples with a known mean, about 95 % of the intervals hold it."""
    chance = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        low, high = matching.interval(chance.normal(0.3, 1.0, 80))
        held += low <= 0.3 <= high
    assert 0.91 <= held / 300 <= 0.98
    assert matching.interval(np.full(6, 0.25)) == (0.25, 0.25)
    wide, narrow = (matching.interval(chance.normal(0, 1, n)) for n in (20, 2000))
    assert wide[1] - wide[0] > 5 * (narrow[1] - narrow[0])


async def test_only_the_newest_rollouts_are_looked_at(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = matching._MATCHED.replace(f"LIMIT {matching.MAX_ROLLOUTS}", "LIMIT 2")
    monkeypatch.setattr(matching, "_MATCHED", statement)
    a, b = await make_run(api), await make_run(api)
    for step in range(4):
        for run in (a, b):
            await roll_out(api, run, {f"p{step}": [1.0]}, step=step)
    found = await prompts(browser, a, b)
    assert {one["preview"] for one in found["prompts"]} == {"p2", "p3"}


async def test_other_teams_runs_are_not_there(
    browser: Browser, stranger: Browser, api: Api
) -> None:
    a, b = await make_run(api), await make_run(api)
    for way in ("", "/series", "/prompts"):
        address = RUNS.format(a, b).replace("compare", f"compare{way}") + "&key=loss" * bool(
            way == "/series"
        )
        assert (await browser.get(address)).status_code == 200, way
        assert (await stranger.get(address)).status_code == 404, way


@pytest.mark.parametrize(
    ("way", "more"),
    [
        ("compare", {"run": ["{a}"]}),
        ("compare", {"run": ["{a}", "{a}"]}),
        ("compare", {"run": ["{a}", "{b}"], "what": "else"}),
        ("compare", {"run": [str(at) for at in range(21)]}),
        ("compare/series", {"run": [str(at) for at in range(7)], "key": "loss"}),
        ("compare/series", {"run": ["{a}", "{b}"]}),
        ("compare/series", {"run": ["{a}", "{b}"], "key": [str(at) for at in range(7)]}),
        ("compare/prompts", {"run": ["{a}", "{b}"], "limit": "0"}),
    ],
)
async def test_what_cannot_be_compared_is_refused(
    browser: Browser, api: Api, way: str, more: dict[str, Any]
) -> None:
    a, b = await make_run(api), await make_run(api)
    asked = {
        name: [one.format(a=a, b=b) for one in value] if isinstance(value, list) else value
        for name, value in more.items()
    }
    answer = await browser.get(way, params=asked)
    assert answer.status_code == 400, answer.text
