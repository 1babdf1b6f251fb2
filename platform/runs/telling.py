"""The events of sessions, runs and samplers, as their verbs write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.ids import DEFAULT_PROJECT
from events import services as events
from events.models import Kind
from events.services import NewEvent

MAX_KEYS = 50

# Sessions that have just been ended, a row for each of their runs. Nothing is made in them any
# more: whoever ends one has locked it.
ENDED = """
SELECT s.id, s.team_id, s.end_reason, s.end_detail, s.failed_run_id, r.id
FROM runs_session s LEFT JOIN runs_trainingrun r ON r.session_id = s.id
WHERE s.id = ANY(%s) ORDER BY s.id, r.number
"""


def session_begun(
    session_id: str, *, team_id: int, display_name: str, project_id: str | None
) -> NewEvent:
    """A session is there."""
    return events.event(
        Kind.SESSION_BEGUN,
        session_id,
        team_id=team_id,
        display_name=display_name,
        project_id=project_id or DEFAULT_PROJECT,
    )


def sessions_ended(rows: Iterable[Sequence[Any]]) -> list[NewEvent]:
    """Sessions have ended, and with each its runs; `rows` are those of `ENDED`."""
    told: dict[str, NewEvent] = {}
    for session_id, team_id, reason, detail, failed_run_id, run_id in rows:
        if session_id not in told:
            told[session_id] = events.event(
                Kind.SESSION_ENDED,
                session_id,
                team_id=team_id,
                reason=reason,
                detail=events.cut(detail),
                failed_run_id=failed_run_id,
            )
        if run_id is not None:
            told[run_id] = events.event(
                Kind.RUN_ENDED,
                run_id,
                team_id=team_id,
                run_id=run_id,
                reason=reason,
                corrupted=failed_run_id == run_id,
            )
    return list(told.values())


def run_created(run_id: str, *, team_id: int, **data: Any) -> NewEvent:
    """A run is there."""
    return events.event(Kind.RUN_CREATED, run_id, team_id=team_id, run_id=run_id, **data)


def sampler_created(sampler_id: str, *, team_id: int, run_id: str | None, **data: Any) -> NewEvent:
    """A sampler is there, maybe of a run's weights."""
    return events.event(Kind.SAMPLER_CREATED, sampler_id, team_id=team_id, run_id=run_id, **data)


def metrics_logged(
    run_id: str, *, team_id: int, names: Sequence[tuple[str, int]]
) -> list[NewEvent]:
    """Numbers of a run were recorded, new ones or others under the same (key, step)."""
    keys = sorted({key for key, _ in names})
    told = _logged(Kind.METRICS_LOGGED, run_id, team_id, [step for _, step in names])
    for event in told:
        event.data["keys"] = keys if len(keys) <= MAX_KEYS else None
    return told


def rollouts_logged(run_id: str, *, team_id: int, steps: Sequence[int]) -> list[NewEvent]:
    """Episodes of a run were recorded."""
    return _logged(Kind.ROLLOUTS_LOGGED, run_id, team_id, steps)


def _logged(kind: Kind, run_id: str, team_id: int, steps: Sequence[int]) -> list[NewEvent]:
    if not steps:
        return []
    span = {"first_step": min(steps), "last_step": max(steps), "rows": len(steps)}
    return [events.event(kind, run_id, team_id=team_id, run_id=run_id, **span)]
