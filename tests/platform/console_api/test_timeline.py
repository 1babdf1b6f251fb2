"""A run's timeline as the dashboard gets it: bounds, what is said, and nothing of other teams."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core import database
from operations import turns
from operations.models import Lane, Operation, Turn
from runs.models import Sampler, Session, TrainingRun
from runs.timeline import reading
from tests.platform.console_api.conftest import Api, Browser, make_run
from tests.support.hand import Hand

MANY = 3000


@pytest.fixture(autouse=True)
def long_there(hand: Hand) -> None:
    """The worker has been there for long."""
    hand.connection.execute("UPDATE operations_worker SET started_at = now() - interval '1 hour'")


async def append(run: str, count: int, *, last_s_ago: float, apart: float, **changes: Any) -> None:
    """Finished operations of a run, `apart` seconds one after another, the last so long ago."""
    found = await TrainingRun.objects.select_related("base_model").aget(id=run)
    now = timezone.now()
    first = await Operation.objects.filter(target=run).acount()
    made = []
    for at in range(count):
        created = now - timedelta(seconds=last_s_ago + apart * (count - at))

        def after(share: float, created: Any = created) -> Any:
            return created + timedelta(seconds=apart * share)

        made.append(
            Operation(
                target=run, seq=first + at, team_id=found.team_id, pool=found.base_model.pool,
                kind=["forward_backward", "optim_step"][at % 2], state="done", cost=10,
                created_at=created, started_at=after(0.1), began_at=after(0.2),
                ended_at=after(0.6), finished_at=after(0.65), asked_at=after(0.1),
                delivered_at=after(0.7), **changes,
            )
        )  # fmt: skip
    await Operation.objects.abulk_create(made)
    await TrainingRun.objects.filter(id=run).aupdate(created_at=now - timedelta(hours=2))


async def test_a_fresh_run_says_what_waits(browser: Browser, api: Api, hand: Hand) -> None:
    run = await make_run(api)
    shown = await browser.shown(f"runs/{run}/timeline")
    assert sum(one["seconds"] for one in shown["blame"]) == pytest.approx(
        shown["last"] - shown["first"], abs=0.01
    )
    waiting = shown["waiting"]
    assert (waiting["kind"], waiting["seq"], waiting["ahead"]) == ("create_run", 0, 0)
    assert waiting["reason"]
    (claimed,) = await asyncio.to_thread(hand.claim)
    await asyncio.to_thread(hand.answer, claimed, type="create_model", model_id=run)
    assert (await browser.shown(f"runs/{run}/timeline"))["waiting"] is None


async def test_without_a_worker_it_says_so(browser: Browser, api: Api, hand: Hand) -> None:
    run = await make_run(api)
    async with database.connection() as conn:
        await conn.execute(
            "UPDATE operations_worker SET started_at = now() - interval '1 hour', "
            "alive_until = now() - interval '1 minute', lingering = false"
        )
        await conn.execute(
            "UPDATE operations_operation SET created_at = now() - interval '40 seconds'"
        )
    shown = await browser.shown(f"runs/{run}/timeline")
    assert shown["waiting"]["cause"] == "no_worker"
    assert shown["waiting"]["reason"] == "no worker serves the base model"
    spent = {one["cause"]: one["seconds"] for one in shown["blame"]}
    assert spent["no_worker"] > 9
    assert "no worker" in shown["advice"]["text"]


async def test_times_and_what_would_help(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await Operation.objects.all().adelete()
    await append(run, 40, last_s_ago=1, apart=1.0)
    shown = await browser.shown(f"runs/{run}/timeline", seconds=40)
    spent = {one["cause"]: one["share"] for one in shown["blame"]}
    assert spent["engine"] == pytest.approx(0.4, abs=0.03)
    assert spent["program"] == pytest.approx(0.3, abs=0.05)
    assert spent["wire"] == pytest.approx(0.3, abs=0.03)
    assert shown["advice"]["text"].startswith("Submit the next step before you await this one")
    assert shown["advice"]["saves"] == pytest.approx(0.4, abs=0.05)
    assert shown["total"] == len(shown["operations"]) > 35
    assert shown["picture"]["merged_below"] is None
    lanes = {lane["lane"]: lane for lane in shown["picture"]["lanes"]}
    assert len(lanes["engine"]["starts"]) == len(lanes["engine"]["ends"]) == shown["total"]
    steps = [one["step"] for one in shown["picture"]["steps"]]
    assert steps == list(range(steps[0], 20))


async def test_many_operations_are_merged_and_the_answer_stays_small(
    browser: Browser, api: Api
) -> None:
    run = await make_run(api)
    await Operation.objects.all().adelete()
    await append(run, MANY, last_s_ago=1, apart=0.1)
    begun = time.perf_counter()
    answer = await browser.get(f"runs/{run}/timeline", params={"seconds": 400})
    took = time.perf_counter() - begun
    shown = answer.json()
    lanes = shown["picture"]["lanes"]
    assert sum(len(lane["starts"]) for lane in lanes) <= 2000
    assert shown["picture"]["merged_below"] > 0
    (engine,) = (lane for lane in lanes if lane["lane"] == "engine")
    assert sum(engine["counts"]) == shown["total"] == MANY
    assert len(shown["operations"]) == 300
    print(f"{MANY} operations: {took * 1000:.0f} ms, {len(answer.content)} bytes")
    assert len(answer.content) < 250_000


async def test_more_than_can_be_read_is_cut_and_said(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_OPERATIONS", 10)
    run = await make_run(api)
    await Operation.objects.all().adelete()
    await append(run, 50, last_s_ago=1, apart=1.0)
    shown = await browser.shown(f"runs/{run}/timeline")
    assert shown["cut"]
    assert shown["last"] - shown["first"] < 13
    assert sum(one["share"] for one in shown["blame"]) == pytest.approx(1, abs=1e-4)


async def test_other_teams_are_counted_and_never_named(
    browser: Browser, stranger: Browser, api: Api, hand: Hand
) -> None:
    run = await make_run(api)
    other = f"{uuid.uuid4()}:train:0"
    found = await TrainingRun.objects.select_related("base_model").aget(id=run)
    await Operation.objects.filter(target=run).aupdate(
        created_at=timezone.now() - timedelta(seconds=8)
    )

    def write() -> None:
        now = time.monotonic()
        row = turns.TurnRow(found.base_model.name, now - 9, now, 7, {"987654": {other: (70, 9.0)}})
        turns.write(
            hand.connection, pool=hand.pool, worker_id=hand.worker_id, turns=[row], delays=[]
        )

    await asyncio.to_thread(write)
    answer = await browser.get(f"runs/{run}/timeline")
    shown = answer.json()
    assert shown["waiting"]["reason"] == (
        "7 of 7 cycles in the last 10 s were given to another team"
    )
    assert shown["teams"] == 1
    assert other not in answer.text
    assert "987654" not in answer.text
    assert (await stranger.get(f"runs/{run}/timeline")).status_code == 404
    assert await Turn.objects.acount() == 1


async def test_what_others_sample_from_a_published_checkpoint_is_theirs(
    browser: Browser, api: Api, other_api: Api
) -> None:
    run = await make_run(api)
    model = (await TrainingRun.objects.select_related("base_model").aget(id=run)).base_model
    for who, secret in ((api, "our own words"), (other_api, "somebody else's words")):
        session = await Session.objects.select_related("team").aget(id=await who.session())
        sampler = await Sampler.objects.acreate(
            id=f"{session.id}:sample:7", session=session, team=session.team, number=7, run_id=run,
            base_model=model,
        )  # fmt: skip
        await Lane.objects.acreate(
            target=sampler.id, session_id=session.id, team=session.team,
            base_model=model, ordered=False,
        )  # fmt: skip
        await Operation.objects.acreate(
            target=sampler.id, seq=0, team=session.team, pool=model.pool, cost=1,
            kind="sample", state="failed", error=secret, error_category="user",
            finished_at=timezone.now(),
        )  # fmt: skip
    answer = await browser.get(f"runs/{run}/timeline")
    assert "our own words" in answer.text
    assert "somebody else's words" not in answer.text


async def test_an_empty_time_says_when_there_was_something(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await Operation.objects.all().adelete()
    await append(run, 2, last_s_ago=900, apart=1.0)
    shown = await browser.shown(f"runs/{run}/timeline", seconds=60)
    assert shown["total"] == 0
    assert shown["now"] - shown["last_before"] == pytest.approx(900, abs=5)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"from": "x"}, "from must be a number"),
        ({"to": "nan"}, "to must be a number"),
        ({"to": "-1"}, "to must be a number"),
        ({"seconds": "1"}, "seconds must be a number"),
        ({"seconds": "1e9"}, "seconds must be a number"),
        ({"from": "1e10"}, "to must be later than from"),
        ({"from": "1"}, "hours apart at most"),
        ({"team": "x"}, "unknown parameter 'team'"),
    ],
)
async def test_what_cannot_be_told_is_refused(
    browser: Browser, api: Api, params: dict[str, str], said: str
) -> None:
    run = await make_run(api)
    answer = await browser.get(f"runs/{run}/timeline", params=params)
    assert answer.status_code == 400
    assert said in json.loads(answer.text)["detail"]


async def test_a_short_time_is_told_with_what_is_around_it(browser: Browser, api: Api) -> None:
    """Others' load is not to be read moment by moment."""
    run = await make_run(api)
    now = time.time()
    shown = await browser.shown(f"runs/{run}/timeline", **{"from": now - 0.5, "to": now})
    assert shown["last"] - shown["first"] >= 9.99
