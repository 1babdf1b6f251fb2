"""Metrics and rollouts that programs record about their runs."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from core import database
from runs.models import Metric, Rollout
from tests.platform.tinker_api.conftest import Api
from tests.support.waiting import eventually_async


async def run_of(api: Api) -> str:
    return await api.run(await api.session())


def nested(depth: int) -> dict[str, Any]:
    """An object in an object in an object."""
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


def point(step: int, value: Any, key: str = "loss") -> dict[str, Any]:
    return {"key": key, "step": step, "value": value}


async def test_metrics_are_kept_once_and_come_back_in_the_order_of_arrival(api: Api) -> None:
    run = await run_of(api)
    given = [point(1, 2.5), point(0, 3), point(0, 0.5, "reward/mean"), point(1, 2.25)]
    for _ in range(2):  # a re-sent batch changes nothing
        response = await api.call(f"runs/{run}/metrics", metrics=given)
        assert (response.status_code, response.json()) == (200, {"recorded": 3})
    await api.call(f"runs/{run}/metrics", metrics=[point(2, "nan"), point(3, "-inf")])
    shown = (await api.get(f"runs/{run}/metrics", params={"key": "loss"})).json()
    found = {row["step"]: row["value"] for row in shown["metrics"]}
    assert found == {0: 3.0, 1: 2.25, 2: "nan", 3: "-inf"}
    assert await Metric.objects.filter(run_id=run).acount() == 5

    first = (await api.get(f"runs/{run}/metrics", params={"limit": 2})).json()
    rest = (await api.get(f"runs/{run}/metrics", params={"after": first["cursor"]})).json()
    assert (len(first["metrics"]), len(rest["metrics"])) == (2, 3)
    nothing = (await api.get(f"runs/{run}/metrics", params={"after": rest["cursor"]})).json()
    assert nothing == {"metrics": [], "cursor": rest["cursor"]}


async def test_a_number_recorded_again_reaches_who_reads_on(api: Api) -> None:
    run = await run_of(api)
    await api.call(f"runs/{run}/metrics", metrics=[point(0, 1), point(1, 2)])
    read = (await api.get(f"runs/{run}/metrics")).json()
    again = {"metrics": [point(0, 5)]}
    assert (await api.call(f"runs/{run}/metrics", **again)).json() == {"recorded": 1}
    new = (await api.get(f"runs/{run}/metrics", params={"after": read["cursor"]})).json()
    assert [(row["step"], row["value"]) for row in new["metrics"]] == [(0, 5.0)]
    whole = (await api.get(f"runs/{run}/metrics")).json()["metrics"]
    assert [(row["step"], row["value"]) for row in whole] == [(1, 2.0), (0, 5.0)]


async def test_numbers_become_visible_in_the_order_of_their_ids(api: Api) -> None:
    """Who is second waits for the first one's commit, else a reader would pass by the first's."""
    run = await run_of(api)
    async with database.transaction() as conn:
        await conn.execute("SELECT FROM runs_trainingrun WHERE id = %s FOR NO KEY UPDATE", (run,))
        second = asyncio.create_task(api.call(f"runs/{run}/metrics", metrics=[point(1, 2)]))
        others = await run_of(api)
        await api.call(f"runs/{others}/metrics", metrics=[point(0, 1)])
        await eventually_async(partial(waits_for_a_lock, conn))
        await conn.execute(
            """
            INSERT INTO runs_metric (run_id, team_id, key, step, value)
            SELECT id, team_id, 'loss', 0, 1 FROM runs_trainingrun WHERE id = %s
            """,
            (run,),
        )
    assert (await second).status_code == 200
    shown = (await api.get(f"runs/{run}/metrics")).json()["metrics"]
    assert [row["step"] for row in shown] == [0, 1]


async def waits_for_a_lock(conn: database.Connection) -> bool:
    found = await conn.execute("SELECT FROM pg_locks WHERE NOT granted")
    return await found.fetchone() is not None


async def test_rollouts_are_kept_once(api: Api) -> None:
    run = await run_of(api)
    given: list[dict[str, Any]] = [
        {"step": 0, "group": 1, "index": 0, "prompt": "1+1=", "completion": "2", "reward": 1},
        {
            "step": 0,
            "group": 0,
            "prompt_tokens": [1, 2],
            "completion_tokens": [],
            "reward": "nan",
            "data": {"parts": {"format": 0.5}, "turns": [1, "ü"]},
        },
        {"step": 4},
    ]
    for _ in range(2):
        response = await api.call(f"runs/{run}/rollouts", rollouts=given)
        assert (response.status_code, response.json()) == (200, {"recorded": 3})
    shown = (await api.get(f"runs/{run}/rollouts", params={"step": 0})).json()
    assert shown["total_count"] == 2
    tokens, words = shown["rollouts"]
    assert (tokens["prompt_tokens"], tokens["completion_tokens"]) == ([1, 2], [])
    assert (tokens["reward"], tokens["data"]["turns"]) == ("nan", [1, "ü"])
    assert (words["completion"], words["reward"], words["data"]) == ("2", 1.0, {})
    page = (await api.get(f"runs/{run}/rollouts", params={"limit": 1, "offset": 2})).json()
    assert (page["rollouts"][0]["step"], page["total_count"]) == (4, 3)


@pytest.mark.parametrize(
    ("what", "body", "named"),
    [
        ("metrics", {"metrics": [point(0, "big")]}, "-inf"),
        ("metrics", {"metrics": [point(-1, 1.0)]}, "step"),
        ("metrics", {"metrics": [point(0, 1.0, "")]}, "key"),
        ("metrics", {"metrics": [point(0, 1.0, "x" * 201)]}, "key"),
        ("metrics", {"metrics": [point(n, 1.0) for n in range(1001)]}, "1000"),
        ("metrics", {"metrics": [point(0, 1.0) | {"unit": "s"}]}, "unit"),
        ("metrics", {}, "metrics"),
        ("metrics", {"metrics": [point(0, 1.0, "a" * 195 + "\0")]}, "NUL"),
        ("rollouts", {"rollouts": [{"step": 0, "data": nested(900)}]}, "nested"),
        ("rollouts", {"rollouts": [{"step": 0, "prompt_tokens": [2**31]}]}, "prompt_tokens"),
        ("rollouts", {"rollouts": [{"step": 0, "data": {"x": "y" * 70_000}}]}, "65536"),
        ("rollouts", {"rollouts": [{"step": 0, "reward": "good"}]}, "reward"),
        ("rollouts", {"rollouts": [{"group": 0}]}, "step"),
    ],
)
async def test_what_is_wrong_is_named_and_nothing_is_kept(
    api: Api, what: str, body: dict[str, Any], named: str
) -> None:
    run = await run_of(api)
    response = await api.call(f"runs/{run}/{what}", **body)
    assert response.status_code == 400, response.text
    assert named in response.json()["detail"]
    assert not await Metric.objects.aexists()
    assert not await Rollout.objects.aexists()


async def test_a_nul_character_costs_no_batch(api: Api) -> None:
    """Models of bytes sample it: what is good is kept as it is, and what is not is told."""
    run = await run_of(api)
    given = [
        {"step": 0, "index": 0, "completion": "good"},
        {"step": 0, "index": 1, "prompt": "\0", "completion": "a\0b", "reward": 0.5},
        {"step": 0, "index": 2, "completion": '{"a": "\\u0000"}'},
        {"step": 0, "index": 3, "data": {"k\0": ["x", {"y": "\0"}]}},
    ]
    answer = (await api.call(f"runs/{run}/rollouts", rollouts=given)).json()
    assert (answer["recorded"], answer["escaped"]) == (4, [1, 3])
    assert "2 of the rows hold NUL characters" in answer["detail"]
    shown = (await api.get(f"runs/{run}/rollouts")).json()["rollouts"]
    assert [row["completion"] for row in shown] == ["good", "a\\u0000b", '{"a": "\\u0000"}', None]
    assert (shown[1]["prompt"], shown[1]["reward"]) == ("\\u0000", 0.5)
    assert shown[3]["data"] == {"k\\u0000": ["x", {"y": "\\u0000"}]}

    metrics = [point(0, 1.0), point(0, 2.0, "a\0b"), point(1, 3.0, "\\u0000")]
    answer = (await api.call(f"runs/{run}/metrics", metrics=metrics)).json()
    assert (answer["recorded"], answer["escaped"]) == (3, [1])
    for key in ("a\0b", "a\\u0000b"):
        shown = (await api.get(f"runs/{run}/metrics", params={"key": key})).json()["metrics"]
        assert [(row["key"], row["value"]) for row in shown] == [("a\\u0000b", 2.0)]


async def test_too_much_at_once_is_refused(api: Api) -> None:
    run = await run_of(api)
    rollouts = [{"step": n, "prompt": "x" * 900_000} for n in range(20)]
    response = await api.call(f"runs/{run}/rollouts", rollouts=rollouts)
    assert response.status_code == 413
    assert "several requests" in response.json()["detail"]
    assert not await Rollout.objects.aexists()


async def test_other_teams_see_and_write_nothing(api: Api, other_api: Api) -> None:
    run = await run_of(api)
    await api.call(f"runs/{run}/metrics", metrics=[point(0, 1.0)])
    for what, row in (("metrics", point(0, 9.0)), ("rollouts", {"step": 0})):
        written = await other_api.call(f"runs/{run}/{what}", **{what: [row]})
        read = await other_api.get(f"runs/{run}/{what}")
        assert (written.status_code, read.status_code) == (404, 404)
    assert [row.value async for row in Metric.objects.all()] == [1.0]
    assert not await Rollout.objects.aexists()
