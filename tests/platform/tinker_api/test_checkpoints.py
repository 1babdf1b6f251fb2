"""Checkpoints over REST: what their owners do to them, and what listings show."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from checkpoints.models import Checkpoint, Deleted, Leftover
from core import database
from operations.models import Operation
from runs.models import Session, TrainingRun
from tests.platform.tinker_api.conftest import Api, saved
from tests.support.saved import address, files_of, save_checkpoint, sweep

pytestmark = pytest.mark.usefixtures("data_folder")


async def events() -> list[str]:
    """What the audit log tells of checkpoints."""
    entries = Entry.objects.filter(event__startswith="checkpoint.").order_by("id")
    return [entry.event async for entry in entries]


class TestDeleting:
    """DELETE of a checkpoint."""

    async def test_it_is_gone_at_once_and_its_files_when_it_can_no_more_be_brought_back(
        self, api: Api
    ) -> None:
        kept, doomed = await saved(api), await saved(api)
        assert (await api.delete(address(doomed))).status_code == 200
        assert [item.id async for item in Checkpoint.objects.all()] == [kept.id]
        assert sweep() == []
        assert (len(files_of(doomed)), len(files_of(kept))) == (3, 3)
        await Deleted.objects.all().aupdate(until=timezone.now())
        assert sweep() == [doomed.key]
        assert (files_of(doomed), len(files_of(kept))) == ([], 3)
        assert not await Leftover.objects.aexists()
        assert not await Deleted.objects.aexists()
        assert await events() == ["checkpoint.deleted"]
        again = await api.delete(address(doomed))
        assert (again.status_code, "no checkpoint" in again.text) == (404, True)

    async def test_files_stay_while_somebody_samples_from_them(self, api: Api) -> None:
        doomed = await saved(api, "sampler_weights")
        session = await api.session()
        await api.call(
            "create_sampling_session",
            session_id=session,
            sampling_session_seq_id=0,
            model_path=doomed.path,
        )
        await api.delete(address(doomed))
        await Deleted.objects.all().aupdate(until=timezone.now())
        assert sweep() == []
        assert files_of(doomed)
        # the session has ended and the workers have let go of it
        await Session.objects.filter(id=session).aupdate(
            ended_at=timezone.now(), end_reason="success", released_at=timezone.now()
        )
        assert sweep() == [doomed.key]
        assert files_of(doomed) == []

    async def test_the_name_is_free_again(self, api: Api) -> None:
        doomed = await saved(api)
        await api.delete(address(doomed))
        assert (await save_checkpoint(doomed.run_id, seq=2)).path == doomed.path


class TestTimeToLive:
    """PUT ttl, and what happens when the time is over."""

    async def test_set_and_removed(self, api: Api) -> None:
        item = await saved(api)
        assert (await api.put(f"{address(item)}/ttl", json={"ttl_seconds": 7200})).is_success
        await item.arefresh_from_db()
        assert item.expires_at is not None
        assert abs(item.expires_at - timezone.now() - timedelta(hours=2)) < timedelta(minutes=1)
        listed = (await api.get("checkpoints")).json()["checkpoints"]
        assert datetime.fromisoformat(listed[0]["expires_at"]) == item.expires_at
        assert (await api.put(f"{address(item)}/ttl", json={"ttl_seconds": None})).is_success
        await item.arefresh_from_db()
        assert item.expires_at is None

    @pytest.mark.parametrize("body", [{"ttl_seconds": 3599}, {"ttl_seconds": 315_360_001}, {}])
    async def test_times_that_cannot_be(self, api: Api, body: dict[str, int]) -> None:
        item = await saved(api)
        response = await api.put(f"{address(item)}/ttl", json=body)
        assert response.status_code == 400
        assert ("3600" if body else "ttl_seconds") in response.json()["detail"]
        await item.arefresh_from_db()
        assert item.expires_at is None

    async def test_what_has_expired_is_gone_for_all_and_then_deleted(self, api: Api) -> None:
        item, other = await saved(api), await saved(api)
        await Checkpoint.objects.filter(id=item.id).aupdate(
            expires_at=timezone.now() - timedelta(seconds=1)
        )
        assert (await api.call("weights_info", tinker_path=item.path)).status_code == 404
        assert (await api.get("checkpoints")).json()["cursor"]["total_count"] == 1
        run = (await api.get(f"training_runs/{item.run_id}")).json()
        assert run["last_checkpoint"] is None
        assert (await api.post(f"{address(item)}/publish")).status_code == 404
        assert sweep() == [item.key]
        assert files_of(item) == []
        assert [left.id async for left in Checkpoint.objects.all()] == [other.id]
        assert files_of(other)
        assert await events() == ["checkpoint.expired"]
        assert sweep() == []


class TestPublishing:
    """POST and DELETE of publish, and what other teams can then do."""

    async def test_doing_it_twice_is_fine(self, api: Api) -> None:
        item = await saved(api)
        for method, public in (
            ("POST", True),
            ("POST", True),
            ("DELETE", False),
            ("DELETE", False),
        ):
            response = await api.request(method, f"{address(item)}/publish")
            assert response.status_code == 200
            await item.arefresh_from_db()
            assert item.public is public
        assert await events() == ["checkpoint.published", "checkpoint.unpublished"]

    async def test_other_teams_read_it_but_own_nothing(self, api: Api, other_api: Api) -> None:
        public = await saved(api)
        private = await save_checkpoint(public.run_id, "weights", "private")
        await TrainingRun.objects.filter(id=public.run_id).aupdate(user_metadata={"plan": "secret"})
        assert (
            await other_api.get(f"training_runs/{public.run_id}/checkpoints")
        ).status_code == 404
        await api.post(f"{address(public)}/publish")

        assert (await other_api.call("weights_info", tinker_path=public.path)).is_success
        listed = (await other_api.get(f"training_runs/{public.run_id}/checkpoints")).json()
        assert [item["tinker_path"] for item in listed["checkpoints"]] == [public.path]
        page = (await other_api.get("training_runs?access_scope=accessible")).json()
        (run,) = page["training_runs"]
        assert (run["training_run_id"], run["model_owner"]) == (public.run_id, "Team")
        assert run["last_checkpoint"]["tinker_path"] == public.path
        assert run["user_metadata"] is None
        assert page["cursor"]["total_count"] == 1
        shown = await other_api.get(f"training_runs/{public.run_id}?access_scope=accessible")
        assert shown.json()["last_checkpoint"]["tinker_path"] == public.path
        assert (await other_api.get("training_runs")).json()["training_runs"] == []
        assert (await other_api.get(f"training_runs/{public.run_id}")).status_code == 404
        assert (await other_api.get("checkpoints")).json()["checkpoints"] == []

        session = await other_api.session()
        made = await other_api.call(
            "load_weights", session_id=session, model_seq_id=0, path=public.path, optimizer=False
        )
        assert made.json()["model_id"] == f"{session}:train:0"
        sampler = await other_api.call(
            "create_sampling_session",
            session_id=session,
            sampling_session_seq_id=0,
            model_path=public.path,
        )
        assert sampler.is_success
        assert (await other_api.call("weights_info", tinker_path=private.path)).status_code == 404
        for method, what in (("DELETE", ""), ("DELETE", "/publish"), ("POST", "/publish")):
            refused = await other_api.request(method, f"{address(public)}{what}")
            assert refused.status_code == 404
        await public.arefresh_from_db()
        assert public.public

        await api.delete(f"{address(public)}/publish")
        page = (await other_api.get("training_runs?access_scope=accessible")).json()
        assert [item["training_run_id"] for item in page["training_runs"]] == [f"{session}:train:0"]

    async def test_an_unknown_scope(self, api: Api) -> None:
        response = await api.get("training_runs?access_scope=all")
        assert response.status_code == 400
        assert "owned, accessible" in response.json()["detail"]


class TestListings:
    """What the listings show."""

    async def test_runs_by_project(self, api: Api) -> None:
        sessions = [await api.session() for _ in range(2)]
        runs = [await api.run(session) for session in sessions]
        moved = await api.put(f"sessions/{sessions[1]}/project", json={"project_id": "night"})
        assert moved.is_success
        for project, run in (("default", runs[0]), ("night", runs[1])):
            page = (await api.get(f"training_runs?project_id={project}")).json()
            assert [item["training_run_id"] for item in page["training_runs"]] == [run]
            assert page["cursor"]["total_count"] == 1
        assert (await api.get("training_runs?project_id=x%00")).status_code == 400

    async def test_a_page_of_runs_costs_the_same_whatever_it_holds(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = await api.session()
        for number in range(4):
            run = await api.run(session, number)
            for name in ("a", "b"):
                await save_checkpoint(run, "weights", name)
        statements: list[str] = []
        execute = database.psycopg.AsyncCursor.execute

        async def counted(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
            statements.append(str(query))
            return await execute(self, query, *args, **kwargs)

        monkeypatch.setattr(database.psycopg.AsyncCursor, "execute", counted)
        page = (await api.get("training_runs")).json()
        assert all(
            run["last_checkpoint"]["checkpoint_id"] == "weights/b" for run in page["training_runs"]
        )
        assert len([text for text in statements if "accounts_apikey" not in text]) == 2

    @pytest.mark.parametrize(
        ("agent", "types"),
        [
            ("AsyncTinker/Python 0.25.0", ["training"]),
            ("AsyncTinker/Python 0.16.1", ["training"]),
            ("AsyncTinker/Python 0.28.1", ["external", "training"]),
            ("AsyncTinker/Python 0.38.0", ["external", "training"]),
            ("curl/8", ["external", "training"]),
        ],
    )
    async def test_old_clients_see_no_type_that_breaks_them(
        self, api: Api, agent: str, types: list[str]
    ) -> None:
        item = await saved(api)
        await save_checkpoint(item.run_id, "external_weights", "e")
        api.headers["User-Agent"] = agent
        for route in ("checkpoints", f"training_runs/{item.run_id}/checkpoints"):
            listed = (await api.get(route)).json()
            assert [entry["checkpoint_type"] for entry in listed["checkpoints"]] == types
        assert (await api.get("checkpoints")).json()["cursor"]["total_count"] == len(types)

    async def test_a_runs_checkpoints_come_in_pages_when_asked_for(self, api: Api) -> None:
        item = await saved(api)
        await save_checkpoint(item.run_id, "weights", "s2")
        route = f"training_runs/{item.run_id}/checkpoints"
        assert "cursor" not in (await api.get(route)).json()
        page = (await api.get(f"{route}?limit=1")).json()
        assert [entry["checkpoint_id"] for entry in page["checkpoints"]] == ["weights/s2"]
        assert page["cursor"]["total_count"] == 2

    async def test_a_run_without_checkpoints(self, api: Api, other_api: Api) -> None:
        run = await api.run(await api.session())
        assert (await api.get(f"training_runs/{run}/checkpoints")).json() == {"checkpoints": []}
        assert (await other_api.get(f"training_runs/{run}/checkpoints")).status_code == 404


async def test_saving_external_weights_is_an_operation(api: Api) -> None:
    run = await api.run(await api.session())
    response = await api.call(
        "save_weights_external",
        model_id=run,
        seq_id=1,
        path="e1",
        ttl_seconds=3600,
        type="save_weights_external",
    )
    assert response.json() == {"request_id": f"{run}:1", "model_id": run}
    operation = await Operation.objects.aget(target=run, seq=1)
    assert operation.kind == "save_weights_external"
