"""Requests made from the OpenAPI document, good ones and bad ones, with ids of both teams in them.

Nothing may come of them but an answer that the document describes: no 5xx, no traceback, no word
of the other team's and no change to its rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from asgiref.sync import sync_to_async
from hypothesis import HealthCheck, Phase, strategies
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode

from openai_api import asking
from operations import bodies
from reference.document import document
from tests.platform.reference.conftest import Estate, estates, rows_of
from tests.support.hand import Hand
from tinker_api import endpoint as wire_endpoint
from tinker_api.openapi import ROUTES
from tinker_api.views import futures

AT_MOST_S = 60.0  # of computing: a busy machine tests as much as a quiet one
EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 5}
REVOKES = "DELETE /api/v1/auth/apikey/me"  # ends the key that all other requests need
HOST = "http://testserver"
# what views read of a body before, or instead of, the whole
READ_FIRST = {
    bodies.RunIds,
    bodies.SaveExternalIds,
    bodies.SampleIds,
    bodies.LoadWeightsAddress,
    dict[str, Any],
}
SETTINGS: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


def strict(schema: Any) -> Any:
    """A schema that allows no field that it does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(part) for name, part in schema.items()}
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made


CHECK = partial(Draft202012Validator, format_checker=Draft202012Validator.FORMAT_CHECKER)
COMPONENTS = strict(document()["components"])


def complaint(label: str, response: Any) -> str | None:
    """What is wrong with an answer, according to the document."""
    method, path = label.split(" ", 1)
    described = document()["paths"][path][method.lower()]["responses"]
    if response.status_code == 405:  # a path's part that made it another path
        return None
    said = described.get(str(response.status_code), described["default"])
    content_type = response.headers.get("content-type", "").partition(";")[0]
    if content_type not in said.get("content", {}):
        return f"{response.status_code} with {content_type!r}"
    if content_type != "application/json":
        return None
    schema = strict(said["content"][content_type]["schema"]) | {"components": COMPONENTS}
    errors = CHECK(schema).iter_errors(response.json())
    return next((f"{error.json_path}: {error.message}"[:500] for error in errors), None)


def with_real_ids(case: Any, draw: Any, ours: Estate, theirs: Estate) -> None:
    """Put ids of both teams where a request has ids, more often than not."""

    def known(name: str, value: Any) -> Any:
        own, other = ours.names.get(name), theirs.names.get(name)
        if not own or not other:
            return value
        choice = draw(strategies.sampled_from(["own", "own", "other", "kept"]))
        if choice == "kept":
            return value
        return draw(strategies.sampled_from(own if choice == "own" else other))

    def walk(holder: Any) -> None:
        for name in holder if isinstance(holder, dict) else ():
            holder[name] = known(name, holder[name])
            walk(holder[name])

    for holder in (case.path_parameters, case.query, case.body):
        walk(holder)
    if isinstance(case.body, bytes):
        body = known("forward_backward", case.body)
        cut = draw(strategies.integers(0, len(body)))
        case.body = body[:cut] + case.body if draw(strategies.booleans()) else body


def prepared(case: Any) -> requests.PreparedRequest | None:
    """The request as it goes over the wire; None when HTTP cannot say it."""
    try:
        return requests.Request(**case.as_transport_kwargs(base_url=HOST)).prepare()
    except (ValueError, requests.RequestException):
        return None


class Attack:
    """Sends requests and keeps account of what came of them."""

    def __init__(self, runner: asyncio.Runner, ours: Estate, theirs: Estate) -> None:
        self.runner, self.ours, self.theirs = runner, ours, theirs
        self.statuses: dict[str, set[int]] = {}
        self.problems: list[str] = []
        self.sent = 0

    def on(self, operation: Any, mode: GenerationMode, examples: int) -> None:
        """Send examples of an operation."""
        strategy = operation.as_strategy(generation_mode=mode)

        @hypothesis.settings(max_examples=examples, **SETTINGS)
        @hypothesis.given(strategies.data())
        def attack(data: Any) -> None:
            case = data.draw(strategy)
            with_real_ids(case, data.draw, self.ours, self.theirs)
            request = prepared(case)
            if request is not None:
                self._send(operation.label, request)

        with contextlib.suppress(Unsatisfiable):  # there may be no wrong way to ask for this
            attack()

    def _send(self, label: str, request: requests.PreparedRequest) -> None:
        assert request.url is not None
        own = self.ours.api.headers
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in ("x-api-key", "authorization", "content-length")
        }
        reply = self.runner.run(
            self.ours.api.request(
                str(request.method),
                request.url,
                content=request.body,
                headers={**headers, "X-API-Key": own["X-API-Key"]},
            )
        )
        self.sent += 1
        self.statuses.setdefault(label, set()).add(reply.status_code)
        wrong = complaint(label, reply)
        if reply.status_code >= 500 or b"Traceback" in reply.content:
            wrong = f"{reply.status_code}: {reply.text[:300]}"
        if self.theirs.marker in reply.text and self.theirs.marker not in str(request.body):
            wrong = "it tells of the other team's things"
        if wrong:
            body = str(request.body)[:300]
            self.problems.append(f"{request.method} {request.url[:300]} {body}: {wrong}")


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[type]]:
    """The Structs that the wire protocol's views have decoded bodies with."""
    seen: set[type] = set()
    decode = wire_endpoint.decode

    def watch(body: bytes, schema: type, **options: bool) -> Any:
        seen.add(schema)
        return decode(body, schema, **options)

    monkeypatch.setattr(wire_endpoint, "decode", watch)
    return seen


@pytest.mark.timeout(240)
def test_requests_made_from_the_document(
    hand: Hand,
    team_keys: dict[str, tuple[int, str]],
    data_folder: Path,
    decoded: set[type],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(futures, "HOLD_S", 0.05)
    monkeypatch.setattr(asking, "AT_MOST_S", 5.0)
    caplog.set_level(logging.WARNING)
    loaded = schemathesis.openapi.from_dict(json.loads(json.dumps(document())))
    operations = sorted((found.ok() for found in loaded.get_all_operations()), key=_last_if_it_ends)
    assert len(operations) > 50
    with asyncio.Runner() as runner:
        holder = estates(team_keys, hand)
        ours, theirs = runner.run(holder.__aenter__())
        try:
            before = runner.run(sync_to_async(rows_of)(theirs.team_id))
            attack = Attack(runner, ours, theirs)
            started = time.process_time()
            for operation in operations:
                for mode, examples in EXAMPLES.items():
                    if operation.label != REVOKES and time.process_time() - started < AT_MOST_S:
                        attack.on(operation, mode, examples)
            after = runner.run(sync_to_async(rows_of)(theirs.team_id))
        finally:
            runner.run(holder.__aexit__(None, None, None))
    assert attack.problems == []
    assert after == before
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ] == []
    reached = {label for label, statuses in attack.statuses.items() if 200 in statuses}
    assert len(reached) > 0.8 * len(attack.statuses), sorted(set(attack.statuses) - reached)
    if len(attack.statuses) == len(operations) - 1:
        assert decoded - READ_FIRST == described_bodies()


def _last_if_it_ends(operation: Any) -> bool:
    """Whether an operation ends what others need."""
    return operation.label.startswith("DELETE") or operation.label.endswith("/finish")


def described_bodies() -> set[type]:
    """The Structs that the document says bodies are, but for those that workers alone read."""
    left_to_workers = {
        kind
        for kind in vars(bodies).values()
        if isinstance(kind, type) and kind.__module__ == bodies.__name__
    } - {bodies.CreateModel, bodies.CreateFromCheckpoint}
    return {
        kind
        for routes in ROUTES.values()
        for route in routes.values()
        for kind in (route.takes if isinstance(route.takes, tuple) else (route.takes,))
        if isinstance(kind, type) and kind not in left_to_workers
    }
