"""Migrations that run while workers do: these go on writing."""

from __future__ import annotations

import threading

import psycopg

from tests.platform.operations.test_upgrade import database_url, migrate
from tests.support.waiting import eventually

__all__ = ["database_url"]  # its fixture is used here, too

ENTER = """
INSERT INTO usage_entry (operation_id, kind, team_id, session_id, target, base_model, quantity)
VALUES (%s, 'train', 1, 's', 's:train:0', 'tiny', 1)
"""
BUILDS = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%%usage_by_target%%'"


def test_the_ledger_is_written_while_its_index_is_built(database_url: str) -> None:
    migrate(database_url, "usage", "0003")
    with (
        psycopg.connect(database_url) as writer,
        psycopg.connect(database_url, autocommit=True) as other,
    ):
        # the build waits for this transaction, as a long one would have it wait
        writer.execute(ENTER, (1,))
        building = threading.Thread(target=migrate, args=(database_url, "usage", "0004"))
        building.start()
        try:
            eventually(lambda: other.execute(BUILDS).fetchone() is not None, within_s=60)
            other.execute("SET statement_timeout = '3s'")
            other.execute(ENTER, (2,))
        finally:
            writer.commit()
            building.join(60)
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'usage_by_target'::regclass"
        assert other.execute(valid).fetchone() == (True,)


SUMS = """
SELECT target, kind, quantity FROM (
    SELECT target, 'ledger' AS kind, sum(quantity)::int AS quantity FROM usage_entry GROUP BY 1
    UNION ALL SELECT target, 'days', sum(train)::int FROM usage_daytotal GROUP BY 1
    UNION ALL SELECT target, 'months', sum(tokens)::int FROM usage_monthtotal GROUP BY 1) sums
ORDER BY 1, 2
"""
WAITS = """
SELECT 1 FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


def test_the_ledger_is_added_up_while_it_is_written(database_url: str) -> None:
    """What was there before, what an open transaction enters, and what comes between and after."""
    migrate(database_url, "usage", "0004")
    with (
        psycopg.connect(database_url) as writer,
        psycopg.connect(database_url, autocommit=True) as other,
    ):
        other.execute(ENTER, (1,))
        writer.execute(ENTER, (2,))
        migrating = threading.Thread(target=migrate, args=(database_url, "usage", "0005"))
        migrating.start()
        try:
            # the migration, for who writes; nobody else is there to wait
            eventually(lambda: other.execute(WAITS).fetchone() is not None, within_s=60)
        finally:
            writer.commit()
            migrating.join(60)
        other.execute(ENTER, (3,))
        migrate(database_url, "usage", "0006")
        other.execute(ENTER, (4,))
        assert other.execute(SUMS).fetchall() == [
            ("s:train:0", "days", 4),
            ("s:train:0", "ledger", 4),
            ("s:train:0", "months", 4),
        ]
