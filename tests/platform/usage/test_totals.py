"""What runs have used, added up by day and month: always what the ledger says."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from accounts.models import Team
from core import database
from operations.models import Operation
from runs.models import Sampler, TrainingRun
from tests.support.log import Log
from usage import services as usage
from usage.models import DayTotal, Entry, Kind, MonthTotal
from usage.services import Used

PRICED = ("train", "score", "prefill", "prefill_cached", "sample")
Sums = dict[tuple[str, str], tuple[int, Decimal | None]]


@dataclass
class Shop:
    """Two teams with runs, samplers of these, of the other team's and of no run."""

    log: Log
    operations: list[Operation] = field(default_factory=list)
    run_of: dict[str, str] = field(default_factory=dict)

    def open(self) -> None:
        """Make them, each with some operations."""
        teams = [self.log.team("smiths"), self.log.team("potters")]
        runs = [self.log.run(team) for team in teams for _ in range(3)]
        for run in runs:
            self._add(run, run.id)
            self._add(self._sampler(run.team, run), run.id)
        foreign = self._sampler(teams[1], runs[0])
        alone = self.log.sampler(teams[0])
        self._add(foreign, foreign.id)
        self._add(alone, alone.id)

    def _sampler(self, team: Team, run: TrainingRun) -> Sampler:
        sampler = self.log.sampler(team)
        Sampler.objects.filter(pk=sampler.pk).update(run=run)
        return sampler

    def _add(self, target: TrainingRun | Sampler, whose: str) -> None:
        kind = "sample" if isinstance(target, Sampler) else "optim_step"
        self.run_of[target.id] = whose
        self.operations += [self.log.submit(target, seq, kind, b"{}") for seq in range(1, 9)]


@pytest.fixture
def shop(log: Log) -> Shop:
    """What there is to use."""
    made = Shop(log)
    made.open()
    return made


@pytest.fixture
def chance() -> random.Random:
    """The same course each time."""
    return random.Random(20261129)


def of_ledger(run_of: dict[str, str]) -> Sums:
    """(whose and day, kind) → tokens and their price, from every entry there is."""
    sums: dict[tuple[str, str], tuple[int, Decimal | None]] = defaultdict(lambda: (0, None))
    for entry in Entry.objects.all():
        key = f"{run_of[entry.target]} {entry.created_at.astimezone(UTC):%F}", entry.kind
        quantity, cost = sums[key]
        if entry.price is not None:
            cost = (cost or Decimal(0)) + entry.quantity * entry.price
        sums[key] = quantity + entry.quantity, cost
    return dict(sums)


def of_days() -> Sums:
    """The same from the sums."""
    sums: Sums = {}
    for total in DayTotal.objects.all():
        for kind in (*PRICED, "checkpoint"):
            quantity = getattr(total, kind)
            if quantity:
                sums[f"{total.target} {total.day:%F}", kind] = (
                    quantity,
                    getattr(total, f"{kind}_cost", None),
                )
    return sums


def of_ledger_by_month(run_of: dict[str, str]) -> dict[str, tuple[int, Decimal]]:
    """Whose and month → tokens and their price, from every entry there is."""
    sums: dict[str, tuple[int, Decimal]] = defaultdict(lambda: (0, Decimal(0)))
    for entry in Entry.objects.exclude(kind=Kind.CHECKPOINT):
        key = f"{run_of[entry.target]} {entry.created_at.astimezone(UTC):%Y-%m}"
        tokens, cost = sums[key]
        sums[key] = tokens + entry.quantity, cost + entry.quantity * (entry.price or 0)
    return {key: value for key, value in sums.items() if value[0]}


def of_months() -> dict[str, tuple[int, Decimal]]:
    """The same from the sums."""
    totals = MonthTotal.objects.filter(tokens__gt=0)
    return {f"{one.target} {one.month:%Y-%m}": (one.tokens, one.cost) for one in totals}


def reprice(shop: Shop, chance: random.Random) -> None:
    """The catalog gets other prices, or none."""
    for name in ("train_price", "prefill_price", "sample_price"):
        price = chance.choice([None, Decimal(0), Decimal(chance.randrange(10**7)) / 10**6])
        setattr(shop.log.base_model, name, price)
    shop.log.base_model.save()


def enter(shop: Shop, conn: psycopg.Connection[Any], chance: random.Random) -> None:
    """Outcomes of some operations, some of them for the second time."""
    used = [
        (operation.id, Used(Kind(kind), chance.choice([0, 1, chance.randrange(10**6)])))
        for operation in chance.sample(shop.operations, 6)
        for kind in chance.sample(Kind.values, chance.randrange(1, 5))
    ]
    usage.record(conn, used)


def test_the_sums_are_those_of_the_ledger(shop: Shop, chance: random.Random) -> None:
    with database.connect() as conn:
        for turn in range(60):
            if turn % 9 == 0:
                reprice(shop, chance)
            try:
                with conn.transaction():
                    enter(shop, conn, chance)
                    if chance.random() < 0.2:
                        raise psycopg.DataError("an outcome that cannot be stored")
            except psycopg.DataError:
                pass
            assert of_days() == of_ledger(shop.run_of)
            assert of_months() == of_ledger_by_month(shop.run_of)
    assert len(of_days()) > 20


def test_days_are_those_of_utc(shop: Shop) -> None:
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    for operation, after in zip(shop.operations, (-1, 0, 86399, 86400), strict=False):
        Entry.objects.create(
            operation_id=operation.id,
            kind="train",
            team_id=operation.team_id,
            session_id="s",
            target=operation.target,
            base_model="acme/tiny",
            quantity=1,
            created_at=midnight + timedelta(seconds=after),
        )
    days = DayTotal.objects.order_by("day").values_list("day", "train")
    assert [(f"{day:%F}", train) for day, train in days] == [
        ("2026-01-01", 1),
        ("2026-01-02", 2),
        ("2026-01-03", 1),
    ]
    months = MonthTotal.objects.order_by("month").values_list("month", "tokens")
    assert [(f"{month:%F}", tokens) for month, tokens in months] == [("2026-01-01", 4)]


def test_workers_that_finish_at_once_wait_for_nobody_in_a_circle(shop: Shop) -> None:
    failures: list[Exception] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        try:
            with database.connect() as conn:
                for _ in range(25):
                    with conn.transaction():
                        enter(shop, conn, chance)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert of_days() == of_ledger(shop.run_of)
    assert of_months() == of_ledger_by_month(shop.run_of)


@pytest.fixture
def waiting(shop: Shop) -> Iterator[psycopg.Connection[Any]]:
    """A connection that waits for a lock for a moment only."""
    with database.connect() as conn:
        conn.execute("SET lock_timeout = '2s'")
        yield conn


def test_runs_do_not_wait_for_each_other(shop: Shop, waiting: psycopg.Connection[Any]) -> None:
    first, other = shop.operations[0], shop.operations[16]
    assert shop.run_of[first.target] != shop.run_of[other.target]
    assert first.team_id == other.team_id
    with database.connect() as conn, conn.transaction():
        usage.record(conn, [(first.id, Used(Kind.TRAIN, 1))])
        usage.record(waiting, [(other.id, Used(Kind.TRAIN, 1))])
        again = shop.operations[1]
        assert again.target == first.target
        # the same run's do, for the sum is one row
        with pytest.raises(psycopg.errors.LockNotAvailable):
            usage.record(waiting, [(again.id, Used(Kind.TRAIN, 1))])
