"""Walking the doors: requests of the tables with real ids, and all that could have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connection
from django.urls import URLResolver, get_resolver

from live import consumer as live
from tests.support.door_tables import Case
from tinsmith.wire import wire_pb2

# written a moment after a result is fetched
FETCHED = ("asked_at", "delivered_at")
# what using a thing writes is no change to anything: signing in, and when a key was used
_USE = {"last_login", "last_used_at", *FETCHED}
_SESSIONS = "django_session"


@dataclass
class Things:
    """What the team owns, by the names that cases use."""

    names: dict[str, str]

    def request(self, case: Case) -> dict[str, Any]:
        """A case's request with the real ids in it."""
        made: dict[str, Any] = {
            "method": case.method,
            "url": "http://testserver" + self.fill(case.route),
            "params": case.params or None,
        }
        if case.protobuf:
            message = wire_pb2.ForwardBackwardRequest(model_id=self.names["run"], seq_id=1)
            made["content"] = message.SerializeToString()
            made["headers"] = {"Content-Type": "application/x-protobuf"}
        elif case.body is not None:
            made["content"] = self.fill(json.dumps(case.body))
            made["headers"] = {"Content-Type": "application/json"}
        return made

    def fill(self, text: str) -> str:
        """A text with names of things replaced by what they are."""
        for name, value in self.names.items():
            if value.isdigit():
                # in JSON a number is no text
                text = text.replace(f'"{{{name}}}"', value)
            text = text.replace(f"{{{name}}}", value)
        return text


def routes() -> Iterator[tuple[str, Any]]:
    """(route, view) of everything that the server's URLs lead to."""
    yield from _below(get_resolver(), "")


def _below(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Any]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _below(pattern, route)
        else:
            yield route, pattern.callback


def socket_routes() -> set[str]:
    """The routes of all WebSockets: one consumer has the only one."""
    return {live.PATH.removeprefix("/")}


@sync_to_async
def rows_of(team_id: int) -> dict[str, list[str]]:
    """All rows that belong to a team, table by table, as text."""
    wanted = {name: f"{_row(name)} WHERE team_id = %s" for name in _tables("team_id")}
    for table in ("operations_payload", "operations_result"):
        wanted[table] = f"""
            SELECT t::text FROM {table} t JOIN operations_operation o ON o.id = t.operation_id
            WHERE o.team_id = %s"""
    wanted["checkpoints_leftover"] = "SELECT key FROM checkpoints_leftover WHERE %s > 0"
    return _read(wanted, [team_id])


@sync_to_async
def all_rows() -> dict[str, list[str]]:
    """All rows of the database, table by table, as text, but for browsers' sessions."""
    return _read({name: _row(name) for name in _tables("id") if name != _SESSIONS}, [])


def files_in(folder: Path) -> list[str]:
    """Every file below the store."""
    return sorted(str(path) for path in folder.rglob("*"))


def _tables(column: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT table_name FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name = %s ORDER BY 1
            """,
            [column],
        )
        return [name for (name,) in cursor.fetchall()]


def _row(table: str) -> str:
    used = " - ".join(["to_jsonb(t)", *(f"'{column}'" for column in sorted(_USE))])
    return f"SELECT ({used})::text FROM {table} t"


def _read(statements: dict[str, str], values: list[Any]) -> dict[str, list[str]]:
    found = {}
    with connection.cursor() as cursor:
        for name, statement in statements.items():
            cursor.execute(statement, values)
            found[name] = sorted(str(row) for row in cursor.fetchall())
    return found
