"""Large bodies take turns: shares of teams, no overtaking, nothing left behind."""

from __future__ import annotations

import asyncio

import pytest

from core.admission import LARGE_BYTES, Budget, Room


class Bodies:
    """Bodies that hold room until they are let go."""

    def __init__(self) -> None:
        self.budget = Budget(total=100, per_team=60)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.inside: dict[str, asyncio.Event] = {}

    async def come(self, name: str, team: int, size: int) -> bool:
        """A body comes; whether it is let in."""
        leave = asyncio.Event()

        async def stay() -> None:
            turn = await self.budget.take(team, size)
            try:
                self.inside[name] = leave
                await leave.wait()
            finally:
                self.budget.give_back(turn)
            del self.inside[name]

        self.tasks[name] = asyncio.create_task(stay())
        await settle()
        return name in self.inside

    async def go(self, name: str) -> set[str]:
        """A body leaves; who is inside then."""
        self.inside[name].set()
        await settle()
        return set(self.inside)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def bodies():
    made = Bodies()
    yield made
    for task in made.tasks.values():
        task.cancel()
    await asyncio.gather(*made.tasks.values(), return_exceptions=True)


async def test_one_teams_flood_leaves_room_for_others(bodies: Bodies) -> None:
    assert [await bodies.come(f"a{n}", team=1, size=30) for n in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert await bodies.come("b", team=2, size=40)
    assert await bodies.go("a0") == {"a1", "a2", "b"}


async def test_whoever_waits_for_the_total_is_not_overtaken(bodies: Bodies) -> None:
    assert await bodies.come("a", team=1, size=60)
    assert not await bodies.come("b", team=2, size=50)
    assert not await bodies.come("c", team=3, size=10)
    assert await bodies.go("a") == {"b", "c"}


async def test_a_team_that_is_full_holds_up_nobody_else(bodies: Bodies) -> None:
    assert await bodies.come("a", team=1, size=60)
    assert not await bodies.come("b", team=1, size=60)
    assert await bodies.come("c", team=2, size=40)


async def test_a_body_above_its_teams_share_comes_alone(bodies: Bodies) -> None:
    assert await bodies.come("huge", team=1, size=5000)
    assert not await bodies.come("small", team=1, size=1)
    assert await bodies.come("other", team=2, size=40)
    assert await bodies.go("huge") == {"small", "other"}


async def test_whoever_gives_up_leaves_nothing_behind(bodies: Bodies) -> None:
    assert await bodies.come("a", team=1, size=60)
    assert not await bodies.come("b", team=1, size=60)
    bodies.tasks["b"].cancel()
    bodies.tasks["a"].cancel()
    await settle()
    assert await bodies.come("c", team=1, size=60)
    assert await bodies.come("d", team=2, size=40)
    assert not await bodies.come("e", team=3, size=1)


async def team_one() -> int:
    return 1


async def test_bodies_of_unknown_size_come_one_by_one_and_always_go_on() -> None:
    """Each has room for its packed bytes already: waiting for more must not block them all."""
    budget = Budget(total=100, per_team=60)
    first, second = Room(budget, team_one), Room(budget, team_one)
    for room in (first, second):
        await room.take(30)
    await asyncio.wait_for(first.take_unknown(1000), 1)
    waiting = asyncio.create_task(second.take_unknown(1000))
    await settle()
    assert not waiting.done()
    first.close()
    await asyncio.wait_for(waiting, 1)
    second.close()
    turn = await asyncio.wait_for(budget.take(2, 60), 1)
    assert turn.size == 60


async def test_what_proves_small_gives_its_room_back_at_once() -> None:
    budget = Budget(total=10 * LARGE_BYTES, per_team=8 * LARGE_BYTES)
    small, large = Room(budget, team_one), Room(budget, team_one)
    await small.take_unknown(100 * LARGE_BYTES)
    small.settle(LARGE_BYTES)
    await asyncio.wait_for(large.take_unknown(100 * LARGE_BYTES), 1)
    large.settle(2 * LARGE_BYTES)
    turn = await asyncio.wait_for(budget.take(1, 6 * LARGE_BYTES), 1)
    budget.give_back(turn)
    large.close()
