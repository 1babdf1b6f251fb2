"""How runs and workers stand now, in one look for all who watch.

What changes many times a second, or by the clock alone, is no event: see docs/live.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from core import database
from runs import listening
from runs.sessions import SILENT_AFTER_S

# of a team, the runs that were worked on last
MOST_RUNS = 500
MOST_WORKERS = 200

# How many seconds a run is still told of to its team after its end: its worker lets go of it then
_LINGERS_S = 60
_RUNS = f"""
SELECT l.target, l.team_id, l.applied_seq, l.claimed_seq, l.worker_id IS NOT NULL, l.restoring,
       s.ended_at IS NULL AND s.heard_at_s < {listening.NOW} - {SILENT_AFTER_S}
FROM (
    SELECT * FROM operations_lane WHERE target = ANY(%(runs)s) AND ordered
    UNION
    SELECT of_team.* FROM unnest(%(teams)s::bigint[]) AS team CROSS JOIN LATERAL (
        SELECT * FROM operations_lane l
        WHERE l.team_id = team AND l.ordered
          AND (l.closed_at IS NULL OR l.closed_at > now() - make_interval(secs => {_LINGERS_S}))
        ORDER BY l.moved_at DESC LIMIT {MOST_RUNS}
    ) of_team
) l JOIN runs_session s ON s.id = l.session_id
"""
_WORKERS = f"""
SELECT id::text, pool, models_served, alive_until > now() FROM operations_worker
ORDER BY alive_until DESC LIMIT {MOST_WORKERS}
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Runs by id, each with its team; workers by id, none if nobody watches a team."""

    runs: dict[str, tuple[int, Row]] = field(default_factory=dict)
    workers: dict[str, Row] = field(default_factory=dict)

    def since(self, before: Standing) -> Standing:
        """What stands otherwise than before."""
        return Standing(
            {id_: run for id_, run in self.runs.items() if before.runs.get(id_) != run},
            {id_: row for id_, row in self.workers.items() if before.workers.get(id_) != row},
        )

    def of(self, *, team_id: int, run_id: str | None) -> tuple[list[Row], list[Row]]:
        """What who watches a team, or one of its runs, is told: runs and workers."""
        if run_id is not None:
            found = self.runs.get(run_id)
            return ([found[1]] if found is not None else []), []
        runs = [row for team, row in self.runs.values() if team == team_id]
        return runs, list(self.workers.values())


async def look(conn: database.Connection, *, runs: Iterable[str], teams: Iterable[int]) -> Standing:
    """How these runs, and all that is open of these teams, stand; for teams, workers as well."""
    wanted = list(teams)
    rows = await (await conn.execute(_RUNS, {"runs": list(runs), "teams": wanted})).fetchall()
    found: dict[str, tuple[int, Row]] = {}
    for run_id, team_id, applied, claimed, at_work, restoring, silent in rows:
        found[run_id] = (
            team_id,
            {
                "id": run_id,
                "applied_seq": applied,
                "claimed_seq": claimed,
                "at_work": at_work,
                "restoring": restoring,
                "silent": silent,
            },
        )
    workers = await (await conn.execute(_WORKERS)).fetchall() if wanted else []
    names = ("id", "pool", "models", "alive")
    return Standing(found, {row[0]: dict(zip(names, row, strict=True)) for row in workers})
