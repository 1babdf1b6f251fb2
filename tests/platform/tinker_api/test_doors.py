"""Every route × {nobody, another team, viewer, member, admin, owner}: refusals change nothing.

The tables of `tests/support/door_tables.py` say what each route is asked and which role it takes.
With another team's key the same request must be refused, or answer without a word of the team's and
without a change to its rows; with too low a role it is refused with 403, which names both roles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import AsyncClient
from django.urls import resolve

from accounts import services
from accounts.models import ApiKey, Membership, Role, Scope, Team, User
from accounts.services import create_api_key
from captures.models import DatumStat
from catalog.models import BaseModel
from checkpoints.models import Checkpoint
from gpu_workers import nano
from operations.claims import Claimed
from tests.platform.openai_api.conftest import Worker, answer, tokens_of
from tests.platform.tinker_api.conftest import PROTOBUF, Api
from tests.support.captured import capture
from tests.support.door_tables import (
    ADMIN,
    BASE_MODEL,
    CASES,
    CONSOLE,
    CONSOLE_CHANGES,
    OPEN,
    SIGN_IN,
    SOCKETS,
    Case,
)
from tests.support.doors import Things, all_rows, files_in, routes, rows_of, socket_routes
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint

LAST = "/api/v1/auth/apikey/me"
# which downloads write there is reading, too
NOTED = "audit_entry"


@pytest.fixture
def base_model(transactional_db: None) -> BaseModel:
    """A base model with a real tokenizer, for texts go through the other API."""
    return BaseModel.objects.create(
        name=BASE_MODEL,
        source="/nowhere",
        tokenizer_id=str(nano.folder("nano-qwen3")),
        family="qwen3",
        max_context_length=128,
        hidden_size=192,
        max_lora_rank=16,
    )


@pytest_asyncio.fixture
async def things(api: Api, hand: Hand, data_folder: Path) -> Things:
    """A session, a run, a checkpoint and a sampler with two samples, one of them done."""
    session = await api.session()
    run, sampler = await api.run(session), await api.sampler(session)
    for seq in (0, 1):
        await api.call("asample", sampling_session_id=sampler, seq_id=seq)
    for operation in hand.claim():
        if (operation.target, operation.seq) == (sampler, 0):
            hand.finish(operation, content_type=PROTOBUF, body=answer(tokens_of("yes")))
    saved = await save_checkpoint(run)
    await capture(run)
    datum = "987654321987654"  # what stands by chance in no answer
    await DatumStat.objects.filter(run=run).aupdate(id=datum)
    second = await api.run(session, 3)
    named = {"session": session, "run": run, "second": second, "sampler": sampler}
    return Things({**named, "path": saved.path, "datum": datum})


class Answering(Worker):
    """Answers samples, but none of one sampler."""

    def __init__(self, hand: Hand, silent: str) -> None:
        super().__init__(hand)
        self.silent = silent

    async def _do(self, operation: Claimed) -> None:
        self.hand.renew()
        if operation.kind == "sample" and operation.target != self.silent:
            await super()._do(operation)


@pytest_asyncio.fixture
async def answering(hand: Hand, things: Things) -> AsyncIterator[None]:
    """Samples are answered, but for those of the team's sampler."""
    working = asyncio.create_task(Answering(hand, things.names["sampler"]).run())
    yield
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def test_every_route_stands_in_a_table() -> None:
    found = dict(routes())
    told = {(_route_of(case), case.method) for case in CASES}
    asked = {route for route, _ in told}
    pages = {route for route, view in found.items() if not hasattr(view, "methods")}
    open_routes = {route for route, view in found.items() if getattr(view, "open_to_all", False)}
    changes = {_route_of(case) for case in CONSOLE_CHANGES}
    assert pages | open_routes == {*OPEN, *ADMIN, *CONSOLE, *SIGN_IN, *changes}
    assert asked == set(found) - pages - open_routes
    assert told == {(route, method) for route in asked for method in found[route].methods}


def _route_of(case: Case) -> str:
    """The route that a case goes to."""
    ids = {name: name for name in ("session", "run", "second", "sampler", "path")}
    ids["datum"] = "1"
    view = resolve(Things(ids).fill(case.route)).func
    return next(route for route, found in routes() if found is view)


def test_every_socket_stands_in_the_table() -> None:
    assert socket_routes() == set(SOCKETS)


async def test_nobody_opens_a_socket_that_is_not_there(application: Any, api_key: str) -> None:
    for path in ("/", "/api/v1/training_runs", "/v1/models", "/ws/"):
        headers = [(b"x-api-key", api_key.encode())]
        scope = {"type": "websocket", "path": path, "headers": headers, "query_string": b""}
        socket = ApplicationCommunicator(application, scope)
        await socket.send_input({"type": "websocket.connect"})
        assert await socket.receive_output() == {"type": "websocket.close"}


async def test_without_a_key(api: Api, team: Team, things: Things, data_folder: Path) -> None:
    before, files = await rows_of(team.id), files_in(data_folder)
    api.headers["X-API-Key"] = ""
    for case in CASES:
        response = await api.request(**things.request(case))
        assert response.status_code == 401, case
    assert (await rows_of(team.id), files_in(data_folder)) == (before, files)


async def test_with_another_teams_key(
    api: Api, other_api: Api, team: Team, things: Things, data_folder: Path, answering: None
) -> None:
    before, files = await rows_of(team.id), files_in(data_folder)
    for case in CASES:
        response = await other_api.request(**things.request(case))
        assert response.status_code in case.others, (case, response.text)
        if response.is_success and "tokenizer" not in case.route:
            for name, value in things.names.items():
                assert value not in response.text, (case, name)
        assert await rows_of(team.id) == before, case
    assert files_in(data_folder) == files


def _key(team: Team, role: Role, *, of_a_person: bool) -> str:
    """A key with a role, of its own or of a person who has it."""
    if not of_a_person:
        return create_api_key(team=team, name=role, role=role).text
    user = User.objects.create_user(f"a-{role}")
    services.set_role(team=team, user=user, role=role)
    return create_api_key(team=team, name=role, user=user).text


@pytest.mark.parametrize("of_a_person", [False, True])
async def test_with_too_low_a_role(
    api: Api, team: Team, things: Things, data_folder: Path, of_a_person: bool
) -> None:
    """Nothing on these doors takes more than a member, so the viewer is who is refused."""
    key = await sync_to_async(_key)(team, Role.VIEWER, of_a_person=of_a_person)
    api.headers["X-API-Key"] = key
    before, files = await rows_of(team.id), files_in(data_folder)
    noted = before.pop(NOTED)
    for case in CASES:
        response = await api.request(**things.request(case))
        rows = await rows_of(team.id)
        now_noted = rows.pop(NOTED)
        if not Role.VIEWER.covers(case.least):
            words = f"takes the role {case.least}, or a higher one, to "
            told = words in response.text and "this API key's is viewer" in response.text
            assert (response.status_code, told) == (403, True), (case, response.text)
            assert now_noted == noted, case
        else:
            assert response.status_code == case.answers, (case, response.text)
        if (case.method, case.route) != ("DELETE", LAST):
            assert rows == before, case
        noted = now_noted
    assert files_in(data_folder) == files
    assert (await api.get("sessions")).status_code == 401


@pytest.mark.parametrize("role", [Role.MEMBER, Role.ADMIN, Role.OWNER])
async def test_with_a_role_that_suffices(
    api: Api, team: Team, things: Things, answering: None, role: Role
) -> None:
    api.headers["X-API-Key"] = await sync_to_async(_key)(team, role, of_a_person=True)
    for case in CASES:
        assert role.covers(case.least), case
        response = await api.request(**things.request(case))
        assert response.status_code == case.answers, (case, response.text)
    assert (await api.get("sessions")).status_code == 401


async def test_with_a_key_of_which_no_role_was_said(
    api: Api, things: Things, answering: None
) -> None:
    for case in CASES:
        response = await api.request(**things.request(case))
        assert response.status_code == case.answers, (case, response.text)


async def test_with_a_key_that_may_only_sample(
    api: Api, team: Team, things: Things, data_folder: Path
) -> None:
    make = sync_to_async(create_api_key)
    api.headers["X-API-Key"] = (await make(team=team, name="s", scopes=["sample"])).text
    before, files = await rows_of(team.id), files_in(data_folder)
    views = dict(routes())
    refused = [case for case in CASES if views[_route_of(case)].scope == Scope.TRAIN]
    assert len(refused) > 15
    for case in refused:
        response = await api.request(**things.request(case))
        assert (response.status_code, "may not train" in response.text) == (403, True), case
    assert (await rows_of(team.id), files_in(data_folder)) == (before, files)


async def test_a_viewers_bad_request_takes_no_number(api: Api, team: Team, things: Things) -> None:
    """What is refused keeps its number for who may train; a viewer must not write even that."""
    key = await sync_to_async(_key)(team, Role.VIEWER, of_a_person=False)
    body = {"model_id": things.names["run"], "seq_id": 1, "age_encryption_recipients": ["no"]}
    before = await rows_of(team.id)
    refused = await api.post("save_weights_external", json=body, headers={"X-API-Key": key})
    assert refused.status_code == 403, refused.text
    assert refused.headers["X-Tinsmith-Sequence"] == "free"
    assert await rows_of(team.id) == before
    held = await api.post("save_weights_external", json=body)
    assert (held.status_code, held.headers["X-Tinsmith-Sequence"]) == (400, "held")


@sync_to_async
def _browser(team: Team, role: Role | None) -> AsyncClient:
    """The browser of somebody with a role in the team; None: nobody is signed in."""
    browser = AsyncClient()
    if role is not None:
        user = User.objects.create_user(f"the-{role}")
        Membership.objects.create(team=team, user=user, role=role)
        browser.force_login(user)
    return browser


@sync_to_async
def _rows_on_pages(team: Team) -> dict[str, str]:
    """A row for each kind of page in the admin."""
    user = User.objects.create_user("somebody")
    key = create_api_key(team=team, name="k").key
    ids = {"accounts/team": team.pk, "accounts/user": user.pk, "accounts/apikey": key.pk}
    ids["catalog/basemodel"] = BaseModel.objects.get().pk
    others = {"audit/entry": 1, "auth/group": 1, "operations/worker": 1}
    return {name: str(pk) for name, pk in {**ids, **others, "user": user.pk}.items()}


@pytest.mark.parametrize("role", [None, *Role])
async def test_the_admin_is_for_administrators(
    application: Any, team: Team, role: Role | None
) -> None:
    """Who is none is sent to the page to sign in, even an owner, and nothing has changed."""
    names = Things(await _rows_on_pages(team))
    browser = await _browser(team, role)
    before = await all_rows()
    for address in ADMIN.values():
        for ask in (browser.get, browser.post):
            response = await ask(names.fill(address), {"post": "yes"})
            assert response.status_code == 302, address
            beginning = "/admin/" if address == "/admin/logout/" else "/admin/login/?next="
            assert response["Location"].startswith(beginning), address
    assert await all_rows() == before


async def test_administrators_are_let_in_where_the_others_were_sent_away(
    application: Any, team: Team
) -> None:
    names, browser = Things(await _rows_on_pages(team)), await _browser(team, None)
    root = await sync_to_async(User.objects.create_superuser)("root", password="x")
    await sync_to_async(browser.force_login)(root)
    for address in ADMIN.values():
        if address != "/admin/logout/":
            response = await browser.get(names.fill(address))
            assert not response.get("Location", "").startswith("/admin/login/"), address
    deleted = names.fill("/admin/accounts/apikey/{accounts/apikey}/delete/")
    await browser.post(deleted, {"post": "yes"})
    assert not await sync_to_async(ApiKey.objects.exists)()


@pytest.mark.parametrize("role", [None, *Role])
async def test_whoever_is_in_a_team_reads_it_on_the_dashboard(
    application: Any, api: Api, team: Team, things: Things, other_key: str, role: Role | None
) -> None:
    """Another team's owner reads nothing of it, nobody reads anything, and nothing changes."""
    browser = await _browser(team, role)
    stranger = AsyncClient()
    bob = await sync_to_async(User.objects.create_user)("bob")
    other = await Team.objects.aget(slug="other")
    await Membership.objects.acreate(team=other, user=bob, role=Role.OWNER)
    await sync_to_async(stranger.force_login)(bob)
    before = await all_rows()
    for address in CONSOLE.values():
        named = things.fill(address)
        assert (await browser.get(named)).status_code == (401 if role is None else 200), address
        answer = await stranger.get(named)
        assert answer.status_code == (404 if named != address else 200), address
        for value in things.names.values():
            assert value not in answer.content.decode(), address
        changed = {_route_of(case) for case in CONSOLE_CHANGES}
        posts = [] if address.removeprefix("/") in changed else [browser.post]
        for change in (*posts, browser.put, browser.patch, browser.delete):
            refused = await change(named, {}, content_type="application/json")
            assert refused.status_code in (401, 405), address
    assert await all_rows() == before


def _asked(browser: AsyncClient, things: Things, case: Case, token: str = "") -> Any:
    """A case as a page of the dashboard sends it."""
    request = things.request(case)
    ask = getattr(browser, case.method.lower())
    address = request["url"].removeprefix("http://testserver")
    headers = {"X-CSRFToken": token} if token else {}
    return ask(address, request["content"], content_type="application/json", headers=headers)


@pytest.mark.parametrize("role", [None, *Role])
async def test_who_changes_things_on_the_dashboard(
    application: Any, api: Api, team: Team, things: Things, role: Role | None
) -> None:
    """The right role with the token of a page of ours does it; all else changes nothing."""
    saved = await Checkpoint.objects.aget()
    things.names["checkpoint"] = str(saved.pk)
    browser = await _browser(team, role)
    strict, token = AsyncClient(enforce_csrf_checks=True), "a" * 32
    strict.cookies.update(browser.cookies)
    stranger = AsyncClient()
    bob = await sync_to_async(User.objects.create_user)("bob")
    other = await sync_to_async(services.create_team)(name="Other")
    await Membership.objects.acreate(team=other, user=bob, role=Role.OWNER)
    await sync_to_async(stranger.force_login)(bob)
    for case in CONSOLE_CHANGES:
        before = await all_rows()
        foreign = await _asked(stranger, things, case)
        assert foreign.status_code == 404, (case, foreign.content)
        forged = await _asked(strict, things, case)
        assert forged.status_code == (401 if role is None else 403), case
        assert await all_rows() == before, case
        strict.cookies["csrftoken"] = token
        answer = await _asked(strict, things, case, token)
        del strict.cookies["csrftoken"]
        if role is None:
            assert answer.status_code == 401, case
        elif not role.covers(case.least):
            words = f"takes the role {case.least}, or a higher one, to "
            if answer.status_code == 404:
                # nobody has deleted what is to be brought back
                assert "restore" in str(case.body)
            else:
                told = answer.status_code, words in answer.content.decode()
                assert told == (403, True), (case, answer.content)
        else:
            assert answer.status_code == case.answers, (case, answer.content)
        if role is None or not role.covers(case.least):
            assert await all_rows() == before, case


async def test_what_is_open_changes_nothing(application: Any, api: Api, things: Things) -> None:
    before = await all_rows()
    browser = AsyncClient()
    for address in OPEN.values():
        for ask in (browser.get, browser.post):
            response = await ask(address)
            # 503: a dashboard that nobody has built
            allowed = (200, 403, 404, 405, 503)
            assert response.status_code in allowed, (address, response.status_code)
            if not response.streaming:
                for value in things.names.values():
                    assert value not in response.content.decode(), address
    assert await all_rows() == before
