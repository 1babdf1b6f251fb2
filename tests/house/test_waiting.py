"""The helpers that wait for other tests: they say yes, no, and what they saw."""

from __future__ import annotations

import asyncio
from itertools import count

import pytest

from tests.support.waiting import Waited, eventually, eventually_async, never, never_async


def test_eventually_gives_the_first_value_that_is_so() -> None:
    numbers = count()
    assert eventually(lambda: next(numbers), equals=3) == 3
    assert eventually(lambda: next(numbers) > 5)
    assert next(numbers) == 7


def test_eventually_tells_the_last_value_and_what_was_asked() -> None:
    seen = [1, 2]
    with pytest.raises(Waited, match=r"len\(seen\).* to equal 3; last value: 2"):
        eventually(lambda: len(seen), equals=3, within_s=0)


def test_never_refuses_what_happens_and_what_cannot_be_seen() -> None:
    happened: list[str] = []
    never(lambda: happened, for_s=0.02, but_after=lambda: happened.append("now"))
    with pytest.raises(Waited, match="must not happen"):
        never(lambda: happened, for_s=0.02, but_after=lambda: None)
    with pytest.raises(Waited, match="last value: None"):
        never(lambda: None, for_s=0.02, but_after=lambda: None, within_s=0.02)


async def test_the_twins_leave_the_loop_free() -> None:
    happened = asyncio.Event()

    async def seen() -> bool:
        return happened.is_set()

    async def let_happen() -> None:
        asyncio.get_running_loop().call_soon(happened.set)

    await never_async(seen, for_s=0.02, but_after=let_happen)
    assert await eventually_async(happened.is_set)
    with pytest.raises(Waited, match="last value: True"):
        await eventually_async(seen, equals=False, within_s=0)
    with pytest.raises(Waited, match="must not happen"):
        await never_async(happened.is_set, for_s=0.02, but_after=let_happen)
