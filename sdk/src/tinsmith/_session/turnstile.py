"""How samples are submitted to a server that may be full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from tinsmith._http.transport import RetryConfig
from tinsmith.errors import RateLimitError

T = TypeVar("T")


class Turnstile:
    """Lets requests through side by side until the server says that it is full.

    From then on one at a time knocks, and those behind it wait: a thousand that each ask again
    every second would keep a busy server busier. Everything here runs on the background loop.
    """

    def __init__(self) -> None:
        self._queue = asyncio.Lock()

    async def submit(self, post: Callable[[RetryConfig], Awaitable[T]], retry: RetryConfig) -> T:
        """What ``post`` returns; raises RateLimitError after the budget for that at the head."""
        if not self._queue.locked():
            try:
                return await post(replace(retry, rate_limit_budget_s=0.0))
            except RateLimitError:
                pass
        async with self._queue:
            return await post(retry)
