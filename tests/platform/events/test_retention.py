"""Events are forgotten after a while, and who has missed some is told to start afresh."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from core import database
from events import retention
from events.models import Event, Forgotten
from events.reader import StartAfresh
from tests.platform.events.conftest import Writers
from tests.platform.events.test_reader import look, now

pytestmark = pytest.mark.usefixtures("closing")


def forget(**bounds: int) -> int:
    with database.connect() as conn:
        return retention.forget_old(conn, **bounds)


async def test_a_cursor_from_before_what_is_forgotten_is_refused(writers: Writers) -> None:
    old = await now()
    writers.told("old")
    await Event.objects.aupdate(created_at=Now() - timedelta(days=8))
    recent = await now()
    writers.told("new")
    assert forget() == 1
    with pytest.raises(StartAfresh):
        await look(old)
    assert (await look(recent))[0] == ["new"]


async def test_only_so_many_are_kept(writers: Writers) -> None:
    for number in range(10):
        writers.told(str(number))
    cursor = await now()
    assert forget(most=4, batch=2) == 6
    assert [event.about async for event in Event.objects.order_by("id")] == ["6", "7", "8", "9"]
    assert (await look(cursor))[0] == []


async def test_what_is_forgotten_later_does_not_bring_back_the_note(writers: Writers) -> None:
    """A transaction that lasted has a small number: its event goes last, the note stays."""
    writers.write("lasting", by="a")
    writers.told("quick")
    writers.commit("a")
    await Event.objects.filter(about="quick").aupdate(created_at=Now() - timedelta(days=8))
    assert forget() == 1
    noted = (await Forgotten.objects.aget()).xid
    await Event.objects.aupdate(created_at=Now() - timedelta(days=8))
    assert forget() == 1
    assert (await Forgotten.objects.aget()).xid == noted


async def test_nothing_is_noted_when_nothing_goes(writers: Writers) -> None:
    cursor = await now()
    writers.told("new")
    assert forget() == 0
    assert not await Forgotten.objects.aexists()
    assert (await look(cursor))[0] == ["new"]


async def test_events_from_another_servers_backup_go(writers: Writers) -> None:
    cursor = await now()
    writers.told("a stranger")
    await Event.objects.aupdate(xid=str(cursor.seen.xmax + 1_000_000))
    await Forgotten.objects.acreate(xid=str(cursor.seen.xmax + 1_000_000))
    assert forget() == 0
    assert not await Event.objects.aexists()
    assert (await look(cursor))[0] == []
