"""The hub: topics that it knows nothing of, and what each of their receivers hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from psycopg import Connection

from core import database, hub


def by_name(payload: str) -> Iterator[tuple[str, str]]:
    """`name news`, comma-separated."""
    for part in payload.split(","):
        name, _, news = part.partition(" ")
        yield name, news


@pytest.fixture
async def topic() -> AsyncIterator[hub.Topic]:
    """A topic of this test's own, and the event loop's hub, which listens for it."""
    topic = hub.Topic("tinsmith_test", by_name)
    await hub.startup()
    await hub.current().listening()
    yield topic
    await hub.shutdown()
    await database.shutdown()
    del hub._topics["tinsmith_test"]


@pytest.fixture
def announcer(transactional_db: None) -> Iterator[Connection]:
    """A connection to announce on."""
    with database.connect() as conn:
        yield conn


def announce(conn: Connection, payload: str) -> None:
    conn.execute("SELECT pg_notify('tinsmith_test', %s)", (payload,))


async def test_news_reaches_only_those_whom_it_is_for(
    announcer: Connection, topic: hub.Topic
) -> None:
    heard: list[str | None] = []
    topic.on_news(heard.append)
    here = hub.current()
    with here.queue(topic, "a") as queue, here.waiter(topic, "b") as changed:
        announce(announcer, "a one")
        announce(announcer, "a two,c three")
        assert [await asyncio.wait_for(queue.get(), 5) for _ in range(2)] == ["one", "two"]
        assert not changed.is_set()
        announce(announcer, "b four")
        await asyncio.wait_for(changed.wait(), 5)
        assert queue.empty()
    assert heard == ["a one", "a two,c three", "b four"]


async def test_who_has_left_is_forgotten(announcer: Connection, topic: hub.Topic) -> None:
    with hub.current().queue(topic, "a") as left:
        pass
    with hub.current().queue(topic, "a") as queue:
        announce(announcer, "a one")
        assert await asyncio.wait_for(queue.get(), 5) == "one"
    assert left.empty()
    assert hub.current()._receivers == {"tinsmith_test": {}}
