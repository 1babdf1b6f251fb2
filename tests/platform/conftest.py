"""What tests of the platform's APIs share: teams with their keys, a worker's hand, the application.

Each folder says itself, as `base_model`, which base model is on offer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from accounts import keys
from accounts.models import Team
from accounts.services import create_api_key, create_team
from catalog.models import BaseModel
from core import database, hub
from tests.support.hand import Hand


@pytest.fixture
def team(base_model: BaseModel) -> Team:
    """The team whose key the client sends."""
    return create_team(name="Team")


@pytest.fixture
def api_key(team: Team) -> str:
    """The team's key."""
    return create_api_key(team=team, name="test").text


@pytest.fixture
def other_key(base_model: BaseModel) -> str:
    """Another team's key."""
    return create_api_key(team=create_team(name="Other"), name="test").text


@pytest.fixture
def hand(base_model: BaseModel) -> Iterator[Hand]:
    """A live, lingering worker without an engine."""
    with database.connect() as connection:
        yield Hand(connection, base_model)


@pytest_asyncio.fixture
async def application() -> AsyncIterator[Any]:
    """The ASGI application; what its event loop shares is closed afterwards."""
    from config.asgi import application

    keys.forget()
    yield application
    await hub.shutdown()
    await database.shutdown()


@pytest.fixture
def data_folder(settings: Any, tmp_path: Path) -> Path:
    """A folder of the test's own, where the store keeps its files."""
    settings.DATA_DIR = tmp_path
    return tmp_path
