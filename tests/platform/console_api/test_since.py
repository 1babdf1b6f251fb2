"""What is new to somebody who comes back: everything since they said so, and nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async

from accounts.models import Team
from checkpoints import services as checkpoints
from core import database
from events.models import Seen
from operations import cluster
from runs import lifecycle
from tests.platform.console_api.conftest import Api, Browser, Open, log, make_person, make_run
from tests.support import captured
from tests.support.hand import Hand

pytestmark = pytest.mark.usefixtures("nobody_looked")


@pytest.fixture
def nobody_looked() -> Iterator[None]:
    """No look at the cluster is remembered from the test before."""
    cluster.forget()
    yield
    cluster.forget()


async def mark(browser: Browser, cursor: str | None = None) -> None:
    """Say that one has seen it."""
    response = await browser.post("since", json={"team": "team", "cursor": cursor})
    assert response.status_code == 204, response.text


async def changes(browser: Browser) -> list[dict[str, Any]]:
    """What is new."""
    found: list[dict[str, Any]] = (await browser.shown("since"))["changes"]
    return found


@sync_to_async
def by_worker(work: Callable[[psycopg.Connection[Any]], object]) -> None:
    """Something that a worker does, in a transaction."""
    with database.connect() as conn, conn.transaction():
        work(conn)


async def save(run: str, name: str, segment: str = "weights") -> None:
    """A worker has saved a checkpoint of a run."""
    await by_worker(
        lambda conn: checkpoints.record(
            conn,
            run_id=run,
            segment=segment,
            name=name,
            key=f"k/{run}/{name}",
            size_bytes=1,
            user_metadata={},
            ttl_seconds=None,
            overwrite=False,
        )
    )


async def finish(api: Api, run: str) -> None:
    """A run's program says that it is done."""
    session = run.partition(":")[0]
    response = await api.call(f"sessions/{session}/finish", reason={"type": "success"})
    assert response.status_code == 200, response.text


async def test_nothing_is_new_to_who_has_never_been_there(browser: Browser, api: Api) -> None:
    await make_run(api)
    shown = await browser.shown("since")
    assert (shown["since"], shown["changes"], shown["more"]) == (None, [], 0)
    assert await Seen.objects.acount() == 0


async def test_loading_a_page_is_not_looking_at_it(browser: Browser, api: Api) -> None:
    await mark(browser)
    run = await make_run(api, user_metadata={"name": "first"})
    for _ in range(3):
        (change,) = await changes(browser)
        assert (change["run_id"], change["name"], change["what"]) == (run, "first", "new")
    await mark(browser)
    assert await changes(browser) == []


async def test_what_came_after_what_was_shown_is_still_new(browser: Browser, api: Api) -> None:
    await mark(browser)
    await make_run(api)
    shown = await browser.shown("since")
    later = await make_run(api)
    await mark(browser, shown["cursor"])
    assert [one["run_id"] for one in await changes(browser)] == [later]
    # another tab, that has been open for long, knows less
    before = await Seen.objects.aget()
    await mark(browser)
    await mark(browser, shown["cursor"])
    assert await changes(browser) == []
    assert (await Seen.objects.aget()).cursor != before.cursor


async def test_what_is_committed_late_is_told(browser: Browser, api: Api, team: Team) -> None:
    """A transaction that was open when somebody looked has not been seen, old as its events are."""
    run = await make_run(api)
    conn = await sync_to_async(lambda: psycopg.connect(**_apart()))()
    try:
        await sync_to_async(
            lambda: checkpoints.record(
                conn,
                run_id=run,
                segment="weights",
                name="late",
                key="k/late",
                size_bytes=1,
                user_metadata={},
                ttl_seconds=None,
                overwrite=False,
            )
        )()
        await make_run(api)
        await mark(browser)
        assert await changes(browser) == []
        await sync_to_async(conn.commit)()
    finally:
        await sync_to_async(conn.close)()
    (change,) = await changes(browser)
    assert (change["what"], change["newest"], change["saved"]) == ("saved", "late", 1)


def _apart() -> Any:
    return {**database.connect_kwargs(), "autocommit": False}


async def test_a_headline_tells_from_where_to_where_and_the_best(
    browser: Browser, api: Api
) -> None:
    run = await make_run(api, user_metadata={"name": "math"})
    await log(api, run, ("reward/mean", 0, 0.1), ("reward/mean", 5, 0.9), ("loss", 5, 3.0))
    await mark(browser)
    assert await changes(browser) == []
    points = [(6, 0.4), (7, 0.6), (8, 0.6), (9, 0.5)]
    await log(api, run, *(("reward/mean", step, value) for step, value in points))
    await log(api, run, ("reward/mean", 10, "nan"), ("reward/mean", 11, 0.55))
    (change,) = await changes(browser)
    assert change["what"] == "moved"
    assert change["moved"] == {
        "key": "reward/mean",
        "better": "up",
        "first": 0.9,
        "last": 0.55,
        "step": 11,
        "best": 0.6,
        "best_step": 7,
    }


async def test_a_loss_is_best_where_it_is_least(browser: Browser, api: Api) -> None:
    await mark(browser)
    run = await make_run(api)
    await log(api, run, ("loss", 0, 2.0), ("loss", 1, 1.0), ("loss", 2, 1.5))
    (change,) = await changes(browser)
    assert (change["moved"]["best"], change["moved"]["best_step"]) == (1.0, 1)
    assert (change["moved"]["first"], change["moved"]["last"]) == (2.0, 1.5)


async def test_the_best_of_what_was_captured_is_told(browser: Browser, api: Api) -> None:
    await mark(browser)
    run = await make_run(api)
    sums = enumerate((8.0, 4.0, 6.0))
    await captured.write([captured.step(run, at, loss_sum=one) for at, one in sums], [])
    (change,) = await changes(browser)
    assert change["moved"]["key"] == "engine/loss"
    assert (change["moved"]["best"], change["moved"]["best_step"]) == (1.0, 1)


async def test_the_most_important_comes_first_and_each_run_once(browser: Browser, api: Api) -> None:
    saving, finished, failed, moving = [await make_run(api) for _ in range(4)]
    await log(api, moving, ("loss", 0, 2.0))
    await mark(browser)
    await save(failed, "step-100")
    await save(failed, "for-sampling", "sampler_weights")
    await by_worker(
        lambda conn: lifecycle.fail_session(conn, run_id=failed, why="gradient not finite")
    )
    await save(saving, "a")
    await save(saving, "b")
    await log(api, moving, ("loss", 1, 1.0))
    await finish(api, finished)
    new = await make_run(api)
    found = await changes(browser)
    assert [(one["run_id"], one["what"]) for one in found] == [
        (failed, "failed"),
        (moving, "moved"),
        (finished, "finished"),
        (saving, "saved"),
        (new, "new"),
    ]
    assert (found[0]["reason"], found[0]["sound"]) == ("gradient not finite", "step-100")
    assert (found[3]["saved"], found[3]["newest"]) == (2, "b")


async def test_what_waits_for_a_worker_is_told_with_the_reason(
    browser: Browser, api: Api, hand: Hand
) -> None:
    run = await make_run(api)
    await mark(browser)
    await api.call("optim_step", model_id=run, seq_id=1)

    def a_minute_passes(conn: psycopg.Connection[Any]) -> None:
        conn.execute("UPDATE operations_worker SET alive_until = now() - interval '1 minute'")
        conn.execute("UPDATE operations_operation SET created_at = now() - interval '65 seconds'")
        # what was seen was seen before that
        conn.execute("UPDATE events_seen SET seen_at = now() - interval '2 hours'")

    await by_worker(a_minute_passes)
    cluster.forget()
    (change,) = await changes(browser)
    assert (change["what"], change["run_id"]) == ("waiting", run)
    assert change["reason"].startswith("No worker is there for the pool")


async def test_a_few_are_shown_and_the_others_counted(browser: Browser, api: Api) -> None:
    await mark(browser)
    for _ in range(11):
        await make_run(api)
    shown = await browser.shown("since")
    assert (len(shown["changes"]), shown["more"]) == (8, 3)


async def test_each_person_has_seen_what_they_have_seen(
    browser: Browser, open_browser: Open, api: Api, team: Team
) -> None:
    await make_person("eve", team)
    eve = open_browser()
    await eve.sign_in("eve")
    await mark(browser)
    await mark(eve)
    await make_run(api)
    await mark(eve)
    assert await changes(eve) == []
    assert len(await changes(browser)) == 1


async def test_after_a_restart_of_the_database_times_have_to_do(browser: Browser, api: Api) -> None:
    await make_run(api)
    await mark(browser)
    seen = await Seen.objects.aget()
    seen.cursor = "1" + seen.cursor
    await seen.asave()
    run = await make_run(api)
    assert [one["run_id"] for one in await changes(browser)] == [run]


async def test_of_another_teams_nothing_is_told_or_noted(
    browser: Browser, stranger: Browser, api: Api
) -> None:
    await make_run(api)
    assert (await stranger.get("since", params={"team": "team"})).status_code == 404
    response = await stranger.post("since", json={"team": "team"})
    assert response.status_code == 404, response.text
    assert await Seen.objects.acount() == 0


BAD = [
    {"team": "team", "cursor": "x"},
    {"team": "team", "cursor": "1.5:5:"},
    {"team": "team", "cursor": 5},
    {"team": "team", "more": 1},
    {"cursor": None},
    [],
]


@pytest.mark.parametrize("body", BAD)
async def test_bad_words_are_refused(browser: Browser, body: Any) -> None:
    response = await browser.post("since", json=body)
    assert response.status_code == 400, response.text
    assert await Seen.objects.acount() == 0


async def test_a_cursor_of_the_future_is_refused(browser: Browser, api: Api) -> None:
    cursor = (await browser.shown("since"))["cursor"]
    server = cursor.partition(".")[0]
    response = await browser.post(
        "since", json={"team": "team", "cursor": f"{server}.5:999999999999:"}
    )
    assert response.status_code == 400
