"""How much checkpoints take: at this moment, and in byte-seconds over time.

Nothing is metered by the clock. A checkpoint's size never changes, so its row says all: what it
took since it was made, and `EndedCheckpoint` says the same of those that are gone. Recovery
snapshots and ephemeral samplers are no checkpoints and count nowhere, nor does what was deleted and
can still be brought back: the platform keeps it at its own cost. What is brought back counts again
from that moment on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from psycopg.rows import class_row

from core import database
from core.errors import BadRequest
from core.ids import DEFAULT_PROJECT
from usage.services import MAX_BUCKETS

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Stored:
    """A project's checkpoints at this moment."""

    project_id: str
    checkpoint_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredHour:
    """What a project's checkpoints of one base model took in the hour from `start` on.

    `byte_seconds` is exact; an hour that is not over yet counts up to now.
    """

    start: datetime
    project_id: str
    base_model: str
    byte_seconds: Decimal


@dataclass(frozen=True, slots=True)
class StoredMonth:
    """A team's checkpoints at this moment, and how much they took on average in a month so far."""

    checkpoint_count: int
    size_bytes: int
    mean_bytes: int


_NOW = """
SELECT coalesce(s.project_id, %(default)s) AS project_id, count(*) AS checkpoint_count,
       sum(c.size_bytes)::bigint AS size_bytes
FROM checkpoints_checkpoint c
JOIN runs_trainingrun r ON r.id = c.run_id
JOIN runs_session s ON s.id = r.session_id
WHERE c.team_id = %(team)s AND (c.expires_at IS NULL OR c.expires_at > now())
  AND (%(project)s::text IS NULL OR coalesce(s.project_id, %(default)s) = %(project)s)
GROUP BY 1 ORDER BY size_bytes DESC LIMIT %(limit)s
"""

# Each checkpoint is two changes of what is stored. Of an hour, what was stored when it began
# counts whole, and each change in it for the rest of it.
_BY_THE_HOUR = """
WITH kept AS (
    SELECT r.session_id, b.name AS base_model, c.size_bytes,
           coalesce(c.restored_at, c.created_at) AS since, least(c.expires_at, now()) AS until
    FROM checkpoints_checkpoint c
    JOIN runs_trainingrun r ON r.id = c.run_id
    JOIN catalog_basemodel b ON b.id = r.base_model_id
    WHERE c.team_id = %(team)s AND c.created_at < %(end)s
      AND (c.expires_at IS NULL OR c.expires_at > %(start)s)
    UNION ALL
    SELECT session_id, base_model, size_bytes, created_at, ended_at FROM usage_endedcheckpoint
    WHERE team_id = %(team)s AND created_at < %(end)s AND ended_at > %(start)s
), within AS (
    SELECT coalesce(s.project_id, %(default)s) AS project_id, k.base_model, k.size_bytes,
           greatest(k.since, %(start)s) AS since, least(k.until, %(end)s) AS until
    FROM kept k LEFT JOIN runs_session s ON s.id = k.session_id
), changes AS (
    SELECT project_id, base_model, date_trunc('hour', c.moment, 'UTC') AS start,
           sum(c.bytes) AS bytes,
           sum(c.bytes * extract(epoch FROM date_trunc('hour', c.moment, 'UTC')
                                 + interval '1 hour' - c.moment)) AS byte_seconds
    FROM within
    CROSS JOIN LATERAL (VALUES (since, size_bytes), (until, -size_bytes)) AS c(moment, bytes)
    WHERE since < until
    GROUP BY 1, 2, 3
), hours AS (
    SELECT h.start, g.project_id, g.base_model,
           3600 * (sum(coalesce(c.bytes, 0)) OVER before - coalesce(c.bytes, 0))
           + coalesce(c.byte_seconds, 0) AS byte_seconds
    FROM generate_series(%(start)s, %(end)s - interval '1 hour', interval '1 hour') AS h(start)
    CROSS JOIN (SELECT DISTINCT project_id, base_model FROM changes) g
    LEFT JOIN changes c USING (start, project_id, base_model)
    WINDOW before AS (PARTITION BY g.project_id, g.base_model ORDER BY h.start)
)
SELECT * FROM hours WHERE byte_seconds > 0
ORDER BY start, byte_seconds DESC, project_id, base_model LIMIT %(limit)s
"""


# what is not over yet counts up to now, and so does the month
_MEAN = """
SELECT count(*) FILTER (WHERE live) AS checkpoint_count,
       coalesce(sum(size_bytes) FILTER (WHERE live), 0)::bigint AS size_bytes,
       coalesce(sum(size_bytes * extract(epoch FROM least(until, w.till)
                                                    - greatest(since, w.start)))
                FILTER (WHERE since < w.till AND until > w.start)
                / nullif(extract(epoch FROM w.till - w.start), 0), 0)::bigint AS mean_bytes
FROM (SELECT %(start)s::timestamptz AS start, least(%(end)s::timestamptz, now()) AS till) w
LEFT JOIN (
    SELECT size_bytes, coalesce(restored_at, created_at) AS since,
           least(expires_at, now()) AS until,
           expires_at IS NULL OR expires_at > now() AS live
    FROM checkpoints_checkpoint WHERE team_id = %(team)s
    UNION ALL
    SELECT size_bytes, created_at, ended_at, false FROM usage_endedcheckpoint
    WHERE team_id = %(team)s AND created_at < %(end)s AND ended_at > %(start)s
) kept ON true
GROUP BY w.start, w.till
"""


async def of_month(*, team_id: int, start: datetime, end: datetime) -> StoredMonth:
    """How much a team's checkpoints take, and took on average from `start` until before `end`."""
    values = {"team": team_id, "start": start, "end": end}
    (found,) = await _fetch(StoredMonth, _MEAN, values)
    return found


async def now(*, team_id: int, project_id: str | None) -> list[Stored]:
    """How much a team's checkpoints take at this moment, by project, largest first."""
    values = {"team": team_id, "project": project_id, "limit": MAX_BUCKETS}
    return await _fetch(Stored, _NOW, values)


async def hourly(*, team_id: int, start: datetime, end: datetime) -> list[StoredHour]:
    """What a team's checkpoints took from `start` until before `end`, by the hour, largest first.

    Args:
        start: a full hour of UTC, as is `end`.

    Raises:
        BadRequest: more than `MAX_BUCKETS` rows.
    """
    values = {"team": team_id, "start": start, "end": end, "limit": MAX_BUCKETS + 1}
    found = await _fetch(StoredHour, _BY_THE_HOUR, values)
    if len(found) > MAX_BUCKETS:
        raise BadRequest(f"the window holds more than {MAX_BUCKETS} rows; ask for a shorter one")
    return found


async def _fetch(kind: type[Row], statement: str, values: dict[str, Any]) -> list[Row]:
    async with database.connection() as conn, conn.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(statement, values | {"default": DEFAULT_PROJECT})
        return await cursor.fetchall()
