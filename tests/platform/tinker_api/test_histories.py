"""Sessions over REST: listing, searching, projects, traces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Team
from audit.models import Entry
from operations.models import Operation
from runs.models import Listening, Session, TrainingRun
from tests.platform.tinker_api.conftest import Api
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint


async def opened(api: Api, **fields: Any) -> str:
    """A session with a name and metadata."""
    body = {"tags": [], "user_metadata": {}} | fields
    return (await api.call("create_session", **body)).json()["session_id"]


async def found(api: Api, **wanted: Any) -> list[str]:
    """The ids of the sessions that a search finds."""
    response = await api.call("sessions/search", **wanted)
    assert response.status_code == 200, response.text
    return [item["session_id"] for item in response.json()["sessions"]]


async def test_listing_and_showing(api: Api, other_api: Api) -> None:
    sessions = [await opened(api, display_name=f"s{number}") for number in range(3)]
    run, sampler = await api.run(sessions[0]), await api.sampler(sessions[0], 3)
    assert (await api.get("sessions?limit=2")).json() == {"sessions": sessions[:0:-1]}
    assert (await api.get("sessions?limit=2&offset=2")).json() == {"sessions": sessions[:1]}
    assert (await api.get(f"sessions/{sessions[0]}?access_scope=owned")).json() == {
        "training_run_ids": [run],
        "sampler_ids": [sampler],
        "user_metadata": None,
        "display_name": "s0",
    }
    assert (await other_api.get("sessions?access_scope=accessible")).json() == {"sessions": []}
    assert (await other_api.get(f"sessions/{sessions[0]}")).status_code == 404
    assert (await api.get("sessions?access_scope=everything")).status_code == 400


class TestSearching:
    """`sessions/search`."""

    async def test_by_name_and_id(self, api: Api, other_api: Api) -> None:
        first = await opened(api, display_name="Nightly GRPO run")
        second = await opened(api, display_name="nightly baseline")
        third = await opened(api)
        await opened(other_api, display_name="nightly")
        assert await found(api) == [third, second, first]
        assert await found(api, display_name="NIGHTLY") == [second, first]
        assert await found(api, display_name="run nightly") == [first]
        assert await found(api, display_name="50%_") == []
        assert await found(api, session_id=third) == [third]
        assert await found(api, session_id=third, display_name="grpo") == [third, first]
        assert await found(other_api, session_id=third) == []

    async def test_by_metadata_and_project(self, api: Api) -> None:
        first = await opened(api, user_metadata={"lr": "0.1", "seed": 1})
        second = await opened(api, user_metadata={"lr": "0.1"}, project_id="night")
        assert await found(api, user_metadata={"lr": "0.1"}) == [second, first]
        assert await found(api, user_metadata={"lr": "0.1", "seed": "1"}) == [first]
        assert await found(api, project_ids=["night"]) == [second]
        assert await found(api, project_ids=["default", "x"]) == [first]
        assert await found(api, project_ids=[]) == []

    async def test_by_owner(self, api: Api, team: Team) -> None:
        session = await opened(api)
        (shown,) = (await api.call("sessions/search")).json()["sessions"]
        assert shown["owner"] == f"tinsmith:team:{team.id}"
        assert await found(api, owner={"type": "accessible"}) == [session]
        assert await found(api, owner={"type": "user", "owner_urns": [shown["owner"]]}) == [session]
        assert await found(api, owner={"type": "user", "owner_urns": ["somebody"]}) == []

    async def test_statuses(self, api: Api) -> None:
        active, silent, done, errored, expired, failed = [await opened(api) for _ in range(6)]
        run = await api.run(failed)
        for session, reason in ((done, "success"), (errored, "errored")):
            await api.call(f"sessions/{session}/finish", reason={"type": reason}, detail="why")
        await Listening.objects.acreate(seconds=300)
        await Session.objects.exclude(id=silent).aupdate(heard_at_s=300)
        for session, reason in ((expired, "expired"), (failed, "failed")):
            await Session.objects.filter(id=session).aupdate(
                ended_at=timezone.now(),
                end_reason=reason,
                end_detail="lost",
                failed_run_id=run if session == failed else None,
            )
        shown = {
            item["session_id"]: item.get("status")
            for item in (await api.call("sessions/search")).json()["sessions"]
        }
        assert shown == {
            active: {"type": "active"},
            silent: None,
            done: {"type": "client_finished", "reason": {"type": "success"}, "detail": "why"},
            errored: {"type": "client_finished", "reason": {"type": "errored"}, "detail": "why"},
            expired: {"type": "cancelled", "detail": "lost"},
            failed: {
                "type": "failed",
                "category": "internal",
                "reason": {"type": "training_run", "training_run_id": run},
                "message": "lost",
            },
        }
        assert (await api.get(f"training_runs/{run}")).json()["corrupted"] is True
        assert await found(api, statuses=[{"type": "active"}]) == [active]
        assert await found(api, statuses=[{"type": "cancelled"}]) == [expired]
        assert await found(api, statuses=[{"type": "failed"}]) == [failed]
        assert await found(api, statuses=[{"type": "client_finished"}]) == [errored, done]
        finished_well = {"type": "client_finished", "reasons": ["success"]}
        assert await found(api, statuses=[finished_well, {"type": "active"}]) == [done, active]

    async def test_page_by_page(self, api: Api, settings: Any, tmp_path: Path) -> None:
        settings.DATA_DIR = tmp_path
        sessions = [await opened(api) for _ in range(5)]
        await save_checkpoint(await api.run(sessions[4]), size_bytes=7)
        seen, wanted = [], {"limit": 2}
        while True:
            page = (await api.call("sessions/search", **wanted)).json()
            seen += page["sessions"]
            if "next_cursor" not in page:
                break
            wanted |= {"cursor": page["next_cursor"]}
        assert [item["session_id"] for item in seen] == sessions[::-1]
        assert [item["checkpoints_count"] for item in seen] == [1, 0, 0, 0, 0]
        assert seen[0]["checkpoint_storage_bytes"] == 7

    @pytest.mark.parametrize(
        "wanted",
        [
            {"limit": 0},
            {"limit": 201},
            {"statuses": []},
            {"statuses": [{"type": "asleep"}]},
            {"owner": {"type": "nobody"}},
            {"cursor": {"last_created_at": "yesterday", "last_session_id": "x"}},
            {"cursor": {"last_created_at": "2026-01-01T00:00:00", "last_session_id": "x"}},
            {"display_name": ""},
            {"colour": "red"},
        ],
    )
    async def test_what_cannot_be_searched_for(self, api: Api, wanted: dict[str, Any]) -> None:
        response = await api.call("sessions/search", **wanted)
        assert response.status_code == 400
        assert next(iter(wanted)) in response.json()["detail"]


async def test_moving_a_session_to_a_project(api: Api, other_api: Api) -> None:
    session = await opened(api)
    route = f"sessions/{session}/project"
    assert (await other_api.put(route, json={"project_id": "mine"})).status_code == 404
    assert (await api.put(route, json={"project_id": ""})).status_code == 400
    assert (await Session.objects.aget(id=session)).project_id is None
    assert (await api.put(route, json={"project_id": "night"})).status_code == 200
    assert (await Session.objects.aget(id=session)).project_id == "night"
    entry = await Entry.objects.aget(event="project.session_assigned")
    assert (entry.target, entry.details) == (session, {"project_id": "night", "before": "default"})
    # nothing changes, so there is nothing to tell
    assert (await api.put(route, json={"project_id": "night"})).status_code == 200
    assert await Entry.objects.filter(event="project.session_assigned").acount() == 1


async def test_work_for_an_ended_session_is_refused(api: Api) -> None:
    session = await opened(api)
    run, sampler = await api.run(session), await api.sampler(session)
    await api.call(f"sessions/{session}/finish", reason={"type": "success"})
    before = await Operation.objects.acount()
    for route, body in (
        ("optim_step", {"model_id": run, "seq_id": 1}),
        ("save_weights_external", {"model_id": run, "seq_id": 1, "path": "x"}),
        ("asample", {"sampling_session_id": sampler, "seq_id": 0}),
        (
            "create_sampling_session",
            {"session_id": session, "sampling_session_seq_id": 9, "base_model": "test/tiny"},
        ),
    ):
        response = await api.call(route, **body)
        assert (response.status_code, "has ended" in response.text) == (400, True), route
    assert await Operation.objects.acount() == before


class TestTraces:
    """`sessions/{id}/trace_export`."""

    async def test_a_trace_tells_when_things_happened(
        self, api: Api, hand: Hand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runs.trace.AT_ONCE", 2)
        session = await opened(api)
        run, sampler = await api.run(session), await api.sampler(session)
        for seq in range(1, 5):
            await api.call("optim_step", model_id=run, seq_id=seq)
        claimed = hand.claim()
        hand.answer(claimed[0], model_id=run)
        hand.finish(claimed[1], error="no", category="user")
        ready = (await api.get(f"sessions/{session}/trace_export")).json()
        assert ready["status"] == "ready"
        del api.headers["X-API-Key"]
        response = await api.get(ready["url"])
        assert f"{session}.pftrace" in response.headers["Content-Disposition"]
        trace = json.loads(response.content)["traceEvents"]
        names = {item["pid"]: item["args"]["name"] for item in trace if item["ph"] == "M"}
        assert names == {1: run, 2: sampler}
        opening = [item for item in trace if item["ph"] == "b" and item["name"] != "running"]
        assert [(item["name"], item["args"]["seq"]) for item in opening] == [
            ("create_run", 0),
            *[("optim_step", seq) for seq in range(1, 5)],
        ]
        assert opening[1]["args"]["error"] == "no"
        operation = await Operation.objects.aget(target=run, seq=0)
        assert operation.finished_at is not None
        times = [item["ts"] for item in trace if item.get("id") == "0"]
        moments = (operation.created_at, operation.started_at, operation.finished_at)
        expected = [int(moment.timestamp() * 1e6) for moment in moments]  # type: ignore[union-attr]
        assert times == [*expected, expected[2]]
        # every slice that is opened is closed, the inner before the outer
        for seq in range(5):
            phases = "".join(item["ph"] for item in trace if item.get("id") == str(seq))
            assert phases == "bbee"

    async def test_an_empty_session(self, api: Api) -> None:
        ready = (await api.get(f"sessions/{await opened(api)}/trace_export")).json()
        assert json.loads((await api.get(ready["url"])).content)["traceEvents"] == []

    async def test_of_another_team(self, api: Api, other_api: Api) -> None:
        session = await opened(api)
        assert (await other_api.get(f"sessions/{session}/trace_export")).status_code == 404


async def test_metadata_is_text_everywhere(api: Api) -> None:
    session = await opened(api, user_metadata={"a": 1, "b": [True, None], "c": "x"})
    text = {"a": "1", "b": "[true,null]", "c": "x"}
    assert (await api.get(f"sessions/{session}")).json()["user_metadata"] == text
    run = await api.run(session)
    await TrainingRun.objects.filter(id=run).aupdate(user_metadata=text)
    assert (await api.get(f"training_runs/{run}")).json()["user_metadata"] == text
    huge = await api.call("create_session", tags=[], user_metadata={"a": "x" * 70_000})
    assert (huge.status_code, "user_metadata" in huge.text) == (400, True)
