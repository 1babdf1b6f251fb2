"""Whether this machine can run the sandbox, found out by running it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from .client import Sandbox, SandboxUnavailable


@dataclass(frozen=True)
class Availability:
    """True where programs can be run; else `reason` says what the kernel lacks."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


def available() -> Availability:
    """Run a program of one line; not to be called inside an event loop."""
    return asyncio.run(_try())


async def _try() -> Availability:
    try:
        async with Sandbox():
            return Availability()
    except SandboxUnavailable as unavailable:
        return Availability(str(unavailable))
