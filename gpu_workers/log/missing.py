"""Watches for requests of runs that never come, and gives them up in time.

Time counts only while this worker sees the gap and its client lives: neither a server that was away
nor a client that was cut off loses a request so.
"""

from __future__ import annotations

import logging
import time

import psycopg
from django.conf import settings

from operations import gaps

log = logging.getLogger(__name__)

# parts of a batch come at once: while more come, the missing one may be on its way, too
QUIET_S = 30.0


class GapWatch:
    """For how long each gap of a pool's runs has been there."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self._since: dict[tuple[str, int], float] = {}

    def close_due(self, conn: psycopg.Connection) -> bool:
        """Give up the requests that are due; whether there were any, so that runs go on."""
        now = time.monotonic()
        beating = [gap for gap in gaps.find(conn, pool=self._pool) if gap.beating]
        self._since = {
            (gap.run_id, gap.first): self._since.get((gap.run_id, gap.first), now)
            for gap in beating
        }
        closed = False
        for gap in beating:
            waited = now - self._since[gap.run_id, gap.first]
            if _is_due(waited, gap.quiet_s) and gaps.close(conn, gap):
                log.warning("request %d of run %s never came: given up", gap.first, gap.run_id)
                closed = True
        return closed


def _is_due(waited_s: float, quiet_s: float) -> bool:
    limit = settings.GAP_CLOSES_AFTER_S
    return waited_s >= limit and (quiet_s >= min(QUIET_S, limit) or waited_s >= 2 * limit)
