"""Old state and events make fresh state, whatever is done and however often readers are cut off."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from accounts.services import create_team
from catalog.models import BaseModel
from core import database
from events import reader
from events.cursors import Cursor
from events.models import Event, Kind
from tests.platform.events.pages import Pages, read
from tests.platform.events.verbs import NAMES, Verbs

pytestmark = pytest.mark.usefixtures("closing")

ROUNDS, AT_ONCE = 25, 4


class Reader:
    """Somebody who looks on: opened their pages once, and may lose the line at any moment."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.pages: Pages | None = None
        self.cursor = ""
        self.told: list[int] = []

    async def open(self, team_id: int) -> None:
        """Remember where one is, then read what there is."""
        async with database.connection() as conn:
            self.cursor = str(await reader.current(conn))
        self.pages = await read(team_id)

    async def look(self, *, until_all: bool = False) -> None:
        """Be told something, or all there is; the cursor and what it goes with change at once."""
        assert self.pages is not None
        is_all = False
        while not is_all:
            async with database.connection() as conn:
                found = await reader.read(
                    conn,
                    Cursor.parse(self.cursor),
                    team_id=self.pages.team_id,
                    limit=self._chance.choice([1, 2, 5, 100]),
                )
            for event in found.events:
                await self.pages.apply(event)
            self.told += [event.id for event in found.events]
            self.cursor = str(found.cursor)
            is_all = found.is_all or not until_all


@pytest.fixture
def base_model(transactional_db: None, settings: Any, tmp_path: Path) -> BaseModel:
    """A base model on offer; the store is the test's own."""
    settings.DATA_DIR = tmp_path
    return BaseModel.objects.create(
        name="acme/tiny", source="x", tokenizer_id="x", family="qwen3", max_context_length=64
    )


@pytest.mark.parametrize("seed", range(2))
async def test_old_state_and_events_make_fresh_state(base_model: BaseModel, seed: int) -> None:
    chance = random.Random(seed)
    teams = [await sync_to_async(create_team)(name=name) for name in ("ours", "theirs")]
    verbs = [Verbs(team, base_model, seed) for team in teams]
    readers: list[Reader] = []
    done: set[str] = set()
    for turn in range(ROUNDS):
        chosen = verbs[0].choose(AT_ONCE)
        work: list[Any] = [verbs[0].do(name) for name in chosen]
        work.append(verbs[1].do(verbs[1].choose(1)[0]))
        # pages are opened, and events read, while things are being done
        if turn % 5 == 0:
            readers.append(Reader(chance))
            work.append(readers[-1].open(teams[0].pk))
        work += [one.look() for one in readers if one.pages and chance.random() < 0.5]
        results = await asyncio.gather(*work)
        done |= {name for name, was_done in zip(chosen, results, strict=False) if was_done}
        if turn % 6 == 5:
            await check(readers)
    await check(readers)
    kinds = {kind async for kind in Event.objects.values_list("kind", flat=True)}
    # not every kind every time: the next test sees to that
    assert len(done) > len(NAMES) / 2
    assert len(kinds) > len(Kind) / 2
    assert all(len(set(one.told)) == len(one.told) for one in readers)


async def check(readers: list[Reader]) -> None:
    """Everybody who has been told all there is shows what pages show that are opened now."""
    for one in readers:
        assert one.pages is not None
        await one.look(until_all=True)
        assert one.pages == await read(one.pages.team_id)


async def test_every_kind_is_written_by_some_verb(base_model: BaseModel) -> None:
    team = await sync_to_async(create_team)(name="ours")
    verbs = Verbs(team, base_model, 0)
    first = ["begin_session", "create_run", "save", "make_key", "move_session"]
    for name in [*first, "create_sampler", "publish", "publish", "publish", "publish"] * 3:
        await verbs.do(name)
    kinds: set[str] = set()
    for _ in range(40):
        for name in NAMES:
            await verbs.do(name)
        kinds = {kind async for kind in Event.objects.values_list("kind", flat=True)}
        if len(kinds) == len(Kind):
            break
    assert kinds == {kind.value for kind in Kind}
