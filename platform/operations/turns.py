"""What engines did when, and what delayed whom: written after the fact, kept for days.

Nothing waits for these rows and nothing depends on them: commits are not durable, and what a crash
loses is a gap in a picture. Moments are told by the writer's monotonic clock and stored by
PostgreSQL's, which is the only one that all share.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

KEPT_DAYS = 7
# of all pools together; a busy engine makes ten a second at most
MOST_TURNS = 1_000_000
MOST_DELAYS = 200_000
AT_ONCE = 5000
BATCHES_AT_ONCE = 10

Shares = dict[str, dict[str, tuple[int, float]]]
"""Team id → run or sampler → tokens and seconds."""


@dataclass(slots=True)
class TurnRow:
    """A stretch of an engine's time. `began` and `ended` are by `time.monotonic()`."""

    base_model: str
    began: float
    ended: float
    pieces: int
    shares: Shares


@dataclass(frozen=True, slots=True)
class DelayRow:
    """What kept a run or sampler waiting. `began` and `ended` are by `time.monotonic()`."""

    target: str
    cause: str
    began: float
    ended: float


_WRITE_TURNS = """
INSERT INTO operations_turn (pool, worker_id, base_model, began_at, ended_at, pieces, shares)
SELECT %s, %s, t.base_model, now() - make_interval(secs => t.began),
       now() - make_interval(secs => t.ended), t.pieces, t.shares
FROM unnest(%s::text[], %s::float8[], %s::float8[], %s::int[], %s::jsonb[])
     AS t(base_model, began, ended, pieces, shares)
"""
_WRITE_DELAYS = """
INSERT INTO operations_delay (target, cause, began_at, ended_at)
SELECT d.target, d.cause, now() - make_interval(secs => d.began),
       now() - make_interval(secs => d.ended)
FROM unnest(%s::text[], %s::text[], %s::float8[], %s::float8[]) AS d(target, cause, began, ended)
"""
NOT_DURABLE = "SELECT set_config('synchronous_commit', 'off', true)"


def write(
    conn: Connection,
    *,
    pool: str,
    worker_id: uuid.UUID,
    turns: Sequence[TurnRow],
    delays: Sequence[DelayRow],
) -> None:
    """Write what an engine's worker has noted."""
    now = time.monotonic()
    with conn.transaction():
        conn.execute(NOT_DURABLE)
        if turns:
            conn.execute(
                _WRITE_TURNS,
                (
                    pool,
                    worker_id,
                    [turn.base_model for turn in turns],
                    [now - turn.began for turn in turns],
                    [now - turn.ended for turn in turns],
                    [turn.pieces for turn in turns],
                    [Jsonb(turn.shares) for turn in turns],
                ),
            )
        if delays:
            conn.execute(
                _WRITE_DELAYS,
                (
                    [delay.target for delay in delays],
                    [delay.cause for delay in delays],
                    [now - delay.began for delay in delays],
                    [now - delay.ended for delay in delays],
                ),
            )


_FORGET = """
WITH oldest AS (
    SELECT id, ended_at FROM {table} ORDER BY id LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM {table} t USING oldest o
    WHERE t.id = o.id AND (o.ended_at < now() - make_interval(days => %(days)s)
                           OR o.id <= (SELECT max(id) FROM {table}) - %(most)s)
    RETURNING t.id
)
SELECT count(*) FROM gone
"""


def forget_old(
    conn: Connection[Any],
    *,
    days: int = KEPT_DAYS,
    most_turns: int = MOST_TURNS,
    most_delays: int = MOST_DELAYS,
    batch: int = AT_ONCE,
) -> int:
    """Delete turns and delays that are old or too many; returns how many, the rest comes later."""
    bounds = {"operations_turn": most_turns, "operations_delay": most_delays}
    return sum(_forget(conn, table, days, most, batch) for table, most in bounds.items())


def _forget(conn: Connection[Any], table: str, days: int, most: int, batch: int) -> int:
    forgotten = 0
    values = {"days": days, "most": most, "batch": batch}
    for _ in range(BATCHES_AT_ONCE):
        row = conn.execute(_FORGET.format(table=table), values).fetchone()
        assert row is not None
        forgotten += row[0]
        if row[0] < batch:
            break
    return forgotten
