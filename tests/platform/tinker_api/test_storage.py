"""What is billed for keeping checkpoints: exact over any hours, nothing after their end."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team
from checkpoints.models import Checkpoint
from operations.models import Lane
from tests.platform.tinker_api.conftest import BASE_MODEL, Api
from tests.support.saved import save_checkpoint
from usage.models import EndedCheckpoint

HOUR = timedelta(hours=1)
GIGABYTE = 1_000_000_000


@pytest.fixture(autouse=True)
def _store(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def this_hour() -> datetime:
    """The full hour before now."""
    return timezone.now().replace(minute=0, second=0, microsecond=0)


async def storage(api: Api, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """The rows about storage between two full hours."""
    window = {"starting_on": start.isoformat(), "ending_before": end.isoformat()}
    reply = await api.get("billing/usage/events", params=window)
    assert reply.status_code == 200, reply.text
    return [item for item in reply.json()["data"] if item["event_info"]["type"] == "storage"]


async def gigabyte_hours(api: Api, start: datetime, end: datetime) -> list[float]:
    """What was stored, hour by hour."""
    return [item["event_info"]["gigabyte_hours"] for item in await storage(api, start, end)]


async def test_a_deleted_checkpoint_counts_to_its_end(api: Api, other_api: Api) -> None:
    session = await api.session()
    item = await save_checkpoint(await api.run(session), size_bytes=4 * GIGABYTE)
    start = this_hour() - 6 * HOUR
    made, ends = start + HOUR / 4, start + 2 * HOUR + HOUR / 2
    await Checkpoint.objects.filter(id=item.id).aupdate(created_at=made, expires_at=ends)
    # expired: gone for everybody before the sweep deletes its row, and no more is counted
    before = await storage(api, start, start + 6 * HOUR)
    await Checkpoint.objects.filter(id=item.id).adelete()
    after = await storage(api, start, start + 6 * HOUR)
    assert before == after
    assert [row["event_info"] for row in after] == [
        {"type": "storage", "gigabyte_hours": amount, "free": False} for amount in (3.0, 4.0, 2.0)
    ]
    first = after[0]
    assert datetime.fromisoformat(first["bucket_start"]) == start
    assert (first["base_model"], first["project_id"]) == (BASE_MODEL, "default")
    assert first["session_id"] is first["estimated_cost_usd"] is None
    ended = await EndedCheckpoint.objects.aget()
    assert (ended.path, ended.ended_at) == (item.path, ends)
    # any part of the time tells the same of its hours
    assert await gigabyte_hours(api, start + HOUR, start + 3 * HOUR) == [4.0, 2.0]
    assert await gigabyte_hours(api, start + 3 * HOUR, start + 5 * HOUR) == []
    assert await storage(other_api, start, start + 6 * HOUR) == []


async def test_what_is_kept_counts_up_to_now_and_no_more(api: Api) -> None:
    item = await save_checkpoint(await api.run(await api.session()), size_bytes=GIGABYTE)
    start = this_hour()
    await Checkpoint.objects.filter(id=item.id).aupdate(created_at=start - HOUR)
    asked = timezone.now()
    whole, so_far = await gigabyte_hours(api, start - HOUR, start + 5 * HOUR)
    answered = timezone.now()
    assert whole == 1.0
    assert (asked - start) / HOUR <= so_far <= (answered - start) / HOUR
    (later,) = await gigabyte_hours(api, start, start + HOUR)
    assert later > so_far


async def test_deleting_stops_the_meter(api: Api) -> None:
    asked = timezone.now()
    item = await save_checkpoint(await api.run(await api.session()), size_bytes=GIGABYTE)
    path = f"training_runs/{item.run_id}/checkpoints/weights/s1"
    assert (await api.delete(path)).status_code == 200
    answered = timezone.now()
    window = asked.replace(minute=0, second=0, microsecond=0), this_hour() + HOUR
    kept = sum(await gigabyte_hours(api, *window))
    assert 0 < kept <= (answered - asked) / HOUR
    assert sum(await gigabyte_hours(api, *window)) == kept


async def test_it_belongs_to_the_project_that_the_session_is_in_now(api: Api) -> None:
    session = await api.session()
    item = await save_checkpoint(await api.run(session), size_bytes=GIGABYTE)
    start = this_hour() - HOUR
    await Checkpoint.objects.filter(id=item.id).aupdate(created_at=start)
    for project in ("night", "day"):
        await api.put(f"sessions/{session}/project", json={"project_id": project})
        (row,) = await storage(api, start, start + HOUR)
        assert row["project_id"] == project


async def test_recovery_snapshots_are_free(api: Api) -> None:
    run = await api.run(await api.session())
    await Lane.objects.filter(target=run).aupdate(
        claimed_seq=0, applied_seq=0, snapshot_seq=0, snapshot_key="snapshots/x"
    )
    assert await storage(api, this_hour() - HOUR, this_hour() + HOUR) == []
    now = (await api.get("billing/usage/checkpoints/current")).json()
    assert now == {"data": []}
    await save_checkpoint(run)
    assert await storage(api, this_hour() - HOUR, this_hour() + HOUR) != []


@pytest.mark.parametrize("seed", range(3))
async def test_any_hours_are_exact(api: Api, team: Team, seed: int) -> None:
    chance = random.Random(seed)
    start = this_hour() - 30 * HOUR
    stretches = []
    runs = {}
    for project in ("day", "night"):
        session = await api.session()
        await api.put(f"sessions/{session}/project", json={"project_id": project})
        runs[project] = session, await api.run(session)
    for number in range(60):
        project = chance.choice(["day", "night"])
        session, run = runs[project]
        since, until = sorted(start + 24 * HOUR * chance.random() for _ in range(2))
        size = chance.randrange(1, 10**11)
        stretches.append((project, since, until, size))
        if chance.random() < 0.5:
            await EndedCheckpoint.objects.acreate(
                team=team,
                session_id=session,
                base_model=BASE_MODEL,
                path=str(number),
                size_bytes=size,
                created_at=since,
                ended_at=until,
            )
        else:
            item = await save_checkpoint(run, name=str(number), size_bytes=size)
            await Checkpoint.objects.filter(id=item.id).aupdate(created_at=since, expires_at=until)
    found = {
        (row["project_id"], datetime.fromisoformat(row["bucket_start"])): row["event_info"]
        for row in await storage(api, start + 3 * HOUR, start + 20 * HOUR)
    }
    for project in runs:
        for number in range(3, 20):
            bucket = start + number * HOUR
            expected = sum(
                max(timedelta(0), min(until, bucket + HOUR) - max(since, bucket)) / HOUR * size
                for owner, since, until, size in stretches
                if owner == project
            )
            row = found.pop((project, bucket.astimezone(UTC)), {"gigabyte_hours": 0.0})
            assert row["gigabyte_hours"] == pytest.approx(expected / GIGABYTE, rel=1e-12)
    assert found == {}
