"""What each run of a team used in a month: pages of them, in an order of one's choice."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

from psycopg.rows import dict_row

from core import database
from runs.overviews import NAME, SEARCHED
from usage import months
from usage.months import Amount, Month

Sort = Literal["cost", "tokens"]
SORTS: tuple[Sort, ...] = get_args(Sort)
MOST_ROWS = 100_000

# First those of the page are chosen along an index, and only of these is told the rest. What has no
# run of the team's is a sampler of a base model, or of another team's checkpoint.
_ROWS = f"""
WITH page AS (
    SELECT t.target, t.{{sort}} AS value FROM usage_monthtotal t
    WHERE t.team_id = %(team)s AND t.month = %(first)s {{searched}} {{after}}
    ORDER BY t.{{sort}} DESC, t.target DESC LIMIT %(limit)s
)
SELECT page.*, used.*, r.id IS NOT NULL AS is_run,
       CASE WHEN r.id IS NULL THEN coalesce(p.model_path, '') ELSE {NAME} END AS name,
       coalesce((SELECT sum(c.size_bytes) FROM checkpoints_checkpoint c
                 WHERE c.run_id = r.id AND (c.expires_at IS NULL OR c.expires_at > now())), 0
               )::bigint AS stored_bytes
FROM page
CROSS JOIN LATERAL (
    SELECT min(t.base_model) AS base_model, {months.SUMS} FROM usage_daytotal t
    WHERE t.target = page.target AND t.day >= %(first)s AND t.day < %(end)s
) used
LEFT JOIN runs_trainingrun r ON r.id = page.target AND r.team_id = %(team)s
LEFT JOIN runs_session s ON s.id = r.session_id
LEFT JOIN runs_sampler p ON p.id = page.target AND p.team_id = %(team)s
ORDER BY page.value DESC, page.target DESC
"""
_SEARCHED = f"""
AND t.target IN (
    SELECT r.id FROM runs_trainingrun r
    JOIN runs_session s ON s.id = r.session_id
    JOIN catalog_basemodel b ON b.id = r.base_model_id
    WHERE r.team_id = %(team)s AND {SEARCHED} ILIKE %(search)s)
"""


@dataclass(frozen=True, slots=True)
class RunUsed:
    """What a run used in a month, its samplers included, and what it has stored now.

    Attributes:
        id: of the run, else of a sampler that is of none of the team's runs.
        name: the run's; of a sampler the address of its weights, "" if it has none of its own.
    """

    id: str
    is_run: bool
    name: str
    base_model: str
    amount: Amount
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class After:
    """Where a page ends: the value by which it is sorted, and whose that is."""

    value: Decimal
    target: str


async def of_month(
    *,
    team_id: int,
    month: Month,
    limit: int,
    sort: Sort = "cost",
    search: str = "",
    after: After | None = None,
) -> list[tuple[RunUsed, After]]:
    """Who used something in a month, most first, each with its place in that order."""
    values: dict[str, Any] = {
        "team": team_id,
        "first": month.first,
        "end": month.end,
        "limit": limit,
    }
    beyond = ""
    if search:
        values["search"] = database.anywhere(search)
    if after is not None:
        beyond = f"AND (t.{sort}, t.target) < (%(value)s, %(target)s)"
        values |= {"value": after.value, "target": after.target}
    statement = _ROWS.format(sort=sort, after=beyond, searched=_SEARCHED if search else "")
    async with database.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, values)
        rows = await cursor.fetchall()
    return [(_shown(row), After(Decimal(row["value"]), row["target"])) for row in rows]


def _shown(row: dict[str, Any]) -> RunUsed:
    return RunUsed(
        id=row["target"],
        is_run=row["is_run"],
        name=row["name"],
        base_model=row["base_model"],
        amount=months.added_up([row]),
        stored_bytes=row["stored_bytes"],
    )
