"""The description of the dashboard's API: committed as it is, and true of what is answered."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from django.core.management import call_command

from captures.models import DatumStat
from tests.conftest import REPOSITORY
from tests.platform.console_api.conftest import Api, Browser, log, make_run
from tests.support.captured import capture

COMMITTED = REPOSITORY / "frontend" / "openapi.json"
RENEW = (
    "run `python3 manage.py spectacular --format openapi-json --file frontend/openapi.json` "
    "and `npm run types` in frontend"
)


def document(tmp_path: Any) -> Any:
    """The description as the code has it."""
    file = tmp_path / "openapi.json"
    call_command("spectacular", "--format", "openapi-json", "--fail-on-warn", "--file", str(file))
    return json.loads(file.read_text())


def test_the_committed_description_is_that_of_the_code(tmp_path: Any) -> None:
    assert json.loads(COMMITTED.read_text()) == document(tmp_path), RENEW


ANSWERED = [
    ("me", "/me"),
    ("session", "/session"),
    ("runs", "/runs"),
    ("runs/{run}", "/runs/{run_id}"),
    ("runs/{run}/metrics", "/runs/{run_id}/metrics"),
    ("runs/{run}/series?key=loss&smoothing=0.5", "/runs/{run_id}/series"),
    ("runs/{run}/batches", "/runs/{run_id}/batches"),
    ("runs/{run}/batches/0", "/runs/{run_id}/batches/{step}"),
    ("runs/{run}/datums/{datum}", "/runs/{run_id}/datums/{datum_id}"),
    ("runs/{run}/examples", "/runs/{run_id}/examples"),
    ("runs/{run}/checkpoints", "/runs/{run_id}/checkpoints"),
    ("checkpoints", "/checkpoints"),
    ("cluster", "/cluster"),
    ("since", "/since"),
    ("usage", "/usage"),
    ("usage/runs", "/usage/runs"),
    ("lineage", "/lineage"),
    ("compare?run={run}&run={second}", "/compare"),
    ("compare/series?run={run}&run={second}&key=loss", "/compare/series"),
    ("compare/prompts?run={run}&run={second}", "/compare/prompts"),
    ("checkpoints/deleted", "/checkpoints/deleted"),
    ("runs/{run}/timeline", "/runs/{run_id}/timeline"),
    ("runs/{run}/rollouts", "/runs/{run_id}/rollouts"),
    ("runs/{run}/rollouts/0", "/runs/{run_id}/rollouts/{step}"),
    ("runs/{run}/rollouts/0/0", "/runs/{run_id}/rollouts/{step}/{group}"),
]


@pytest.mark.parametrize(("address", "path"), ANSWERED)
async def test_answers_are_as_described(
    browser: Browser, api: Api, address: str, path: str
) -> None:
    run = await make_run(api)
    await log(api, run, ("loss", 0, 1.0), ("loss", 1, "nan"))
    await api.call(f"runs/{run}/rollouts", rollouts=[{"step": 0, "completion": "a"}])
    await capture(run)
    datum = await DatumStat.objects.aget(run=run)
    committed = json.loads(COMMITTED.read_text())
    response = committed["paths"][f"/api/console{path}"]["get"]["responses"]["200"]
    schema = response["content"]["application/json"]["schema"]
    second = await make_run(api)
    shown = (await browser.get(address.format(run=run, second=second, datum=datum.pk))).json()
    jsonschema.validate(shown, {**schema, "components": committed["components"]})
    assert set(shown) == set(properties(schema, committed))


def properties(schema: dict[str, Any], committed: Any) -> dict[str, Any]:
    """The fields of an answer."""
    name = schema["$ref"].rpartition("/")[2]
    found: dict[str, Any] = committed["components"]["schemas"][name]["properties"]
    return found


def test_every_answer_is_tried() -> None:
    committed = json.loads(COMMITTED.read_text())
    tried = {f"/api/console{path}" for _, path in ANSWERED}
    assert {path for path, methods in committed["paths"].items() if "get" in methods} == tried
