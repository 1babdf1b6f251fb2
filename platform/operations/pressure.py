"""How many samples are open: beyond a team's or the platform's limit, new ones have to wait.

Counting costs more than a submit, so each process counts twice a second at most and adds what it
has let in since.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.conf import settings

from accounts import rights
from accounts.rights import Right
from core import database
from core.errors import TooManyRequests
from operations import deliveries

if TYPE_CHECKING:
    from accounts.actors import Actor

COUNT_EVERY_S = 0.5

_COUNT = """
SELECT team_id, count(*) FROM operations_operation
WHERE kind = 'sample' AND state IN ('queued', 'running') GROUP BY team_id
"""


class _Open:
    """Open samples by team, as counted last, with those admitted since."""

    def __init__(self) -> None:
        self.by_team: dict[int, int] = {}
        self.total = 0
        self.counted_at = float("-inf")

    async def refresh(self) -> None:
        """Count again if the last count is old."""
        now = time.monotonic()
        if now - self.counted_at < COUNT_EVERY_S:
            return
        self.counted_at = now
        async with database.connection() as conn:
            rows = await (await conn.execute(_COUNT)).fetchall()
        self.by_team = dict(rows)
        self.total = sum(self.by_team.values())


_open = _Open()


async def admit_sample(*, actor: Actor, sampler_id: str) -> None:
    """Make room for one more sample of the actor's team; being turned away is noted.

    Raises:
        Forbidden: the actor's role does not suffice.
        TooManyRequests: there is none; the client tries again.
    """
    rights.require(actor, Right.SAMPLE)
    await _open.refresh()
    own = _open.by_team.get(actor.team_id, 0)
    if own >= settings.MAX_OPEN_SAMPLES_PER_TEAM:
        deliveries.limited(sampler_id, actor.team_id)
        raise TooManyRequests(
            f"the team has {own} samples waiting or under way, "
            f"{settings.MAX_OPEN_SAMPLES_PER_TEAM} are allowed; try again in a moment"
        )
    if _open.total >= settings.MAX_OPEN_SAMPLES:
        deliveries.limited(sampler_id, actor.team_id)
        raise TooManyRequests("the server has more samples waiting than it takes; try again soon")
    _open.by_team[actor.team_id] = own + 1
    _open.total += 1
