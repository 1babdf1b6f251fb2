"""``runs list``, ``runs show``, ``runs watch``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tinsmith import errors
from tinsmith.cli import ids
from tinsmith.cli.output import text
from tinsmith.types.sessions import SessionSearchRequest

if TYPE_CHECKING:
    from tinsmith.cli.command import Command
    from tinsmith.types.logs import MetricPoint
    from tinsmith.types.rest import TrainingRun

PAGE = 100
METRICS_PAGE = 1000


def list_runs(command: Command) -> None:
    """A table, asked for page by page."""
    given = command.arguments
    found: list[TrainingRun] = []
    scope = "accessible" if given.accessible else "owned"
    while len(found) < given.limit:
        page = command.rest.list_training_runs(
            min(PAGE, given.limit - len(found)),
            given.offset + len(found),
            scope,  # type: ignore[arg-type]
            given.project,
        ).result()
        found += page.training_runs
        if not page.training_runs or given.offset + len(found) >= page.cursor.total_count:
            break
    rows = [
        (
            run.training_run_id,
            run.base_model,
            run.lora_rank,
            run.last_request_time,
            run.user_metadata or "",
        )
        for run in found
    ]
    columns = ("RUN", "BASE MODEL", "RANK", "LAST REQUEST", "METADATA")
    command.out.table(found, columns, rows, "there are no training runs yet")


def show(command: Command) -> None:
    """The run, its checkpoints, and the last value of every metric."""
    command.arguments.run = ids.run(command, command.arguments.run)
    run = command.rest.get_training_run(command.arguments.run).result()
    saved = command.rest.list_checkpoints(run.training_run_id).result().checkpoints
    latest: dict[str, MetricPoint] = {}
    for point in _metrics(command, [], 0)[0]:
        if point.key not in latest or point.step >= latest[point.key].step:
            latest[point.key] = point
    command.out.record(
        {"training_run": run, "checkpoints": saved, "latest_metrics": latest},
        [
            ("Run", run.training_run_id),
            ("Base model", run.base_model),
            ("Rank", run.lora_rank),
            ("Team", run.model_owner),
            ("Last request", run.last_request_time),
            ("Metadata", run.user_metadata),
            *[("Checkpoint", item.tinker_path) for item in saved],
            *[
                ("Metric", f"{point.key} = {text(point.number)} (step {point.step})")
                for point in sorted(latest.values(), key=lambda point: point.key)
            ],
        ],
    )


def watch(command: Command) -> None:
    """Print metrics as they arrive, until the run's session is over."""
    given = command.arguments
    given.run = ids.run(command, given.run)
    run = command.rest.get_training_run(given.run).result()
    session = run.training_run_id.partition(":")[0]
    cursor = 0
    while True:
        over = given.no_follow or not _is_active(command, session)
        points, cursor = _metrics(command, given.key, cursor)
        _print_steps(command, points)
        if over:
            return
        time.sleep(max(given.interval, 0.1))


def _metrics(command: Command, keys: list[str], after: int) -> tuple[list[MetricPoint], int]:
    """All that arrived after ``after``; a server that keeps no metrics has none."""
    found: list[MetricPoint] = []
    while True:
        try:
            page = command.rest.get_run_metrics(
                command.arguments.run, keys, after, METRICS_PAGE
            ).result()
        except errors.NotFoundError:
            return found, after
        found += page.metrics
        after = page.cursor
        if len(page.metrics) < METRICS_PAGE:
            return found, after


def _is_active(command: Command, session: str) -> bool:
    """Whether the session goes on; a server that cannot say is believed to go on."""
    try:
        request = SessionSearchRequest(session_id=session)
        found = command.rest.search_sessions(request).result().sessions
    except errors.NotFoundError:
        return True
    return bool(found) and (found[0].status is None or found[0].status.type == "active")


def _print_steps(command: Command, points: list[MetricPoint]) -> None:
    if command.out.as_json:
        for point in points:
            command.out.data(point)
        return
    steps: dict[int, list[Any]] = {}
    for point in points:
        steps.setdefault(point.step, []).append(f"{point.key} {text(point.number)}")
    for step, parts in steps.items():
        print(f"step {step:>6}  {'  '.join(parts)}", flush=True)
