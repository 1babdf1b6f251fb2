"""Projects: labels of a team's own, by which everything is found and which never cross teams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from audit.models import Entry
from checkpoints.models import Checkpoint
from operations.models import Operation
from runs.models import Session
from tests.platform.tinker_api.conftest import Api
from tests.platform.tinker_api.test_reports import window
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint
from usage.models import Kind
from usage.services import Used

GOOD = ["night", "default", "proj-7f3a", "Team A: Größe/β 実験 #1", "x" * 200]
BAD = ["", " night", "night ", "a\tb", "a\nb", "zero\u200bwidth", "\u202eesrever", "x" * 201]
RULE = "project_id must have 1 to 200 printable characters and no space at either end"


@pytest.fixture(autouse=True)
def _store(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


async def make(api: Api, hand: Hand, project: str) -> dict[str, str]:
    """A session of a project with a run, a checkpoint and something used."""
    opened = await api.call("create_session", tags=[], user_metadata={}, project_id=project)
    session = opened.json()["session_id"]
    run = await api.run(session)
    item = await save_checkpoint(run, size_bytes=10)
    await api.call("optim_step", model_id=run, seq_id=1)
    for operation in hand.claim():
        hand.finish(operation, content_type="x", body=b"{}", used=[Used(Kind.TRAIN, 5)])
    return {"session": session, "run": run, "path": item.path}


async def seen(api: Api, project: str) -> dict[str, list[str]]:
    """What a team sees of a project, wherever it can be asked for or is told."""
    runs = await api.get("training_runs", params={"project_id": project})
    accessible = await api.get(
        "training_runs", params={"project_id": project, "access_scope": "accessible"}
    )
    searched = await api.call("sessions/search", project_ids=[project])
    stored = await api.get("billing/usage/checkpoints/current", params={"project_id": project})
    events = (await api.get("billing/usage/events", params=window())).json()["data"]
    return {
        "runs": [item["training_run_id"] for item in runs.json()["training_runs"]],
        "accessible": [item["training_run_id"] for item in accessible.json()["training_runs"]],
        "sessions": [item["session_id"] for item in searched.json()["sessions"]],
        "stored": [str(item["checkpoint_count"]) for item in stored.json()["data"]],
        "used": [item["event_info"]["type"] for item in events if item["project_id"] == project],
    }


@pytest.mark.parametrize("project", GOOD)
async def test_a_project_is_seen_everywhere_by_its_team_alone(
    api: Api, other_api: Api, hand: Hand, project: str
) -> None:
    ours, theirs = await make(api, hand, project), await make(other_api, hand, project)
    await api.post(f"training_runs/{ours['run']}/checkpoints/weights/s1/publish")
    for team, made in ((api, ours), (other_api, theirs)):
        assert await seen(team, project) == {
            "runs": [made["run"]],
            "accessible": [made["run"]],
            "sessions": [made["session"]],
            "stored": ["1"],
            "used": ["training", "storage"],
        }
        assert not any((await seen(team, "another")).values())


async def test_everything_follows_the_session(api: Api, hand: Hand) -> None:
    made = await make(api, hand, "before")
    await api.put(f"sessions/{made['session']}/project", json={"project_id": "after"})
    assert not any((await seen(api, "before")).values())
    assert (await seen(api, "after"))["used"] == ["training", "storage"]
    (log,) = (await api.get("audit?event_type=projects")).json()["entries"]
    assert log["event"] == "project_session_assigned"
    assert (
        log["event_details"].items()
        >= {
            "target": made["session"],
            "project_id": "after",
            "before": "before",
        }.items()
    )


async def test_a_copy_is_of_the_project_it_goes_to(api: Api, other_api: Api, hand: Hand) -> None:
    made = await make(api, hand, "source")
    copied = await api.post(
        "copy_weights",
        json={"source_path": made["path"], "destination_project_id": "archive"},
        headers={"X-Idempotency-Key": "k"},
    )
    run = copied.json()["tinker_path"].removeprefix("tinker://").partition("/")[0]
    copy = await Entry.objects.aget(event="checkpoint.copied")
    assert copy.details == {"source": made["path"], "project_id": "archive"}
    assert (await seen(api, "archive"))["runs"] == [run]
    assert (await seen(api, "source"))["runs"] == [made["run"]]
    assert not any((await seen(other_api, "archive")).values())


def _asked(api: Api, session: str, path: str, project: str) -> list[Callable[[], Awaitable[Any]]]:
    """Every request that names a project."""
    copy = {"source_path": path, "destination_project_id": project}
    query = f"project_id={quote(project)}"
    return [
        lambda: api.call("create_session", tags=[], user_metadata={}, project_id=project),
        lambda: api.put(f"sessions/{session}/project", json={"project_id": project}),
        lambda: api.post("copy_weights", json=copy, headers={"X-Idempotency-Key": "k"}),
        lambda: api.call("sessions/search", project_ids=["good", project]),
        lambda: api.get(f"training_runs?{query}"),
        lambda: api.get(f"billing/usage/checkpoints/current?{query}"),
    ]


@pytest.mark.parametrize("project", BAD)
async def test_what_no_project_may_be_called(api: Api, hand: Hand, project: str) -> None:
    made = await make(api, hand, "good")
    before = [await table.objects.acount() for table in (Session, Checkpoint, Entry, Operation)]
    for ask in _asked(api, made["session"], made["path"], project):
        response: httpx.Response = await ask()
        assert response.status_code == 400, response.request.url
        detail = response.json()["detail"]
        if 0 < len(project) <= 200:
            assert "printable characters and no space at either end" in detail
        assert "project_id" in detail
    after = [await table.objects.acount() for table in (Session, Checkpoint, Entry, Operation)]
    assert after == before
    assert (await Session.objects.aget(id=made["session"])).project_id == "good"


async def test_the_refusal_says_what_is_allowed(api: Api) -> None:
    response = await api.call("create_session", tags=[], user_metadata={}, project_id="a\tb")
    assert response.json()["detail"] == RULE
    response = await api.get("training_runs?project_id=a%09b")
    assert response.json()["detail"] == RULE
