"""Browsers of people who are signed in, on the real ASGI application and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from accounts import sign_in
from accounts.models import Role, Team, User
from accounts.services import set_role
from tests.platform.tinker_api.conftest import Api, api, base_model, create_model_body, other_api

__all__ = [
    "Api",
    "api",
    "base_model",
    "create_model_body",
    "other_api",
]  # its fixtures are used here, too

PASSWORD = "right-horse-battery"
ADDRESS = "http://testserver/api/console/"


class Browser(httpx.AsyncClient):
    """A browser that sends its CSRF token along."""

    async def send(self, request: httpx.Request, **kwargs: Any) -> httpx.Response:
        """Send what is asked for, as the dashboard's pages do."""
        token = self.cookies.get("csrftoken")
        if token and request.method != "GET":
            request.headers["X-CSRFToken"] = token
        return await super().send(request, **kwargs)

    async def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Sign in as the page does: first the token, then name and password."""
        await self.get("session")
        return await self.post("session", json={"username": name, "password": password})

    async def shown(self, address: str, **params: Any) -> Any:
        """What an address shows, which must be there."""
        response = await self.get(address, params=params)
        assert response.status_code == 200, response.text
        return response.json()


Open = Callable[[], Browser]


@pytest.fixture(autouse=True)
def fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No failed sign-ins so far, hosts that tests use, and no rest between two passwords."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    monkeypatch.setattr(sign_in, "REST", 0.0)
    sign_in.throttle.forget()


@pytest_asyncio.fixture
async def open_browser(application: Any) -> AsyncIterator[Open]:
    """Opens browsers in which nobody is signed in."""
    opened: list[Browser] = []

    def open_one() -> Browser:
        transport = httpx.ASGITransport(app=application, raise_app_exceptions=True)
        opened.append(Browser(transport=transport, base_url=ADDRESS))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.aclose()


async def make_person(name: str, *teams: Team) -> User:
    """Somebody who is a member of teams and no administrator."""

    def make() -> User:
        user = User.objects.create_user(name, password=PASSWORD)
        for team in teams:
            set_role(team=team, user=user, role=Role.MEMBER)
        return user

    return await asyncio.to_thread(make)


@pytest_asyncio.fixture
async def browser(open_browser: Open, team: Team, api: Api) -> Browser:
    """The browser of a member of the team whose key `api` sends."""
    await make_person("ana", team)
    opened = open_browser()
    assert (await opened.sign_in("ana")).status_code == 204
    return opened


@pytest_asyncio.fixture
async def stranger(open_browser: Open, other_key: str) -> Browser:
    """The browser of a member of another team."""
    await make_person("bob", await Team.objects.aget(slug="other"))
    opened = open_browser()
    assert (await opened.sign_in("bob")).status_code == 204
    return opened


async def make_run(api: Api, **changes: Any) -> str:
    """A new run of the team's; `changes` are of the body of `create_model`."""
    body = create_model_body(await api.session(), **changes)
    return (await api.call("create_model", **body)).json()["model_id"]


async def log(api: Api, run: str, *points: tuple[str, int, float | str]) -> None:
    """Record metrics of a run."""
    metrics = [{"key": key, "step": step, "value": value} for key, step, value in points]
    response = await api.call(f"runs/{run}/metrics", metrics=metrics)
    assert response.status_code == 200, response.text
