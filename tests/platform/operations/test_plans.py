"""What is asked again and again looks at open runs only, however many there have been."""

from __future__ import annotations

from typing import Any

import pytest

from operations import claims, gaps
from operations.models import Lane
from tests.support.log import Log

CLOSED = 10_000
QUERIES: dict[str, str] = {
    "adopt": claims._ADOPT,
    "has_suspects": claims._HAS_SUSPECTS,
    "find gaps": gaps._FIND,
}


@pytest.mark.parametrize("query", QUERIES)
def test_runs_of_ended_sessions_are_not_looked_through(log: Log, query: str) -> None:
    run, worker = log.run(log.team("a")), log.worker()
    log.append(run, 0)
    lane = Lane.objects.get(target=run.id)
    log.conn.execute(
        """
        INSERT INTO operations_lane
            (target, session_id, team_id, base_model_id, ordered, closed_at)
        SELECT 'old:train:' || n, 'old' || n, %s, %s, true, now() FROM generate_series(1, %s) n
        """,
        (lane.team_id, lane.base_model_id, CLOSED),
    )
    log.conn.execute("ANALYZE operations_lane")
    values: Any = {
        "worker": worker,
        "pool": log.pool,
        "limit": 100,
        "besides": [],
        "least_deaths": 0,
        "most_deaths": 1,
    }
    if query == "find gaps":
        values = (log.pool,)
    plan = log.conn.execute(f"EXPLAIN (COSTS OFF) {QUERIES[query]}", values).fetchall()
    lines = [line for (line,) in plan]
    assert any("lane_of_open_run" in line for line in lines), lines
    assert not any("Seq Scan on operations_lane" in line for line in lines), lines
