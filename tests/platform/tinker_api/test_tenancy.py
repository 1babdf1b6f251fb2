"""Every route × {no key, another team's key, the right key}: refusals change nothing.

Each case is a request that is good for the team it belongs to, which the last test proves. With
another team's key the same request must be refused, or answer without a word of the team's and
without a change to its rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection

from accounts.models import Scope, Team
from accounts.services import create_api_key
from tests.platform.tinker_api.conftest import BASE_MODEL, Api, create_model_body
from tests.platform.tinker_api.test_reports import window
from tests.support.saved import save_checkpoint
from tinker_api import urls
from tinsmith.wire import wire_pb2

NOT_FOUND = {404}
# about no team's things: the same question has an answer for everybody
NEUTRAL = {200}


@dataclass(frozen=True)
class Case:
    """A request in terms of the team's things, and how it is refused to another team."""

    method: str
    route: str
    body: dict[str, Any] | None = None
    others: frozenset[int] | set[int] = field(default_factory=lambda: NOT_FOUND)
    params: dict[str, str] = field(default_factory=dict)
    protobuf: bool = False


RUN = {"model_id": "{run}", "seq_id": 1}
SAVED = "training_runs/{run}/checkpoints/weights/s1"
CASES = [
    Case("POST", "client/config", {"sdk_version": "0.38.0"}, NEUTRAL),
    Case("POST", "client/dynamic_config", {"sdk_version": "0.38.0"}, NEUTRAL),
    Case("GET", "get_server_capabilities", others=NEUTRAL),
    Case("POST", "create_session", {"tags": [], "user_metadata": {}}, NEUTRAL),
    Case("POST", "session_heartbeat", {"session_id": "{session}"}),
    Case("POST", "telemetry", {"session_id": "{session}"}, NEUTRAL),
    Case("POST", "auth/token", {}, NEUTRAL),
    Case("GET", "auth/apikey/me", others=NEUTRAL),
    Case("POST", "create_model", create_model_body("{session}", 7)),
    Case("POST", "get_info", {"model_id": "{run}"}),
    Case("POST", "forward_backward", RUN, protobuf=True),
    Case("POST", "optim_step", RUN | {"seq_id": 2}),
    Case("POST", "save_weights", RUN | {"seq_id": 3, "path": "x"}),
    Case("POST", "load_weights", RUN | {"seq_id": 4, "path": "{path}"}),
    Case("POST", "save_weights_for_sampler", RUN | {"seq_id": 5, "path": "x"}),
    Case("POST", "save_weights_external", RUN | {"seq_id": 6, "path": "x"}),
    Case(
        "POST",
        "create_sampling_session",
        {"session_id": "{session}", "sampling_session_seq_id": 8, "base_model": BASE_MODEL},
    ),
    Case("GET", "samplers/{sampler}"),
    Case("POST", "asample", {"sampling_session_id": "{sampler}", "seq_id": 5}),
    Case("POST", "retrieve_future", {"request_id": "{run}:0"}),
    Case("GET", f"models/{BASE_MODEL}/tokenizer", others=NEUTRAL),
    Case("GET", "training_runs", others=NEUTRAL),
    Case("GET", "training_runs", others=NEUTRAL, params={"access_scope": "accessible"}),
    Case("GET", "training_runs/{run}"),
    Case("GET", "training_runs/{run}", params={"access_scope": "accessible"}),
    Case("GET", "training_runs/{run}/checkpoints"),
    Case("GET", "checkpoints", others=NEUTRAL),
    Case("POST", "weights_info", {"tinker_path": "{path}"}),
    Case("GET", "sessions", others=NEUTRAL),
    Case("POST", "sessions/search", {}, NEUTRAL),
    Case("GET", "sessions/{session}"),
    Case("GET", "sessions/{session}/trace_export"),
    Case("PUT", "sessions/{session}/project", {"project_id": "p"}),
    Case("GET", "audit", others=NEUTRAL),
    Case("GET", "billing/usage/events", others=NEUTRAL, params=window()),
    Case("GET", "billing/usage/checkpoints/current", others=NEUTRAL),
    Case("GET", f"{SAVED}/external_weights_urls"),
    Case("GET", f"{SAVED}/archive"),
    Case("POST", "copy_weights", {"source_path": "{path}", "destination_project_id": "p"}),
    Case("PUT", f"{SAVED}/ttl", {"ttl_seconds": 3600}),
    Case("POST", f"{SAVED}/publish"),
    Case("DELETE", f"{SAVED}/publish"),
    Case("DELETE", SAVED),
    Case("POST", "sessions/{session}/finish", {"reason": {"type": "success"}}),
    Case("DELETE", "auth/apikey/me", others=NEUTRAL),
]
# routes that other parts of the API's tests walk in the same way, by the name they begin with
ELSEWHERE = ("runs/", "retrieve_futures", "join_sampling_session", "cancel_future", "forward",
             "unload_model", "create_custom_loss", "models")  # fmt: skip


@dataclass
class Things:
    """What the team owns, by the names that cases use."""

    names: dict[str, str]

    def request(self, case: Case) -> dict[str, Any]:
        """A case's request with the real ids in it."""
        fill = {f"{{{name}}}": value for name, value in self.names.items()}

        def real(text: str) -> str:
            for name, value in fill.items():
                text = text.replace(name, value)
            return text

        made: dict[str, Any] = {"method": case.method, "url": real(case.route)}
        if case.protobuf:
            assert case.body is not None
            message = wire_pb2.ForwardBackwardRequest(model_id=self.names["run"], seq_id=1)
            made["content"] = message.SerializeToString()
            made["headers"] = {"Content-Type": "application/x-protobuf"}
        elif case.body is not None:
            made["content"] = real(json.dumps(case.body))
        return made | {"params": case.params or None}


@pytest_asyncio.fixture
async def things(api: Api, settings: Any, tmp_path: Path) -> Things:
    """A session, a run, a sampler and a checkpoint of the team."""
    settings.DATA_DIR = tmp_path
    session = await api.session()
    run, sampler = await api.run(session), await api.sampler(session)
    await api.call("asample", sampling_session_id=sampler, seq_id=0)
    saved = await save_checkpoint(run)
    return Things({"session": session, "run": run, "sampler": sampler, "path": saved.path})


@sync_to_async
def rows_of(team_id: int) -> dict[str, list[str]]:
    """All rows that belong to a team, table by table, as text."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT table_name FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name = 'team_id' ORDER BY 1
            """
        )
        tables = [name for (name,) in cursor.fetchall()]
        wanted = {name: f"SELECT t::text FROM {name} t WHERE team_id = %s" for name in tables}
        # when a key was last used is not a change to anything
        wanted["accounts_apikey"] = """
            SELECT (id, revoked_at)::text FROM accounts_apikey WHERE team_id = %s"""
        for table in ("operations_payload", "operations_result"):
            wanted[table] = f"""
                SELECT t::text FROM {table} t JOIN operations_operation o ON o.id = t.operation_id
                WHERE o.team_id = %s"""
        wanted["checkpoints_leftover"] = "SELECT key FROM checkpoints_leftover WHERE %s > 0"
        found = {}
        for name, statement in wanted.items():
            cursor.execute(statement, [team_id])
            found[name] = sorted(str(row) for row in cursor.fetchall())
        return found


def files_in(folder: Path) -> list[str]:
    """Every file below the store."""
    return sorted(str(path) for path in folder.rglob("*"))


def test_every_route_has_a_case() -> None:
    walked = {(case.method, case.route.split("?")[0]) for case in CASES}
    shapes = {(method, _shape(route)) for method, route in walked}
    missing = [
        (method, str(route.pattern))
        for route in urls.urlpatterns
        if not route.callback.open_to_all and not str(route.pattern).startswith(("^", *ELSEWHERE))
        for method in route.callback.methods
        if (method, _shape(str(route.pattern))) not in shapes
    ]
    assert missing == []


def _shape(route: str) -> str:
    """A route with what stands in for ids taken out."""
    text = route.replace("checkpoints/weights/s1", "checkpoints/*/*")
    for part in ("{run}", "{session}", "{sampler}", "<str:run_id>", "<str:session_id>",
                 "<str:sampler_id>", "<str:segment>", "<str:name>"):  # fmt: skip
        text = text.replace(part, "*")
    return text


async def test_without_a_key(api: Api, team: Team, things: Things, tmp_path: Path) -> None:
    before, files = await rows_of(team.id), files_in(tmp_path)
    api.headers["X-API-Key"] = ""
    for case in CASES:
        response = await api.request(**things.request(case))
        assert response.status_code == 401, case
    assert (await rows_of(team.id), files_in(tmp_path)) == (before, files)


async def test_with_another_teams_key(
    api: Api, other_api: Api, team: Team, things: Things, tmp_path: Path
) -> None:
    before, files = await rows_of(team.id), files_in(tmp_path)
    for case in CASES:
        request = things.request(case)
        response = await other_api.request(**request)
        if "tokenizer" in case.route:
            continue
        assert response.status_code in case.others, (case, response.text)
        if response.is_success:
            for name, value in things.names.items():
                assert value not in response.text, (case, name)
        assert await rows_of(team.id) == before, case
    assert files_in(tmp_path) == files


async def test_with_a_key_that_may_only_sample(
    api: Api, team: Team, things: Things, tmp_path: Path
) -> None:
    def make() -> str:
        return create_api_key(team=team, name="s", scopes=["sample"]).text

    api.headers["X-API-Key"] = await sync_to_async(make)()
    before, files = await rows_of(team.id), files_in(tmp_path)
    training = {
        (method, _shape(str(route.pattern)))
        for route in urls.urlpatterns
        if route.callback.scope == Scope.TRAIN
        for method in route.callback.methods
    }
    refused = [case for case in CASES if (case.method, _shape(case.route)) in training]
    assert len(refused) > 15
    for case in refused:
        response = await api.request(**things.request(case))
        assert (response.status_code, "may not train" in response.text) == (403, True), case
    assert (await rows_of(team.id), files_in(tmp_path)) == (before, files)


async def test_with_the_right_key(api: Api, team: Team, things: Things) -> None:
    for case in CASES:
        if case.route == "retrieve_future" or "tokenizer" in case.route:
            continue  # nothing has been done yet; there are no tokenizer files in this test
        response = await api.request(**things.request(case))
        assert response.status_code == 200, (case, response.text)
    assert (await api.get("sessions")).status_code == 401
