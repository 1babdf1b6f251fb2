"""What a team used in a month, from the sums of its days: in all, by day, by kind, by base model.

A month of UTC, for days are. What it says of a run is what the run's own page says, by the month.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from psycopg.rows import dict_row

from core import database
from usage.models import Kind
from usage.services import KindUsed

PRICED = (Kind.TRAIN, Kind.SCORE, Kind.PREFILL, Kind.PREFILL_CACHED, Kind.SAMPLE)
KINDS = (*PRICED, Kind.CHECKPOINT)
# of some days `t`: all that an `Amount` is made of
SUMS = ", ".join(
    [f"sum(t.{name})::bigint AS {name}" for name in (*KINDS, "unpriced")]
    + [f"sum(t.{kind}_cost) AS {kind}_cost" for kind in PRICED]
)
FIRST_YEAR, MOST_MONTHS = 2000, 120
_MICRO = Decimal(10) ** 6


@dataclass(frozen=True, slots=True)
class Amount:
    """So many tokens of each kind, and so many checkpoints made.

    Attributes:
        cost: USD; None if nothing had a price. unpriced: tokens that had none.
    """

    train: int
    score: int
    prefill: int
    prefill_cached: int
    sample: int
    checkpoint: int
    tokens: int
    cost: float | None
    unpriced: int


@dataclass(frozen=True, slots=True)
class DayUsed:
    """What was used on a day; days on which nothing was are there, too."""

    day: date
    amount: Amount


@dataclass(frozen=True, slots=True)
class ModelUsed:
    """What was used of a base model."""

    base_model: str
    amount: Amount


@dataclass(frozen=True, slots=True)
class MonthUsed:
    """A team's month; `months`: those from the first with an entry to this one, newest first."""

    month: str
    months: list[str]
    total: Amount
    days: list[DayUsed]
    kinds: list[KindUsed]
    models: list[ModelUsed]


@dataclass(frozen=True, slots=True)
class Month:
    """A month of UTC: its first day, and the first that is not in it."""

    first: date
    end: date

    @staticmethod
    def of(day: date) -> Month:
        """The month of a day."""
        first = day.replace(day=1)
        return Month(first, (first + timedelta(days=31)).replace(day=1))

    @staticmethod
    def parse(text: str) -> Month | None:
        """The month of a text like `2026-11`; None of any other."""
        try:
            found = Month.of(date.fromisoformat(f"{text}-01"))
        except (ValueError, OverflowError):
            return None
        return found if str(found) == text and found.first.year >= FIRST_YEAR else None

    def days(self) -> list[date]:
        """Its days in order."""
        return [self.first + timedelta(days=n) for n in range((self.end - self.first).days)]

    def __str__(self) -> str:
        return f"{self.first:%Y-%m}"


_DAYS = f"""
SELECT t.day, t.base_model, {SUMS} FROM usage_daytotal t
WHERE t.team_id = %(team)s AND t.day >= %(first)s AND t.day < %(end)s
GROUP BY t.day, t.base_model
"""
_SINCE = "SELECT min(day) AS day FROM usage_daytotal WHERE team_id = %(team)s"


async def read(*, team_id: int, month: Month, now: Month) -> MonthUsed:
    """What a team used in a month.

    Args:
        now: the newest month that there can be anything of.
    """
    values = {"team": team_id, "first": month.first, "end": month.end}
    async with database.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
        rows = await (await cursor.execute(_DAYS, values)).fetchall()
        since = await (await cursor.execute(_SINCE, values)).fetchone()
    total = added_up(rows)
    by_day = {day: [row for row in rows if row["day"] == day] for day in month.days()}
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_model.setdefault(row["base_model"], []).append(row)
    models = [ModelUsed(name, added_up(of_model)) for name, of_model in by_model.items()]
    first = since["day"] if since is not None and since["day"] is not None else now.first
    return MonthUsed(
        month=str(month),
        months=_months(Month.of(first), now),
        total=total,
        days=[DayUsed(day, added_up(of_day)) for day, of_day in by_day.items()],
        kinds=_kinds(rows),
        models=sorted(models, key=lambda one: (-(one.amount.cost or 0), -one.amount.tokens)),
    )


def added_up(rows: Iterable[dict[str, Any]]) -> Amount:
    """Rows that `SUMS` gave, in one."""
    given = list(rows)
    tokens = {kind: sum(row[kind] for row in given) for kind in KINDS}
    costs = [row[f"{kind}_cost"] for row in given for kind in PRICED]
    return Amount(
        **{str(kind): quantity for kind, quantity in tokens.items()},
        tokens=sum(tokens[kind] for kind in PRICED),
        cost=_dollars(costs),
        unpriced=sum(row["unpriced"] for row in given),
    )


def _kinds(rows: list[dict[str, Any]]) -> list[KindUsed]:
    found = [
        KindUsed(
            str(kind),
            sum(row[kind] for row in rows),
            _dollars(row.get(f"{kind}_cost") for row in rows),
        )
        for kind in KINDS
    ]
    return [one for one in found if one.quantity]


def _dollars(millionths: Iterable[Decimal | None]) -> float | None:
    known = [one for one in millionths if one is not None]
    return float(sum(known, Decimal(0)) / _MICRO) if known else None


def _months(first: Month, last: Month) -> list[str]:
    """Names of the months, newest first, and not without end."""
    found = [last]
    while found[-1].first > first.first and len(found) < MOST_MONTHS:
        found.append(Month.of(found[-1].first - timedelta(days=1)))
    return [str(month) for month in found]
