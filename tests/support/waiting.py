"""Waiting in tests: for what comes, and for what must not come. No other test code sleeps.

`eventually` looks until something is so and says what it saw last. `never` watches that something
does not become so; since a probe that sees nothing would pass as well, it ends with the proof that
this one sees: `but_after` lets the thing happen, and then it must become so.

Both take conditions that are plain functions; the `_async` twins take coroutine functions, too, and
leave the event loop free.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_EVERY_S = 0.01
_TRUE = object()


class Waited(AssertionError):
    """What was waited for did not come, or what must not come came."""


def eventually(
    condition: Callable[[], T],
    *,
    within_s: float = 10.0,
    equals: object = _TRUE,
    every_s: float = LOOK_EVERY_S,
) -> T:
    """The first value of `condition()` that is true, or that equals `equals`.

    Raises:
        Waited: `within_s` seconds have passed; the message holds the last value.
    """
    deadline = time.monotonic() + within_s
    while True:
        over = time.monotonic() > deadline  # read first: there is a look after the last pause
        value = condition()
        if _is_so(value, equals):
            return value
        if over:
            raise Waited(_in_vain(condition, within_s, equals, value))
        time.sleep(every_s)


def never(
    condition: Callable[[], object],
    *,
    for_s: float,
    but_after: Callable[[], object],
    within_s: float = 10.0,
) -> None:
    """`condition()` must stay false for `for_s` seconds, and become true after `but_after()`.

    Raises:
        Waited: it became true too early, or not at all.
    """
    deadline = time.monotonic() + for_s
    over = False
    while not over:
        over = time.monotonic() > deadline
        if value := condition():
            raise Waited(_too_early(condition, value))
        time.sleep(LOOK_EVERY_S)
    but_after()
    eventually(condition, within_s=within_s)


async def eventually_async(
    condition: Callable[[], Awaitable[Any] | Any],
    *,
    within_s: float = 10.0,
    equals: object = _TRUE,
    every_s: float = LOOK_EVERY_S,
) -> Any:
    """`eventually` inside an event loop; `condition` may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        over = time.monotonic() > deadline
        value = await _value(condition)
        if _is_so(value, equals):
            return value
        if over:
            raise Waited(_in_vain(condition, within_s, equals, value))
        await asyncio.sleep(every_s)


async def never_async(
    condition: Callable[[], Awaitable[Any] | Any],
    *,
    for_s: float,
    but_after: Callable[[], Awaitable[Any] | Any],
    within_s: float = 10.0,
) -> None:
    """`never` inside an event loop; both functions may be coroutine functions."""
    deadline = time.monotonic() + for_s
    over = False
    while not over:
        over = time.monotonic() > deadline
        if value := await _value(condition):
            raise Waited(_too_early(condition, value))
        await asyncio.sleep(LOOK_EVERY_S)
    await _value(but_after)
    await eventually_async(condition, within_s=within_s)


async def _value(function: Callable[[], Awaitable[Any] | Any]) -> Any:
    value = function()
    return await value if inspect.isawaitable(value) else value


def _is_so(value: object, equals: object) -> bool:
    return bool(value) if equals is _TRUE else value == equals


def _in_vain(
    condition: Callable[..., object], within_s: float, equals: object, value: object
) -> str:
    wanted = "" if equals is _TRUE else f" to equal {equals!r}"
    return f"waited {within_s:g} s for {_words(condition)}{wanted}; last value: {value!r}"


def _too_early(condition: Callable[..., object], value: object) -> str:
    return f"this must not happen: {_words(condition)}; value: {value!r}"


def _words(condition: Callable[..., object]) -> str:
    """The condition's source, in one line; its name where there is no source."""
    try:
        return " ".join(inspect.getsource(condition).split())
    except (OSError, TypeError):
        return getattr(condition, "__qualname__", repr(condition))
