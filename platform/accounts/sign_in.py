"""How often strangers may try to sign in, and what their tries may cost.

Failures are counted by address and by name, in this process, and apart for browsers that have been
here before; whoever has had too many is refused before a password is looked at. Passwords are slow
to check on purpose, so one is checked at a time and then the processor rests, and few may wait: a
storm costs others a quarter of a core at most.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from core.errors import TooManyRequests

PER_ADDRESS = parse("10 per 10 minutes")
# in all, from wherever: an address is easy to come by
PER_NAME = parse("30 per 10 minutes")
# of the browsers that have signed in under a name, which strangers do not have
PER_KNOWN = parse("10 per 10 minutes")
# a storm would drive everything else out of the log
PER_LOG_LINE = parse("1 per minute")
MOST_WAITING = 4
# after a check, for so many times as long nothing is checked
REST = 3.0
_TOO_MANY = "too many failed sign-ins; try again in {minutes} min"
_CROWDED = "many are signing in at the moment; try again"


class Throttle:
    """The failures of a while."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._limiter = MovingWindowRateLimiter(self._storage)

    def require(self, address: str, name: str, *, known: bool) -> None:
        """Refuse who has failed too often.

        Args:
            known: somebody has signed in under this name from this browser before; failures of
                others, under their name or at their address, do not lock them out.

        Raises:
            TooManyRequests: says when to come back.
        """
        for limit, keys in self._counted(address, name, known=known):
            if not self._limiter.test(limit, *keys):
                again = self._limiter.get_window_stats(limit, *keys).reset_time - time.time()
                minutes = max(1, -int(-again // 60))
                raise TooManyRequests(_TOO_MANY.format(minutes=minutes))

    def note_failure(self, address: str, name: str, *, known: bool) -> None:
        """Count a failure; one of a known browser counts against all others, too."""
        for seen_as in {known, False}:
            for limit, keys in self._counted(address, name, known=seen_as):
                self._limiter.hit(limit, *keys)

    def is_news(self, address: str) -> bool:
        """Whether the log has not heard of an address's refusals for a minute."""
        return self._limiter.hit(PER_LOG_LINE, "told", _network(address))

    def forget(self) -> None:
        """Count from zero."""
        self._storage.reset()

    def _counted(
        self, address: str, name: str, *, known: bool
    ) -> list[tuple[RateLimitItem, tuple[str, str]]]:
        folded = name.casefold()[:150]
        if known:
            return [(PER_KNOWN, ("known", folded))]
        return [(PER_ADDRESS, ("address", _network(address))), (PER_NAME, ("name", folded))]


class Checking:
    """One check at a time, then a rest; for each event loop by itself."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._free_at = 0.0
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and have it. Raises TooManyRequests if too many wait already."""
        if self._waiting >= MOST_WAITING:
            raise TooManyRequests(_CROWDED)
        lock = self._locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        self._waiting += 1
        try:
            await lock.acquire()
        finally:
            self._waiting -= 1
        try:
            await asyncio.sleep(self._free_at - time.monotonic())
            begun = time.monotonic()
            try:
                yield
            finally:
                ended = time.monotonic()
                self._free_at = ended + REST * (ended - begun)
        finally:
            lock.release()


def _network(address: str) -> str:
    """Whose address it is: of IPv6 everybody has 2**64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(found, ipaddress.IPv6Address):
        whole = ipaddress.ip_network((found, 64), strict=False)
        return str(found.ipv4_mapped or whole)
    return str(found)


# of this process
throttle = Throttle()
checking = Checking()
# a storm of strangers does not keep those out who have been here before
checking_known = Checking()
