"""An empty platform, and connections that write events in transactions of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from core import database, hub
from events import services
from events.models import Kind

TEAM, OTHER = 1, 2


class Writers:
    """Connections that hold transactions open."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._open: dict[str, psycopg.Connection[Any]] = {}

    def write(self, about: str, *, by: str, team: int = TEAM, run: str | None = None) -> None:
        """Write an event in the transaction of a writer, which begins with it if need be."""
        if by not in self._open:
            kwargs = {**database.connect_kwargs(), "autocommit": False}
            self._open[by] = self._stack.enter_context(psycopg.connect(**kwargs))
        new = services.event(Kind.RUN_CREATED, about, team_id=team, run_id=run)
        services.write_sync(self._open[by], new)

    def commit(self, by: str) -> None:
        """Commit a writer's transaction."""
        self._open[by].commit()

    def roll_back(self, by: str) -> None:
        """Roll a writer's transaction back."""
        self._open[by].rollback()

    def told(self, about: str, **whose: Any) -> None:
        """Write an event in a transaction of its own."""
        self.write(about, by="one after the other", **whose)
        self.commit("one after the other")


@pytest.fixture
def writers(transactional_db: None) -> Iterator[Writers]:
    """Writers of events."""
    with ExitStack() as stack:
        yield Writers(stack)


@pytest.fixture
async def closing() -> AsyncIterator[None]:
    """Closes what the test's event loop has opened."""
    yield
    await hub.shutdown()
    await database.shutdown()
