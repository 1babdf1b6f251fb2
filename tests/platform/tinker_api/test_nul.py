"""A NUL character, which PostgreSQL's texts cannot hold, is no accident wherever it stands."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.urls import URLPattern
from psycopg.types.json import Jsonb

from core import database
from core.endpoint import as_api_error
from core.errors import BadRequest
from tests.platform.tinker_api.test_fuzz import World, places, put, world
from tinker_api.urls import urlpatterns

__all__ = ["world"]

OTHER_BODIES: dict[str, dict[str, Any]] = {
    "copy_weights": {"source_path": "tinker://a/weights/b", "destination_project_id": "p"},
    "sessions/search": {"display_name": "a", "user_metadata": {"a": "b"}, "project_ids": ["p"]},
}


def with_nul(body: Any) -> list[Any]:
    """Copies of a body with a NUL in each of its texts and names."""
    made = []
    for place in places(body):
        inside = body
        for key in place:
            inside = inside[key]
        if isinstance(inside, str):
            made += [put(body, place, new) for new in (inside + "\0", "\0", inside[:1] + "\0x")]
        if isinstance(inside, dict):
            made.append(put(body, place, {**inside, "a\0b": 1}))
    return made


def fine(caplog: pytest.LogCaptureFixture) -> bool:
    """Nothing was logged: neither a mistake, nor that the database had to refuse it."""
    return [item for item in caplog.records if item.levelno >= logging.WARNING] == []


async def test_in_bodies(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for address, body in (world.bodies | OTHER_BODIES).items():
        for changed in with_nul(body):
            response = await world.api.post(address, content=json.dumps(changed).encode())
            assert response.status_code < 500, (address, changed, response.text)
            assert fine(caplog), (address, changed, caplog.text)


async def test_in_addresses(world: World, caplog: pytest.LogCaptureFixture) -> None:
    routes = [
        pattern.pattern._route
        for pattern in urlpatterns
        if isinstance(pattern, URLPattern) and hasattr(pattern.pattern, "_route")
    ]
    assert len(routes) > 20
    for route in routes:
        for text in ("\0", "a\0b", world.ids[0]["run"] + "\0"):
            pieces = [text if piece.startswith("<") else piece for piece in route.split("/")]
            path = "/".join(quote(piece, safe="") for piece in pieces)
            for method in ("GET", "POST", "PUT", "DELETE"):
                if route == "auth/apikey/me" and method == "DELETE":
                    continue  # ends the key
                response = await world.api.request(method, path, json={})
                assert response.status_code < 500, (method, path, response.text)
                if "<" in route and response.status_code != 405:
                    assert response.status_code == 404, (method, path, response.text)
                assert fine(caplog), (method, path, caplog.text)


@pytest.mark.parametrize(
    "path",
    [
        "training_runs?project_id=a%00b",
        "training_runs?limit=%00",
        "training_runs?access_scope=%00",
        "audit?day=%00",
        "audit?event_type=%00",
        "billing/usage/events?starting_on=%00&ending_before=%00",
        "billing/usage/checkpoints/current?project_id=%00",
        "runs/RUN/metrics?key=a%00b",
        "runs/RUN/metrics?after=%00",
        "runs/RUN/rollouts?step=%00",
    ],
)
async def test_in_queries(world: World, path: str, caplog: pytest.LogCaptureFixture) -> None:
    response = await world.api.get(path.replace("RUN", world.ids[0]["run"]))
    assert response.status_code == (200 if "key=" in path else 400), response.text
    assert fine(caplog), caplog.text


@pytest.mark.parametrize(
    "header",
    ["X-API-Key", "X-Idempotency-Key", "X-Tinker-Weights-Access-Token", "User-Agent", "Host"],
)
async def test_in_headers(world: World, header: str, caplog: pytest.LogCaptureFixture) -> None:
    headers = {header.encode(): b"a\0b"}
    body = OTHER_BODIES["copy_weights"] | {"source_path": world.ids[0]["path"]}
    response = await world.api.post("copy_weights", json=body, headers=headers)
    assert response.status_code < 500, response.text
    assert fine(caplog), caplog.text


@pytest.mark.parametrize(
    ("statement", "value", "binary"),
    [
        ("SELECT %s::text", "a\0b", False),
        ("SELECT %s::text", "a\0b", True),
        ("SELECT %s::jsonb ->> 'a'", Jsonb({"a": "\0"}), False),
        ("SELECT name FROM catalog_basemodel WHERE name = %s", "\0", True),
    ],
)
def test_what_gets_as_far_as_the_database_is_the_callers_mistake_all_the_same(
    transactional_db: None, statement: str, value: Any, binary: bool
) -> None:
    with database.connect() as connection, pytest.raises(psycopg.Error) as caught:
        connection.execute(statement, (value,), binary=binary)
    assert isinstance(as_api_error(caught.value, "a test"), BadRequest)


def test_other_mistakes_in_data_are_ours(transactional_db: None) -> None:
    with database.connect() as connection, pytest.raises(psycopg.DataError) as caught:
        connection.execute("SELECT %s::int", ("x",))
    assert as_api_error(caught.value, "a test").status == 500
