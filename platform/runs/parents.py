"""Noting where a run's weights came from, in the transaction of what brought them."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from core import database, ids
from events import services as events
from events.models import Kind
from events.services import NewEvent
from runs.models import Parent

How = Parent.How

_NOTE = """
INSERT INTO runs_parent (run_id, team_id, seq, how, source, source_run, optimizer)
SELECT id, team_id, %(seq)s, %(how)s, %(source)s, %(source_run)s, %(optimizer)s
FROM runs_trainingrun WHERE id = %(run)s
ON CONFLICT DO NOTHING RETURNING team_id
"""


def note(
    conn: Connection, *, run_id: str, seq: int, how: How, source: str, optimizer: bool
) -> None:
    """Note a parent, and tell of it; noting it again changes nothing. For workers."""
    values = _values(run_id, seq, how, source, optimizer)
    row = conn.execute(_NOTE, values).fetchone()
    if row is not None:
        events.write_sync(conn, _told(row[0], values))


async def note_copy(conn: database.Connection, *, run_id: str, source: str) -> None:
    """Note what a run is the copy of; its optimizer's state comes along."""
    values = _values(run_id, 0, How.COPIED, source, True)
    row = await (await conn.execute(_NOTE, values)).fetchone()
    if row is not None:
        await events.write(conn, _told(row[0], values))


def _values(run_id: str, seq: int, how: How, source: str, optimizer: bool) -> dict[str, Any]:
    address = ids.parse_checkpoint_path(source)
    return {
        "run": run_id,
        "seq": seq,
        "how": how.value,
        "source": source,
        "source_run": "" if address is None else address.run_id,
        "optimizer": optimizer,
    }


def _told(team_id: int, values: dict[str, Any]) -> NewEvent:
    run_id = values["run"]
    told = {name: values[name] for name in ("seq", "how", "source", "optimizer")}
    return events.event(Kind.RUN_LOADED, run_id, team_id=team_id, run_id=run_id, **told)
