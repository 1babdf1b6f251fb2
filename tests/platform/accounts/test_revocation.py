"""A key that may do less is refused at once, in every web process that remembers it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import connection as django_connection

from accounts import keys, services
from accounts.models import ApiKey, Membership, Role, Team, User
from core import database, hub
from core.errors import Unauthorized
from tests.conftest import REPOSITORY, Services
from tests.support.waiting import eventually, eventually_async

pytestmark = pytest.mark.django_db(transaction=True)

FOR_EVER_S = 3600.0
# news alone can make a process forget: nothing is forgotten by the clock
WEB = f"""
import sys, uvicorn
from config.asgi import application
from accounts import keys
keys.REMEMBER_S = {FOR_EVER_S}
uvicorn.run(application, port=int(sys.argv[1]), lifespan="on", ws="none", log_level="warning")
"""


@pytest.fixture
def team() -> Team:
    """A team."""
    return services.create_team(name="Smiths")


@pytest.fixture
def webs(team: Team, services: Services, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    """Two web processes on one database, with a client for each."""
    name = django_connection.settings_dict["NAME"]
    head, _, query = services.database_url.partition("?")
    url = f"{head.rpartition('/')[0]}/{name}?{query}"
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "VALKEY_URL": services.valkey_url,
        "TINSMITH_DATA_DIR": str(tmp_path),
        "TINSMITH_SECRET_KEY": "both processes sign alike",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "platform"), str(REPOSITORY)]),
    }
    ports = [free_port(), free_port()]
    processes = [
        subprocess.Popen([sys.executable, "-c", WEB, str(port)], cwd=REPOSITORY, env=environment)
        for port in ports
    ]
    clients = [httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/") for port in ports]
    try:
        for client in clients:
            eventually(partial(answers, client), within_s=30)
        yield clients
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def answers(client: httpx.Client) -> bool:
    """Whether a web process is there."""
    try:
        return client.get("audit").status_code == 401
    except httpx.TransportError:
        return False


def status(client: httpx.Client, key: str) -> int:
    """What a web process answers to a request with the key."""
    return client.get("audit", headers={"X-API-Key": key}).status_code


def drop_listening_connections() -> int:
    """Break the connections over which web processes hear news; how many there were."""
    with django_connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE query LIKE 'LISTEN%'
            """
        )
        return int(cursor.fetchone()[0])


def test_every_web_process_hears_of_it(webs: list[httpx.Client], team: Team) -> None:
    one, other = webs
    made = {name: services.create_api_key(team=team, name=name) for name in "abcd"}
    texts = {name: new.text for name, new in made.items()}
    token = one.post("auth/token", headers={"X-API-Key": texts["a"]}, json={}).json()["jwt"]
    for web in webs:
        assert [status(web, text) for text in (*texts.values(), token)] == [200] * 5

    # ended by its owner in one process
    assert one.delete("auth/apikey/me", headers={"X-API-Key": texts["a"]}).status_code == 200
    assert status(one, texts["a"]) == 401
    eventually(lambda: status(other, texts["a"]) == 401)
    assert [status(web, token) for web in webs] == [401, 401]
    # by an administrator, in a process that is neither
    services.revoke_api_key(key=made["b"].key)
    for web in webs:
        eventually(partial(status, web, texts["b"]), equals=401)
    # cut down to sampling, as the admin pages do it
    made["c"].key.scopes = ["sample"]
    made["c"].key.save()
    for web in webs:
        eventually(partial(status, web, texts["c"]), equals=403)
    # while the news cannot come: whoever reconnects trusts nothing that it remembers
    assert drop_listening_connections() == 2
    services.revoke_api_key(key=made["d"].key)
    for web in webs:
        eventually(partial(status, web, texts["d"]), equals=401)


@pytest.fixture
async def listening(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A hub that listens, and a memory that time does not fade."""
    monkeypatch.setattr(keys, "REMEMBER_S", FOR_EVER_S)
    keys.forget()
    await hub.startup()
    await hub.current().listening()
    yield
    await hub.shutdown()
    await database.shutdown()
    keys.forget()


async def until_heard(before: int) -> None:
    """Wait for news that came after `before` of them."""
    await eventually_async(lambda: keys._changes > before)


async def test_only_the_key_that_changed_is_looked_up_again(team: Team, listening: None) -> None:
    make = sync_to_async(services.create_api_key)
    ended, kept = await make(team=team, name="ended"), await make(team=team, name="kept")
    for key in (ended, kept):
        await keys.authenticate(key.text)
    before = keys._changes
    await sync_to_async(services.revoke_api_key)(key=ended.key)
    await until_heard(before)
    assert set(keys._remembered) == {services.hash_key(kept.text)}
    with pytest.raises(Unauthorized):
        await keys.authenticate(ended.text)


async def test_using_a_key_is_no_news(team: Team, listening: None) -> None:
    new = await sync_to_async(services.create_api_key)(team=team, name="used")
    before = keys._changes
    await keys.authenticate(new.text)
    assert (await ApiKey.objects.aget(pk=new.key.pk)).last_used_at is not None
    # what is announced next comes after what was not
    await ApiKey.objects.filter(pk=new.key.pk).adelete()
    await until_heard(before)
    assert keys._changes == before + 1


async def test_a_role_that_changes_is_news_of_its_keys(team: Team, listening: None) -> None:
    def make() -> tuple[User, str, str]:
        user = User.objects.create_user("ada")
        services.set_role(team=team, user=user, role=Role.OWNER)
        services.set_role(team=team, user=User.objects.create_user("eve"), role=Role.OWNER)
        own = services.create_api_key(team=team, name="own", user=user)
        teams = services.create_api_key(team=team, name="team's", role=Role.ADMIN)
        return user, own.text, teams.text

    user, own, teams = await sync_to_async(make)()
    key = await ApiKey.objects.aget(name="team's")
    assert [(await keys.authenticate(text)).role for text in (own, teams)] == ["owner", "admin"]

    async def after(verb: Callable[..., object], **arguments: object) -> None:
        before = keys._changes
        await sync_to_async(verb)(**arguments)
        await until_heard(before)

    await after(services.set_role, team=team, user=user, role=Role.VIEWER)
    assert [(await keys.authenticate(text)).role for text in (own, teams)] == ["viewer", "admin"]
    await after(services.set_api_key_role, key=key, role=Role.MEMBER)
    assert [(await keys.authenticate(text)).role for text in (own, teams)] == ["viewer", "member"]
    await after(User.objects.filter(pk=user.pk).update, is_active=False)
    with pytest.raises(Unauthorized):
        await keys.authenticate(own)
    await after(User.objects.filter(pk=user.pk).update, is_active=True)
    assert (await keys.authenticate(own)).role == "viewer"
    await after(Membership.objects.filter(user=user).delete)
    with pytest.raises(Unauthorized):
        await keys.authenticate(own)


async def test_news_that_overtakes_the_look_up(
    team: Team, listening: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await sync_to_async(services.create_api_key)(team=team, name="raced")
    look_up = keys.connection

    @asynccontextmanager
    async def slow() -> AsyncIterator[database.Connection]:
        async with look_up() as conn:
            yield conn
        before = keys._changes
        await sync_to_async(services.revoke_api_key)(key=new.key)
        await until_heard(before)

    with monkeypatch.context() as patched:
        patched.setattr(keys, "connection", slow)
        await keys.authenticate(new.text)  # it was good when it was looked up
    with pytest.raises(Unauthorized):
        await keys.authenticate(new.text)
