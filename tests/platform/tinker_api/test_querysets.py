"""Reads through the models find what the wire's own statements find."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.actors import Actor
from accounts.models import Team
from checkpoints import services as checkpoints
from checkpoints.models import Checkpoint
from core.ids import DEFAULT_PROJECT
from runs import listings
from runs.models import Session, TrainingRun
from tests.platform.tinker_api.conftest import Api
from tests.support.saved import save_checkpoint


async def session_in(api: Api, project: str) -> str:
    opened = await api.call("create_session", tags=[], user_metadata={}, project_id=project)
    return opened.json()["session_id"]


async def actor_of(session_id: str) -> tuple[Team, Actor]:
    team = await Team.objects.aget(sessions=session_id)
    return team, Actor(team.pk, team.name)


@pytest.fixture
async def made(api: Api, other_api: Api) -> dict[str, str]:
    """Sessions of two teams in two projects, with checkpoints live, public and past their time."""
    plain, night = await api.session(), await session_in(api, "night")
    foreign = await session_in(other_api, "night")
    private, public, past = await api.run(plain), await other_api.run(foreign), await api.run(night)
    await save_checkpoint(private)
    shown = await save_checkpoint(public)
    gone = await save_checkpoint(past)
    await Checkpoint.objects.filter(id=shown.id).aupdate(public=True)
    longer_ago = timezone.now() - timedelta(seconds=1)
    await Checkpoint.objects.filter(id=gone.id).aupdate(public=True, expires_at=longer_ago)
    return {"plain": plain, "night": night, "foreign": foreign}


@pytest.mark.parametrize("session", ["plain", "foreign"])
async def test_runs(made: dict[str, str], session: str) -> None:
    team, actor = await actor_of(made[session])
    for accessible, found in (
        (False, TrainingRun.objects.for_team(team)),
        (True, TrainingRun.objects.accessible_to(team)),
    ):
        listed, total = await listings.list_runs(
            actor=actor, limit=100, offset=0, accessible=accessible, project_id=None
        )
        assert {run.pk async for run in found} == {run.id for run in listed}
        assert total == len(listed) > 0
    for project in (DEFAULT_PROJECT, "night", "none"):
        listed, _ = await listings.list_runs(
            actor=actor, limit=100, offset=0, accessible=False, project_id=project
        )
        found = TrainingRun.objects.for_team(team).in_project(project)
        assert {run.pk async for run in found} == {run.id for run in listed}


async def test_checkpoints(made: dict[str, str]) -> None:
    team, actor = await actor_of(made["plain"])
    listed, _ = await checkpoints.list_of_team(actor=actor, limit=100, offset=0)
    found = Checkpoint.objects.for_team(team).live()
    assert {item.pk async for item in found} == {item.id for item in listed} != set()
    readable = {item.pk async for item in Checkpoint.objects.readable_by(team)}
    assert len(readable) == 2
    for item in [item async for item in Checkpoint.objects.filter(pk__in=readable)]:
        assert (await checkpoints.find_readable(actor=actor, path=item.path)).id == item.pk


async def test_sessions(api: Api, made: dict[str, str]) -> None:
    team, _ = await actor_of(made["plain"])
    sessions = Session.objects.for_team(team)
    assert {item.pk async for item in sessions.in_project("night")} == {made["night"]}
    await api.call(f"sessions/{made['night']}/finish", reason={"type": "success"})
    still_open = await sync_to_async(list)(sessions.open().values_list("pk", flat=True))
    assert still_open == [made["plain"]]
