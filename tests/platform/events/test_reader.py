"""Reading events: nothing is missed and nothing comes twice, in whatever order writers commit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from core import database
from core.hub import current as current_hub
from events import reader, services
from events.cursors import Cursor, Snapshot
from events.models import Event, Kind
from events.reader import Happened, StartAfresh
from tests.platform.events.conftest import OTHER, TEAM, Writers
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.usefixtures("closing")


async def now() -> Cursor:
    """Where somebody is who has seen everything."""
    async with database.connection() as conn:
        return await reader.current(conn)


async def look(cursor: Cursor, *, limit: int = 100, **whose: object) -> tuple[list[str], Cursor]:
    """What is new, and the cursor behind it, over as many looks as it takes."""
    found: list[Happened] = []
    while True:
        async with database.connection() as conn:
            seen = await reader.read(conn, cursor, limit=limit, **whose)  # type: ignore[arg-type]
        found += seen.events
        cursor = Cursor.parse(str(seen.cursor))
        if seen.is_all:
            return [event.about for event in found], cursor


async def test_what_commits_late_is_not_missed(writers: Writers) -> None:
    cursor = await now()
    writers.write("early", by="a")
    writers.write("late", by="b")
    writers.write("later", by="a")
    writers.commit("b")
    found, cursor = await look(cursor)
    assert found == ["late"]
    writers.commit("a")
    found, cursor = await look(cursor)
    assert found == ["early", "later"]
    assert (await look(cursor))[0] == []


async def test_nobody_waits_for_a_transaction_that_lasts(writers: Writers) -> None:
    cursor = await now()
    writers.write("lasting", by="a")
    for number in range(3):
        writers.told(f"quick {number}")
        found, cursor = await look(cursor)
        assert found == [f"quick {number}"]
    writers.commit("a")
    assert (await look(cursor))[0] == ["lasting"]


async def test_what_is_rolled_back_is_not_told(writers: Writers) -> None:
    cursor = await now()
    writers.write("in vain", by="a")
    writers.roll_back("a")
    writers.told("done")
    assert (await look(cursor))[0] == ["done"]


async def test_two_changes_of_one_row_come_in_their_order(writers: Writers) -> None:
    """Though the second one's transaction has the smaller number."""
    cursor = await now()
    writers.write("began first", by="second")
    writers.write("changed first", by="first")
    writers.commit("first")
    writers.write("changed second", by="second")
    writers.commit("second")
    found, _ = await look(cursor)
    assert found.index("changed first") < found.index("changed second")


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_a_look_in_pieces_can_be_gone_on_with(writers: Writers, limit: int) -> None:
    cursor = await now()
    writers.write("open", by="a")
    for number in range(4):
        writers.told(str(number))
    async with database.connection() as conn:
        first = await reader.read(conn, cursor, limit=limit)
    writers.told("meanwhile")
    writers.commit("a")
    rest, _ = await look(Cursor.parse(str(first.cursor)), limit=limit)
    told = [event.about for event in first.events] + rest
    assert told == ["0", "1", "2", "3", "open", "meanwhile"]


async def test_everybody_reads_what_is_theirs(writers: Writers) -> None:
    cursor = await now()
    writers.told("the run's", run="r")
    writers.told("another run's", run="s")
    writers.told("the team's")
    writers.told("another team's", team=OTHER, run="r")
    assert (await look(cursor, team_id=TEAM))[0] == ["the run's", "another run's", "the team's"]
    assert (await look(cursor, team_id=TEAM, run_id="r"))[0] == ["the run's"]
    assert len((await look(cursor))[0]) == 4


async def test_a_reader_can_stop_where_another_is(writers: Writers) -> None:
    cursor = await now()
    writers.told("before")
    until = await now()
    writers.told("behind")
    async with database.connection() as conn:
        seen = await reader.read(conn, cursor, until=until)
    assert [event.about for event in seen.events] == ["before"]
    assert (await look(seen.cursor))[0] == ["behind"]


async def test_a_cursor_of_another_server_or_of_the_future_is_of_no_use(writers: Writers) -> None:
    here = await now()
    ahead = Snapshot(here.seen.xmin, here.seen.xmax + 1000, here.seen.running)
    for cursor in (replace(here, server=here.server - 1), replace(here, seen=ahead)):
        with pytest.raises(StartAfresh):
            await look(cursor)


async def test_events_from_another_servers_backup_are_not_told(writers: Writers) -> None:
    cursor = await now()
    writers.told("a stranger")
    await Event.objects.aupdate(xid=str(cursor.seen.xmax + 1_000_000))
    writers.told("ours")
    assert (await look(cursor))[0] == ["ours"]


async def test_readers_are_woken_by_the_commit(transactional_db: None) -> None:
    with current_hub().waiter(services.EVENTS, "") as woken:
        await current_hub().listening()
        await eventually_async(woken.is_set)  # a new connection may have missed something
        woken.clear()
        async with services.transaction() as conn:
            await services.write(conn, services.event(Kind.RUN_CREATED, "r", team_id=TEAM))
        await asyncio.wait_for(woken.wait(), 5)
