"""Writing the ledger in the transaction that finishes operations, and adding it up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from core import database
from core.errors import BadRequest
from core.ids import DEFAULT_PROJECT
from usage.models import Kind

MAX_BUCKETS = 20_000


@dataclass(frozen=True, slots=True)
class Used:
    """So much of one kind."""

    kind: Kind
    quantity: int


@dataclass(frozen=True, slots=True)
class KindUsed:
    """What was used of one kind, and its price in USD; None where the catalog had none."""

    kind: str
    quantity: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class RunUsage:
    """What a run has used, with the samplers made of it.

    Attributes:
        cost: USD; None if nothing that it used had a price. partly: some of it had none.
    """

    kinds: list[KindUsed]
    tokens: int
    cost: float | None
    partly: bool


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a session used of one kind in one hour at one price."""

    start: datetime
    base_model: str
    session_id: str
    project_id: str
    user_metadata: dict[str, str] | None
    kind: str
    quantity: int
    price: Decimal | None


# an operation that is done again after a crash has its entries already
_RECORD = """
INSERT INTO usage_entry
    (operation_id, kind, team_id, session_id, target, base_model, quantity, price)
SELECT o.id, u.kind, o.team_id, split_part(o.target, ':', 1), o.target, b.name, u.quantity,
       CASE u.kind WHEN 'train' THEN b.train_price
                   WHEN 'sample' THEN b.sample_price
                   WHEN 'checkpoint' THEN NULL
                   ELSE b.prefill_price END
FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS u(operation_id, kind, quantity)
JOIN operations_operation o ON o.id = u.operation_id
LEFT JOIN runs_trainingrun r ON r.id = o.target
LEFT JOIN runs_sampler s ON s.id = o.target
JOIN catalog_basemodel b ON b.id = coalesce(r.base_model_id, s.base_model_id)
ON CONFLICT DO NOTHING
"""


def record(conn: Connection[Any], used: list[tuple[int, Used]]) -> None:
    """Enter what finished operations (by id) have used, at today's prices."""
    entries = [(operation_id, item) for operation_id, item in used if item.quantity]
    if entries:
        conn.execute(
            _RECORD,
            (
                [operation_id for operation_id, _ in entries],
                [str(item.kind) for _, item in entries],
                [item.quantity for _, item in entries],
            ),
        )


_BY_KIND = """
CROSS JOIN LATERAL (VALUES
    ('train', t.train, t.train_cost), ('score', t.score, t.score_cost),
    ('prefill', t.prefill, t.prefill_cost),
    ('prefill_cached', t.prefill_cached, t.prefill_cached_cost),
    ('sample', t.sample, t.sample_cost), ('checkpoint', t.checkpoint, NULL)
) AS k(kind, quantity, cost)
"""
_OF_RUNS = f"""
SELECT t.target, k.kind, sum(k.quantity)::bigint, sum(k.cost)::float8 / 1e6,
       bool_or(t.unpriced > 0)
FROM usage_daytotal t {_BY_KIND}
WHERE t.target = ANY(%(runs)s) AND k.quantity > 0
GROUP BY 1, 2 ORDER BY 1, 2
"""


async def of_runs(conn: database.Connection, run_ids: Sequence[str]) -> dict[str, RunUsage]:
    """What each of some runs has used so far; who asks has seen to it that they may."""
    cursor = await conn.execute(_OF_RUNS, {"runs": list(run_ids)})
    rows = await cursor.fetchall()
    return {run_id: _added_up([row[1:] for row in rows if row[0] == run_id]) for run_id in run_ids}


def _added_up(rows: list[tuple[str, int, float | None, bool]]) -> RunUsage:
    costs = [cost for _, _, cost, _ in rows if cost is not None]
    return RunUsage(
        kinds=[KindUsed(kind, quantity, cost) for kind, quantity, cost, _ in rows],
        tokens=sum(quantity for kind, quantity, _, _ in rows if kind != Kind.CHECKPOINT),
        cost=sum(costs) if costs else None,
        partly=any(unpriced for *_, unpriced in rows),
    )


async def hourly(*, team_id: int, start: datetime, end: datetime) -> list[Bucket]:
    """A team's usage from `start` until before `end`, by the hour, largest first.

    Raises:
        BadRequest: more than `MAX_BUCKETS` rows.
    """
    async with database.connection() as conn, conn.cursor(row_factory=class_row(Bucket)) as cursor:
        await cursor.execute(
            """
            SELECT u.*, coalesce(s.project_id, %s) AS project_id, s.user_metadata FROM (
                SELECT date_trunc('hour', created_at, 'UTC') AS start, base_model, session_id,
                       kind, price, sum(quantity)::bigint AS quantity
                FROM usage_entry
                WHERE team_id = %s AND created_at >= %s AND created_at < %s
                GROUP BY 1, 2, 3, 4, 5
                ORDER BY start, quantity DESC, session_id, kind LIMIT %s
            ) u LEFT JOIN runs_session s ON s.id = u.session_id
            ORDER BY u.start, u.quantity DESC, u.session_id, u.kind
            """,
            (DEFAULT_PROJECT, team_id, start, end, MAX_BUCKETS + 1),
        )
        found = await cursor.fetchall()
    if len(found) > MAX_BUCKETS:
        raise BadRequest(f"the window holds more than {MAX_BUCKETS} rows; ask for a shorter one")
    return found
