"""``sessions list``, ``sessions show``, ``sessions trace``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinsmith._http import downloads
from tinsmith._words.progress import Bar, size
from tinsmith.cli import ids
from tinsmith.types import sessions as kinds

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

_QUERIES: dict[str, kinds.SessionStatusQuery] = {
    "active": kinds.ActiveSessionStatusQuery(),
    "cancelled": kinds.CancelledSessionStatusQuery(),
    "failed": kinds.FailedSessionStatusQuery(),
    "client_finished": kinds.ClientFinishedSessionStatusQuery(),
}


def list_sessions(command: Command) -> None:
    """A table, newest first."""
    given = command.arguments
    statuses = [_QUERIES[name] for name in given.status] if given.status else None
    request = kinds.SessionSearchRequest(
        display_name=given.name, statuses=statuses, limit=given.limit
    )
    found = command.rest.search_sessions(request).result().sessions
    rows = [
        (
            item.session_id,
            item.display_name,
            item.status.type if item.status else "",
            item.created_at,
            item.project_id,
            item.checkpoints_count,
        )
        for item in found
    ]
    columns = ("SESSION", "NAME", "STATUS", "OPENED", "PROJECT", "CHECKPOINTS")
    command.out.table(found, columns, rows, "there are no such sessions")


def show(command: Command) -> None:
    """Its runs and samplers."""
    session = ids.session(command, command.arguments.session)
    found = command.rest.get_session(session).result()
    command.out.record(
        found,
        [
            ("Session", session),
            ("Name", found.display_name),
            ("Metadata", found.user_metadata),
            *[("Run", run) for run in found.training_run_ids],
            *[("Sampler", sampler) for sampler in found.sampler_ids],
        ],
    )


def trace(command: Command) -> None:
    """Save the trace to a new file."""
    session = ids.session(command, command.arguments.session)
    target = Path(command.arguments.output or f"{session}.trace.json")
    if target.exists():
        raise FileExistsError(f"{target} is there already; name another with --output")
    url = command.rest.export_session_trace(session).result()
    with Bar(target.name) as bar:
        count = downloads.fetch_file(url, target, bar.update)
    command.out.done(
        {"session_id": session, "file": str(target), "size_bytes": count},
        f"{target} ({size(count)}): open it at https://ui.perfetto.dev",
    )
