"""A team's usage by the month: the same numbers as the runs' own, and nobody else's."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Team
from catalog.models import BaseModel
from tests.platform.console_api.conftest import Api, Browser, make_run
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint
from usage import services as usage
from usage.models import Entry, Kind
from usage.services import Used

MONTH = f"{datetime.now(UTC):%Y-%m}"


@sync_to_async
def use(hand: Hand, *used: Used) -> None:
    """What is to be done is done, and all of it has used the same."""
    with hand.connection.transaction():
        usage.record(hand.connection, [(one.id, kind) for one in hand.claim() for kind in used])


@sync_to_async
def enter(team: Team, target: str, day: str, quantity: int, **given: Any) -> None:
    """An entry of a day that is over."""
    Entry.objects.create(
        operation_id=Entry.objects.count() + 10**6,
        team_id=team.pk,
        session_id=target.partition(":")[0],
        target=target,
        quantity=quantity,
        created_at=datetime.fromisoformat(f"{day}T12:00Z"),
        **{"kind": "train", "base_model": "tiny", "price": Decimal(2), **given},
    )


async def test_a_months_rows_are_the_runs_own_numbers(
    browser: Browser, api: Api, hand: Hand
) -> None:
    await BaseModel.objects.aupdate(train_price=Decimal("2.1"), sample_price=Decimal("0.7"))
    run = await make_run(api, user_metadata={"name": "first"})
    await use(hand, Used(Kind.TRAIN, 333_333), Used(Kind.SAMPLE, 7), Used(Kind.PREFILL, 5))
    await use(hand)
    (row,) = (await browser.shown("usage/runs"))["runs"]
    own = (await browser.shown(f"runs/{run}"))["usage"]
    amount = row["amount"]
    assert (row["id"], row["name"], row["is_run"]) == (run, "first", True)
    assert amount["cost"] == pytest.approx(own["cost"], abs=1e-15)
    assert (amount["tokens"], amount["unpriced"]) == (own["tokens"], 5)
    shown = await browser.shown("usage")
    used = shown["used"]
    assert used["total"] == amount
    assert {one["kind"]: one["quantity"] for one in used["kinds"]} == {
        "train": 333_333,
        "sample": 7,
        "prefill": 5,
    }
    assert [one["amount"] for one in used["models"]] == [amount]
    (day,) = [one for one in used["days"] if one["amount"]["tokens"]]
    assert (day["day"], day["amount"]) == (f"{datetime.now(UTC):%Y-%m-%d}", amount)
    assert (used["month"], used["months"]) == (MONTH, [MONTH])


async def test_other_months_are_apart(browser: Browser, api: Api, team: Team) -> None:
    run = await make_run(api)
    for day, quantity in (("2026-01-31", 1), ("2026-02-01", 2), ("2026-02-28", 4)):
        await enter(team, run, day, quantity)
    february = (await browser.shown("usage", month="2026-02"))["used"]
    assert (february["total"]["train"], len(february["days"])) == (6, 28)
    assert (february["months"][0], february["months"][-1]) == (MONTH, "2026-01")
    (row,) = (await browser.shown("usage/runs", month="2026-01"))["runs"]
    assert row["amount"]["train"] == 1
    assert (await browser.shown("usage/runs", month="2025-12"))["runs"] == []


async def test_another_teams_usage_is_not_there(
    browser: Browser, stranger: Browser, api: Api, team: Team
) -> None:
    run = await make_run(api)
    await enter(team, run, "2026-02-01", 2)
    assert (await stranger.shown("usage", month="2026-02"))["used"]["total"]["tokens"] == 0
    assert (await stranger.shown("usage/runs", month="2026-02"))["runs"] == []
    for address in ("usage", "usage/runs", "usage/csv"):
        assert (await stranger.get(address, params={"team": team.slug})).status_code == 404
        assert (await browser.get(address, params={"team": team.slug})).status_code == 200


@pytest.mark.parametrize("sort", ["cost", "tokens"])
async def test_pages_have_each_run_once_and_in_order(
    browser: Browser, api: Api, team: Team, sort: str
) -> None:
    runs = [await make_run(api) for _ in range(7)]
    for number, run in enumerate(runs):
        # some use as much as others
        for kind in ("train", "sample", "prefill"):
            await enter(team, run, "2026-02-03", 10 * (number // 2) + 1, kind=kind)
    found: list[str] = []
    values: list[float] = []
    asked = {"month": "2026-02", "sort": sort, "limit": 2}
    page = await browser.shown("usage/runs", **asked)
    while True:
        found += [row["id"] for row in page["runs"]]
        values += [row["amount"][sort] for row in page["runs"]]
        if page["next"] is None:
            break
        page = await browser.shown("usage/runs", cursor=page["next"], **asked)
    assert sorted(found) == sorted(runs)
    assert values == sorted(values, reverse=True)


async def test_runs_are_found_by_what_they_are_called(
    browser: Browser, api: Api, team: Team
) -> None:
    runs = [await make_run(api, user_metadata={"name": name}) for name in ("50%", "50x")]
    for run in runs:
        await enter(team, run, "2026-02-03", 1)
    found = await browser.shown("usage/runs", month="2026-02", search="50%")
    assert [row["id"] for row in found["runs"]] == runs[:1]


async def test_what_had_no_price_costs_nothing_known(
    browser: Browser, api: Api, team: Team
) -> None:
    run = await make_run(api)
    await enter(team, run, "2026-02-03", 3, price=None)
    total = (await browser.shown("usage", month="2026-02"))["used"]["total"]
    assert (total["cost"], total["unpriced"]) == (None, 3)


async def test_stored_is_told_now_and_on_average(
    browser: Browser, api: Api, team: Team, data_folder: Any
) -> None:
    run = await make_run(api)
    saved = await save_checkpoint(run, name="s1")
    await enter(team, run, f"{datetime.now(UTC):%Y-%m-%d}", 1)
    stored = (await browser.shown("usage"))["stored"]
    assert (stored["checkpoint_count"], stored["size_bytes"]) == (1, saved.size_bytes)
    assert 0 <= stored["mean_bytes"] <= saved.size_bytes
    (row,) = (await browser.shown("usage/runs"))["runs"]
    assert row["stored_bytes"] == saved.size_bytes
    past = (await browser.shown("usage", month="2026-01"))["stored"]
    assert (past["size_bytes"], past["mean_bytes"]) == (saved.size_bytes, 0)


@pytest.mark.parametrize("by", ["run", "model", "kind", "day"])
async def test_the_file_holds_what_the_page_shows(
    browser: Browser, api: Api, team: Team, by: str
) -> None:
    run = await make_run(api, user_metadata={"name": "=1+1"})
    await enter(team, run, "2026-02-03", 3)
    response = await browser.get("usage/csv", params={"month": "2026-02", "by": by})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert f"usage-2026-02-by-{by}.csv" in response.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert sum(float(row["cost_usd"] or 0) for row in rows) == pytest.approx(3 * 2 / 1e6)
    if by == "run":
        # no spreadsheet runs it
        assert [(row["run"], row["name"]) for row in rows] == [(run, "'=1+1")]


BAD = [
    ("usage", "month=2026-13", "month"),
    ("usage", "month=2026-1", "month"),
    ("usage", "month=20260-11", "month"),
    ("usage", "month=1999-12", "month"),
    ("usage", "months=2026-11", "months"),
    ("usage/runs", "sort=name", "sort"),
    ("usage/runs", "cursor=x", "cursor"),
    ("usage/runs", "cursor=WyJOYU4iLCJhIl0", "cursor"),
    ("usage/runs", "cursor=WyIxZTIwMDAwMCIsImEiXQ", "cursor"),
    ("usage/runs", "limit=0", "limit"),
    ("usage/runs", "search=" + "x" * 201, "search"),
    ("usage/csv", "by=person", "by"),
]


@pytest.mark.parametrize(("address", "question", "named"), BAD)
async def test_bad_questions_are_named(
    browser: Browser, address: str, question: str, named: str
) -> None:
    response = await browser.get(f"{address}?{question}")
    assert response.status_code == 400, response.text
    assert named in response.json()["detail"]
