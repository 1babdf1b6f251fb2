"""A real web server on this event loop, and pages that open sockets to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import uvicorn
import websockets
from asgiref.sync import sync_to_async
from django.conf import settings as django_settings
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect

from accounts.models import Team, User
from accounts.services import create_team, set_role
from catalog.models import BaseModel
from config.asgi import application
from core import database, hub
from core.protocol import BoundedProtocol
from core.sockets import BoundedSocket
from events import services
from events.models import Kind
from tests.support.log import Log
from tests.support.waiting import eventually_async


class Web:
    """A web process that can be started again on its port."""

    port = 0

    async def start(self) -> None:
        """Start, and wait until it listens."""
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=self.port,
            http=BoundedProtocol,
            ws=BoundedSocket,
            ws_max_size=1024,
            ws_per_message_deflate=False,
            lifespan="on",
            log_config=None,
            timeout_graceful_shutdown=2,
        )
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve())
        await eventually_async(lambda: self._server.started or self._serving.done(), within_s=20)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop as on a signal."""
        self._server.should_exit = True
        await asyncio.wait_for(self._serving, 20)


class Page:
    """What a browser's page does with its socket."""

    def __init__(self, web: Web, cookie: str, **asked: str) -> None:
        self._web, self._cookie, self._asked = web, cookie, asked
        self.cursor: str | None = None
        self.told: list[int] = []
        self.about: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.code: int | None = None
        self.socket: ClientConnection | None = None

    async def open(self, *, origin: str | None = None, host: str | None = None) -> None:
        """Open the socket, with the cursor if there is one; raises what the client raises."""
        asked = self._asked | ({"after": self.cursor} if self.cursor else {})
        here = f"127.0.0.1:{self._web.port}"
        self.socket = await connect(
            f"ws://{here}/api/console/live?{urlencode(asked)}",
            origin=websockets.Origin(origin or f"http://{here}"),
            additional_headers={"Cookie": f"{django_settings.SESSION_COOKIE_NAME}={self._cookie}"},
            compression=None,
            max_queue=4,
            ping_interval=None,
        )

    async def hear(self) -> dict[str, Any] | None:
        """The next frame; None when the socket is closed, `code` says why."""
        assert self.socket is not None
        try:
            frame: dict[str, Any] = json.loads(await asyncio.wait_for(self.socket.recv(), 20))
        except websockets.ConnectionClosed as closed:
            self.code = closed.rcvd.code if closed.rcvd else 1006
            return None
        self.cursor = frame["cursor"]
        self.frames.append(frame)
        self.told += [event["id"] for event in frame.get("events", [])]
        self.about += [event["about"] for event in frame.get("events", [])]
        return frame

    async def hear_of(self, *about: str) -> None:
        """Listen until all of these have been told, or the socket is closed."""
        while not set(about) <= set(self.about) and await self.hear() is not None:
            pass

    async def cut(self) -> None:
        """Lose the line: nothing that was on its way arrives."""
        assert self.socket is not None
        self.socket.transport.abort()
        await self.socket.wait_closed()


@pytest.fixture
async def web(transactional_db: None) -> AsyncIterator[Web]:
    """A web process."""
    found = Web()
    await found.start()
    yield found
    await found.stop()
    await hub.shutdown()
    await database.shutdown()


@pytest.fixture
def user(transactional_db: None) -> User:
    """A person."""
    return User.objects.create_user("ana", password="a password of hers")


@pytest.fixture
def team(user: User) -> Team:
    """The person's team."""
    found = create_team(name="Smiths")
    set_role(team=found, user=user)
    return found


def signed_in(user: User) -> str:
    """The cookie of a browser in which somebody is signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[django_settings.SESSION_COOKIE_NAME].value


@pytest.fixture
def cookie(user: User) -> str:
    """The cookie of the person's browser."""
    return signed_in(user)


async def happen(team: Team, *about: str, run: str | None = None) -> None:
    """Something happens, each in a transaction of its own."""
    for one in about:
        async with services.transaction() as conn:
            new = services.event(Kind.RUN_CREATED, one, team_id=team.pk, run_id=run)
            await services.write(conn, new)


@sync_to_async
def someone(name: str) -> tuple[User, Team, str]:
    """Somebody else, their team and cookie."""
    user = User.objects.create_user(name)
    team = create_team(name=name, owner=user)
    return user, team, signed_in(user)


@pytest.fixture
def run(team: Team) -> str:
    """A run of the team's, which nobody works on."""
    base_model = BaseModel.objects.create(
        name="acme/tiny", source="x", tokenizer_id="x", family="qwen3", max_context_length=64
    )
    with database.connect() as conn:
        return str(Log(conn, base_model).run(team).id)
