"""Rollouts: steps, groups and one group; texts, tokens and logprobs; search; bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catalog.models import BaseModel
from core import database
from runs import groups
from runs.models import Sequence
from tests.conftest import REPOSITORY
from tests.platform.console_api.conftest import Api, Browser, make_run

NANO = REPOSITORY / "gpu_workers" / "nano" / "nano-qwen3"


async def log_rollouts(api: Api, run: str, rollouts: list[dict[str, Any]]) -> None:
    """Record rollouts of a run."""
    response = await api.call(f"runs/{run}/rollouts", rollouts=rollouts)
    assert response.status_code == 200, response.text


async def test_steps_groups_and_a_group(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    rewards = {(0, 0): [1.0, 0.0], (0, 1): [0.0, 0.0], (3, 7): [0.5, "nan"]}
    await log_rollouts(
        api,
        run,
        [
            {
                "step": step,
                "group": group,
                "index": index,
                "prompt": f"what is {group}?",
                "completion": f"it is {index}",
                "reward": reward,
                "components": {"format": 1.0},
                "tags": ["sums"],
                "data": {"place": 3},
            }
            for (step, group), of_group in rewards.items()
            for index, reward in enumerate(of_group)
        ],
    )
    newest, oldest = (await browser.shown(f"runs/{run}/rollouts"))["steps"]
    assert (newest["step"], newest["rollouts"], newest["rewarded"], newest["mean"]) == (
        3,
        2,
        1,
        0.5,
    )
    assert (oldest["groups"], oldest["mixed"], oldest["mean"]) == (2, 1, 0.25)
    first, second = (await browser.shown(f"runs/{run}/rollouts/0"))["groups"]
    assert (first["group"], first["rewards"], first["mean"]) == (0, [1.0, 0.0], 0.5)
    assert (second["preview"], second["tags"]) == ("what is 1?", ["sums"])
    group = await browser.shown(f"runs/{run}/rollouts/3/7")
    one, two = group["rollouts"]
    assert one["prompt"]["pieces"] == ["what is 7?"]
    assert [turn["pieces"] for turn in two["turns"]] == [["it is 1"]]
    assert (one["reward"], two["reward"]) == (0.5, None)
    assert (one["components"], one["data"]) == ({"format": 1.0}, {"place": 3})


async def test_pages_of_steps_and_groups_hold_each_once(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log_rollouts(
        api, run, [{"step": step, "group": group} for step in range(5) for group in range(5)]
    )
    steps: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = await browser.shown(f"runs/{run}/rollouts", limit=2, **before)
        steps += [one["step"] for one in page["steps"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert steps == [4, 3, 2, 1, 0]
    groups: list[int] = []
    after: dict[str, int] = {}
    while True:
        page = await browser.shown(f"runs/{run}/rollouts/2", limit=3, **after)
        groups += [one["group"] for one in page["groups"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert groups == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("search", "groups"),
    [("kettle", [1]), ("KETTLE", [1]), ("alarm", [2]), ("50%", [2]), ("5_%", []), ("", [0, 1, 2])],
)
async def test_search_finds_the_groups_with_a_text(
    browser: Browser, api: Api, search: str, groups: list[int]
) -> None:
    run = await make_run(api)
    rollouts = [
        {"step": 0, "group": 0, "completion": "nothing"},
        {"step": 0, "group": 1, "index": 1, "completion": "mends the kettle"},
        {"step": 0, "group": 2, "tags": ["alarm"], "data": {"share": "50%"}},
        {"step": 1, "group": 9, "completion": "a kettle of another step"},
    ]
    await log_rollouts(api, run, rollouts)
    found = await browser.shown(f"runs/{run}/rollouts/0", search=search)
    assert [one["group"] for one in found["groups"]] == groups


@pytest.fixture
def nano(base_model: BaseModel) -> BaseModel:
    """A base model whose tokenizer is there."""
    base_model.tokenizer_id = base_model.source = str(NANO)
    base_model.save()
    return base_model


async def keep(run: str, name: str, tokens: list[int], logprobs: list[float]) -> None:
    """A sequence as it is kept with a run."""
    owner = await database_team(run)
    await Sequence.objects.acreate(
        run_id=run,
        team_id=owner,
        name=name,
        tokens=np.array(tokens, "<i4").tobytes(),
        logprobs=np.array(logprobs, "<f4").tobytes(),
    )


async def database_team(run: str) -> int:
    """The team of a run."""
    async with database.connection() as conn:
        cursor = await conn.execute("SELECT team_id FROM runs_trainingrun WHERE id = %s", (run,))
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


def encoded(text: str) -> list[int]:
    """A text in the nano model's tokens."""
    from tokenizers import Tokenizer

    return list(Tokenizer.from_file(str(Path(NANO) / "tokenizer.json")).encode(text).ids)


async def test_tokens_are_shown_as_the_text_they_are(
    browser: Browser, api: Api, nano: BaseModel
) -> None:
    run = await make_run(api)
    said = "The tinsmith mends the kettle; naïve 🙂 text."
    tokens = encoded(said)
    logprobs = [-0.5] * (len(tokens) - 1) + [float("-inf")]
    await keep(run, "s1", tokens, logprobs)
    rollout = {"step": 0, "sequences": ["s1", "gone"], "prompt_tokens": encoded("What is 1 + 1?")}
    await log_rollouts(api, run, [rollout])
    ((row,),) = [(await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]]
    first, second = row["turns"]
    assert "".join(first["pieces"]) == said
    assert len(first["pieces"]) == len(tokens) == row["tokens"]
    assert first["logprobs"] == [pytest.approx(-0.5)] * (len(tokens) - 1) + [None]
    assert (second["kept"], second["pieces"]) == (False, [])
    assert "".join(row["prompt"]["pieces"]) == "What is 1 + 1?"
    (group,) = (await browser.shown(f"runs/{run}/rollouts/0"))["groups"]
    assert group["preview"] == "What is 1 + 1?"


async def test_tokens_without_a_tokenizer_are_shown_by_number(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log_rollouts(api, run, [{"step": 0, "completion_tokens": [5, 7]}])
    (row,) = (await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]
    assert row["turns"][0]["pieces"] == ["⟨5⟩", "⟨7⟩"]


async def test_what_is_too_long_is_cut_and_told(
    browser: Browser, api: Api, nano: BaseModel
) -> None:
    run = await make_run(api)
    long = {"step": 0, "completion": "x" * 50_000, "prompt_tokens": [5] * 9000}
    await log_rollouts(api, run, [long])
    answer = await browser.get(f"runs/{run}/rollouts/0/0")
    (row,) = answer.json()["rollouts"]
    assert row["turns"][0]["cut"] == 10_000
    assert row["prompt"]["cut"] == 9000 - 8192


def cuts(row: dict[str, Any]) -> list[tuple[int, int]]:
    """Of each turn how many pieces are shown, and how many are cut."""
    assert all(turn["kept"] for turn in row["turns"])
    assert all(len(turn["pieces"]) == len(turn["logprobs"]) for turn in row["turns"])
    return [(len(turn["pieces"]), turn["cut"]) for turn in row["turns"]]


async def test_a_group_shows_so_many_tokens_in_all(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MAX_TOKENS", 10)
    monkeypatch.setattr(groups, "MAX_TOKENS_OF_GROUP", 25)
    monkeypatch.setattr(groups, "MAX_CHARACTERS_OF_GROUP", 5)
    run = await make_run(api)
    await keep(run, "long", [*range(12)], [-0.5] * 12)
    await keep(run, "short", [*range(4)], [-0.5] * 4)
    rollouts: list[dict[str, Any]] = [
        {"index": 0, "sequences": ["long", "short", "long"], "prompt": "abc"},
        {"index": 1, "sequences": ["long", "short"], "prompt": "abc"},
        {"index": 2, "prompt_tokens": [1, 2], "completion_tokens": [1, 2, 3]},
    ]
    await log_rollouts(api, run, [{"step": 0, "group": 0, **one} for one in rollouts])
    shown = (await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]
    assert [cuts(row) for row in shown] == [
        [(10, 2), (4, 0), (10, 2)],
        [(1, 11), (0, 4)],
        [(0, 3)],
    ]
    prompts = [(row["prompt"]["pieces"], row["prompt"]["cut"]) for row in shown]
    assert prompts == [(["abc"], 0), (["ab"], 1), ([], 2)]
    assert [row["tokens"] for row in shown] == [28, 16, 3]


async def test_a_group_shows_so_many_turns_in_all(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MAX_TURNS_OF_GROUP", 4)
    run = await make_run(api)
    await keep(run, "s", [5, 7], [-0.5] * 2)
    rollouts = [{"step": 0, "index": index, "sequences": ["s"] * 3} for index in range(3)]
    await log_rollouts(api, run, rollouts)
    shown = (await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]
    assert [cuts(row) for row in shown] == [
        [(2, 0), (2, 0), (2, 0)],
        [(2, 0), (0, 4)],
        [(0, 6)],
    ]
    assert [row["tokens"] for row in shown] == [6, 6, 6]


async def test_the_same_sequence_again_and_again_is_answered_soon(
    browser: Browser, api: Api, nano: BaseModel
) -> None:
    run = await make_run(api)
    await keep(run, "s", [5] * 8192, [-0.5] * 8192)
    many = [{"step": 0, "index": index, "sequences": ["s"] * 200} for index in range(100)]
    await log_rollouts(api, run, many)
    shown = (await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]
    assert len(shown) == 100
    pieces = sum(len(turn["pieces"]) for row in shown for turn in row["turns"])
    assert pieces == groups.MAX_TOKENS_OF_GROUP
    assert {row["tokens"] for row in shown} == {200 * 8192}


@pytest.mark.parametrize(
    "address",
    ["rollouts?limit=0", "rollouts?before=x", "rollouts/0?limit=501", "rollouts/0?after=-2"],
)
async def test_what_is_out_of_bounds_is_refused(browser: Browser, api: Api, address: str) -> None:
    run = await make_run(api)
    assert (await browser.get(f"runs/{run}/{address}")).status_code == 400


async def test_huge_numbers_lead_nowhere(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    assert (await browser.shown(f"runs/{run}/rollouts/{10**30}"))["groups"] == []
    assert (await browser.shown(f"runs/{run}/rollouts/0/{10**30}"))["rollouts"] == []
