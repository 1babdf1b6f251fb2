"""The live stack's clients, one process each, and what only an administrator can do."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import RELEASES, Client, Release

BASE_MODEL = "tinsmith/nano-qwen3"
UNSERVED_MODEL = "contract/unserved"
OTHER_TEAM = "Contract's other team"

_OPEN = """
import os, sys
sys.path[:0] = [os.path.join(os.getcwd(), "platform"), os.getcwd()]
import django
django.setup()
from accounts.models import ApiKey, Team
from accounts.services import create_api_key, create_team, revoke_api_key
from catalog.models import BaseModel
"""
_KEY = """
team = Team.objects.filter(name=sys.argv[1]).first() or create_team(name=sys.argv[1])
print(create_api_key(team=team, name="contract").text)
"""
_REVOKE = """
from accounts.services import hash_key
revoke_api_key(key=ApiKey.objects.get(sha256=hash_key(sys.argv[1])))
"""
_UNSERVED = """
model = BaseModel.objects.get(name=sys.argv[1])
model.pk, model.name, model.pool = None, sys.argv[2], "nobody"
if not BaseModel.objects.filter(name=model.name).exists():
    model.save()
"""


class Administrator:
    """Does what the admin pages do, in a process of its own on the stack's data."""

    def __init__(self, stack: LiveStack) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "TINSMITH_DATA_DIR": str(stack.folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }

    def make_key(self, team: str) -> str:
        """A new key of a team, which is made when there is none."""
        return self._run(_KEY, team)

    def revoke(self, api_key: str) -> None:
        """End a key."""
        self._run(_REVOKE, api_key)

    def add_unserved_model(self) -> str:
        """A base model that no worker holds."""
        self._run(_UNSERVED, BASE_MODEL, UNSERVED_MODEL)
        return UNSERVED_MODEL

    def _run(self, code: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", _OPEN + code, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def administrator(live_stack: LiveStack) -> Administrator:
    """The stack's administrator."""
    return Administrator(live_stack)


@pytest.fixture(scope="session")
def other_key(administrator: Administrator) -> str:
    """Another team's key."""
    return administrator.make_key(OTHER_TEAM)


@pytest.fixture(scope="session")
def http(live_stack: LiveStack) -> Iterator[httpx.Client]:
    """Plain HTTP with the team's key."""
    with httpx.Client(
        base_url=f"{live_stack.url}/api/v1/", headers={"X-API-Key": live_stack.api_key}
    ) as client:
        yield client


@pytest.fixture(scope="session", params=RELEASES, ids=lambda release: release.name)
def client(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """Each client in turn, in its own process."""
    release: Release = request.param
    running = Client(release, live_stack.url, live_stack.api_key)
    yield running
    running.close()


@pytest.fixture
def client_with_torch(client: Client) -> Iterator[Client]:
    """The client in a process that has torch, for losses written in it."""
    if client.release.requirement is None:
        yield client
        return
    running = Client(client.release, client.url, client.api_key, with_torch=True)
    yield running
    running.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here drives the live stack; installing a client may take a while."""
    for item in items:
        if "tests/contract" in item.path.as_posix():
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.timeout(900))
