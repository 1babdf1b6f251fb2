"""The list of runs and one run: pages, search, states, cost, and what other teams see of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Team
from catalog.models import BaseModel
from core import database
from tests.platform.console_api.conftest import Api, Browser, Open, log, make_person, make_run
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint
from tests.support.sessions import end_sessions
from usage import services as usage
from usage.models import Kind
from usage.services import Used


async def test_a_run_is_listed_with_its_headline(browser: Browser, api: Api) -> None:
    run = await make_run(api, user_metadata={"name": "first", "planned_steps": "20"})
    points = [("env/reward/total", step, step / 10) for step in range(10)]
    await log(api, run, *points, ("num_loss_tokens", 3, 5.0), ("loss", 11, 1.0))
    (row,) = (await browser.shown("runs"))["runs"]
    assert (row["id"], row["team"], row["name"]) == (run, "team", "first")
    assert (row["step"], row["planned_steps"]) == (11, 20)
    head = row["headline"]
    assert (head["key"], head["better"]) == ("env/reward/total", "up")
    assert (head["first_value"], head["value"]) == (0.0, 0.9)
    assert head["spark"] == sorted(head["spark"])
    assert (head["spark"][0], head["spark"][-1]) == (0.0, 0.9)


async def test_steps_that_are_times_are_steps_too(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    steps = [0, 1_790_000_000_000_000_000, 2**63 - 1]
    await log(api, run, *(("loss", step, float(number)) for number, step in enumerate(steps)))
    (row,) = (await browser.shown("runs"))["runs"]
    assert row["headline"]["spark"] == [0.0] * 5 + [1.0] * 18 + [2.0]
    assert (await browser.shown(f"runs/{run}"))["step"] == 2**63 - 1


async def test_numbers_beyond_64_bits_are_shown_as_they_were_recorded(
    browser: Browser, api: Api
) -> None:
    run = await make_run(api)
    rollout = {"step": 0, "group": 0, "index": 0, "completion": "a", "data": {"n": 10**20}}
    response = await api.call(f"runs/{run}/rollouts", rollouts=[rollout])
    assert response.status_code == 200, response.text
    (shown,) = (await browser.shown(f"runs/{run}/rollouts/0/0"))["rollouts"]
    assert shown["data"] == {"n": 10**20}


async def test_a_run_without_metrics_is_listed_too(browser: Browser, api: Api) -> None:
    await make_run(api)
    (row,) = (await browser.shown("runs"))["runs"]
    assert (row["headline"], row["step"], row["name"]) == (None, None, "")
    assert row["usage"] == {"kinds": [], "tokens": 0, "cost": None, "partly": False}


@pytest.mark.parametrize("sort", ["-created", "created", "-active", "active"])
async def test_pages_hold_every_run_once(browser: Browser, api: Api, sort: str) -> None:
    made = [await make_run(api) for _ in range(5)]
    found: list[str] = []
    cursor, pages = "", 0
    while True:
        params = {"limit": 2, "sort": sort} | ({"cursor": cursor} if cursor else {})
        page = await browser.shown("runs", **params)
        found += [row["id"] for row in page["runs"]]
        pages += 1
        if page["next"] is None:
            break
        cursor = page["next"]
        if pages == 1:
            await make_run(api)  # a page does not move under its reader
    assert pages >= 3
    assert len(found) == len(set(found))
    assert set(made) <= set(found)
    if "created" in sort:
        ordered = made[::-1] if sort.startswith("-") else made
        assert [run for run in found if run in made] == ordered


@pytest.mark.parametrize(
    ("search", "found"),
    [("", 2), ("FIRST", 1), ("blue", 1), ("tiny", 2), ("100%", 1), ("0_%", 0), ("nowhere", 0)],
)
async def test_search_looks_at_names_models_and_metadata(
    browser: Browser, api: Api, search: str, found: int
) -> None:
    await make_run(api, user_metadata={"name": "First"})
    await make_run(api, user_metadata={"colour": "blue 100%"})
    assert len((await browser.shown("runs", search=search))["runs"]) == found


async def test_search_finds_a_run_by_its_id(browser: Browser, api: Api) -> None:
    run, _ = await make_run(api), await make_run(api)
    assert [row["id"] for row in (await browser.shown("runs", search=run))["runs"]] == [run]


async def test_a_sessions_runs_are_listed_alone(browser: Browser, api: Api) -> None:
    run, _ = await make_run(api), await make_run(api)
    session = run.partition(":")[0]
    rows = (await browser.shown("runs", session=session))["runs"]
    assert [row["id"] for row in rows] == [run]


@pytest.mark.parametrize(
    ("reason", "state"),
    [("success", "finished"), ("errored", "failed"), ("expired", "stopped")],
)
async def test_the_end_of_a_session_is_the_runs_state(
    browser: Browser, api: Api, reason: str, state: str
) -> None:
    run = await make_run(api)
    await sync_to_async(end_sessions)(run.partition(":")[0], reason=reason)
    assert (await browser.shown(f"runs/{run}"))["state"] == state
    assert len((await browser.shown("runs", state=state))["runs"]) == 1
    assert (await browser.shown("runs", state="training"))["runs"] == []


async def test_what_lies_in_the_queue_makes_a_run_wait(
    browser: Browser, api: Api, hand: Hand
) -> None:
    run = await make_run(api)
    assert (await browser.shown(f"runs/{run}"))["state"] == "training"
    async with database.connection() as conn:
        await conn.execute(
            "UPDATE operations_operation SET created_at = created_at - interval '10 s'"
        )
    assert (await browser.shown(f"runs/{run}"))["state"] == "waiting"
    await sync_to_async(hand.claim)()
    assert (await browser.shown(f"runs/{run}"))["state"] == "training"


async def test_a_failure_is_told_with_what_its_caller_was_told(
    browser: Browser, api: Api, hand: Hand
) -> None:
    run = await make_run(api)
    (created,) = await sync_to_async(hand.claim)()
    words = "rank <script>alert(1)</script> is too large"
    await sync_to_async(hand.finish)(created, error=words, category="user")
    shown = await browser.shown(f"runs/{run}")
    assert [(one["kind"], one["error"]) for one in shown["failures"]] == [("create_run", words)]
    assert shown["counts"] == [{"kind": "create_run", "state": "failed", "count": 1}]


async def test_a_run_shows_its_settings(browser: Browser, api: Api) -> None:
    run = await make_run(api, user_metadata={"config": '{"lr": 1}'})
    await log(api, run, ("b", 1, 2.0), ("a", 0, 1.0))
    shown = await browser.shown(f"runs/{run}")
    assert (shown["rank"], shown["train_mlp"], shown["loaded_from"]) == (8, True, None)
    assert shown["user_metadata"] == {"config": '{"lr": 1}'}
    assert shown["session"]["id"] == shown["session_id"] == run.partition(":")[0]
    assert [one["key"] for one in shown["metrics"]] == ["a", "b"]
    assert shown["unserved"] is None


async def test_cost_is_the_runs_own_and_its_samplers(
    browser: Browser, api: Api, hand: Hand
) -> None:
    await BaseModel.objects.aupdate(train_price=Decimal(2), sample_price=Decimal(10))
    run, other = await make_run(api), await make_run(api)

    def enter() -> None:
        mine, theirs = sorted(hand.claim(), key=lambda one: one.target != run)
        with hand.connection.transaction():
            used = [Used(Kind.TRAIN, 500_000), Used(Kind.SAMPLE, 100_000), Used(Kind.PREFILL, 7)]
            usage.record(hand.connection, [(mine.id, one) for one in used])
            usage.record(hand.connection, [(theirs.id, Used(Kind.TRAIN, 1))])

    await sync_to_async(enter)()
    shown = (await browser.shown(f"runs/{run}"))["usage"]
    assert shown["cost"] == pytest.approx(0.5 * 2 + 0.1 * 10)
    assert (shown["tokens"], shown["partly"]) == (600_007, True)
    assert (await browser.shown(f"runs/{other}"))["usage"]["tokens"] == 1


async def test_checkpoints_are_listed_by_run_and_by_team(
    browser: Browser, api: Api, data_folder: Any
) -> None:
    run, other = await make_run(api), await make_run(api)
    await save_checkpoint(run, name="s1")
    await save_checkpoint(run, "sampler_weights", name="s2")
    await save_checkpoint(other, name="s3")
    of_run = await browser.shown(f"runs/{run}/checkpoints")
    assert {one["path"] for one in of_run["checkpoints"]} == {
        f"tinker://{run}/weights/s1",
        f"tinker://{run}/sampler_weights/s2",
    }
    assert all(one["size_bytes"] > 0 for one in of_run["checkpoints"])
    of_team = await browser.shown("checkpoints", limit=2)
    assert (len(of_team["checkpoints"]), of_team["total"]) == (2, 3)
    assert "key" not in of_team["checkpoints"][0]


ADDRESSES = [
    "runs/{run}",
    "runs/{run}/metrics",
    "runs/{run}/series?key=loss",
    "runs/{run}/checkpoints",
    "runs/{run}/rollouts",
    "runs/{run}/rollouts/0",
    "runs/{run}/rollouts/0/0",
]


@pytest.mark.parametrize("address", ADDRESSES)
async def test_another_teams_run_is_not_there(
    browser: Browser, stranger: Browser, open_browser: Open, api: Api, address: str
) -> None:
    run = await make_run(api)
    await log(api, run, ("loss", 0, 1.0))
    await api.call(f"runs/{run}/rollouts", rollouts=[{"step": 0, "prompt": "secret"}])
    address = address.format(run=run)
    assert (await browser.get(address)).status_code == 200
    refused = await stranger.get(address)
    missing = await stranger.get(address.replace(run, run[:-1] + "7"))
    assert (refused.status_code, refused.json()) == (404, missing.json())
    assert (await open_browser().get(address)).status_code == 401


async def test_lists_hold_nothing_of_other_teams(
    stranger: Browser, browser: Browser, api: Api, data_folder: Any
) -> None:
    run = await make_run(api)
    await save_checkpoint(run)
    for query in ({}, {"search": run}, {"team": "team"}, {"session": run.partition(":")[0]}):
        assert (await stranger.shown("runs", **query))["runs"] == []
    for query in ({}, {"team": "team"}):
        assert (await stranger.shown("checkpoints", **query))["checkpoints"] == []
    assert len((await browser.shown("runs", team="team"))["runs"]) == 1


async def test_who_has_left_a_team_sees_nothing_of_it(
    browser: Browser, api: Api, team: Team
) -> None:
    run = await make_run(api)
    await team.memberships.all().adelete()
    assert (await browser.get(f"runs/{run}")).status_code == 404
    assert (await browser.shown("runs"))["runs"] == []


async def test_a_member_of_two_teams_sees_both(
    open_browser: Open, api: Api, team: Team, other_key: str
) -> None:
    await make_run(api)
    await make_person("eve", team, await Team.objects.aget(slug="other"))
    eve = open_browser()
    await eve.sign_in("eve")
    assert len((await eve.shown("runs"))["runs"]) == 1
    assert (await eve.shown("runs", team="other"))["runs"] == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "201"},
        {"limit": "x"},
        {"limit": "1" * 30},
        {"sort": "id; drop table"},
        {"state": "dead"},
        {"cursor": "nonsense"},
        {"cursor": "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwieCJd"},
        {"search": "x" * 201},
    ],
)
async def test_what_cannot_be_listed_is_refused(browser: Browser, query: dict[str, str]) -> None:
    answer = await browser.get("runs", params=query)
    assert answer.status_code == 400
    assert set(answer.json()) == {"detail", "code"}


async def test_nul_characters_find_nothing(browser: Browser, api: Api) -> None:
    assert (await browser.get("runs/a%00b")).status_code == 404
    assert (await browser.get("runs", params={"search": "a\0b"})).status_code == 200


async def test_reading_is_all_that_a_run_offers(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert (await browser.request(method, f"runs/{run}")).status_code == 405
