"""Every door of the platform: what each route is asked, and who may.

A `Case` is a request that is good for the team whose things it names, which walking it with the
right role proves. `test_doors.py` walks the tables with every role, other teams and nobody, and
holds that no route of the server is missing here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from accounts.models import Role

NOT_FOUND = frozenset({404})
# about no team's things: the same question has an answer for everybody
NEUTRAL = frozenset({200})
READS, WORKS = Role.VIEWER, Role.MEMBER
BASE_MODEL = "test/tiny"


@dataclass(frozen=True)
class Case:
    """A request in terms of the team's things.

    Attributes:
        least: the least role that it takes.
        others: how it is answered to another team.
        answers: how it is answered to who may.
    """

    method: str
    route: str
    least: Role
    body: dict[str, Any] | None = None
    others: frozenset[int] = NOT_FOUND
    params: dict[str, str] = field(default_factory=dict)
    protobuf: bool = False
    answers: int = 200


def new_run(session: str, number: int) -> dict[str, Any]:
    """A `create_model` body."""
    lora = {"rank": 8, "train_unembed": True, "train_mlp": True, "train_attn": True}
    return {
        "session_id": session,
        "model_seq_id": number,
        "base_model": BASE_MODEL,
        "lora_config": lora,
        "type": "create_model",
    }


def window() -> dict[str, str]:
    """The hours around now, as the route for usage takes them."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    first, last = hour - timedelta(hours=1), hour + timedelta(hours=1)
    return {"starting_on": first.isoformat(), "ending_before": last.isoformat()}


RUN = {"model_id": "{run}", "seq_id": 1}
SAMPLER = {"sampling_session_id": "{sampler}"}
METRIC = {"key": "loss", "step": 1, "value": 0.5}
ROLLOUT = {"step": 1, "group": 0, "index": 0, "reward": 1.0}
SAVED = "/api/v1/training_runs/{run}/checkpoints/weights/s1"

WIRE = [
    Case("POST", "/api/v1/client/config", READS, {"sdk_version": "0.38.0"}, NEUTRAL),
    Case("POST", "/api/v1/client/dynamic_config", READS, {"sdk_version": "0.38.0"}, NEUTRAL),
    Case("GET", "/api/v1/get_server_capabilities", READS, others=NEUTRAL),
    Case("POST", "/api/v1/create_session", WORKS, {"tags": [], "user_metadata": {}}, NEUTRAL),
    Case("POST", "/api/v1/session_heartbeat", WORKS, {"session_id": "{session}"}),
    Case("POST", "/api/v1/telemetry", READS, {"session_id": "{session}"}, NEUTRAL),
    Case("POST", "/api/v1/auth/token", READS, {}, NEUTRAL),
    Case("GET", "/api/v1/auth/apikey/me", READS, others=NEUTRAL),
    Case("POST", "/api/v1/create_model", WORKS, new_run("{session}", 7)),
    Case("POST", "/api/v1/get_info", READS, {"model_id": "{run}"}),
    Case("POST", "/api/v1/forward_backward", WORKS, RUN, protobuf=True),
    Case("POST", "/api/v1/optim_step", WORKS, RUN | {"seq_id": 2}),
    Case("POST", "/api/v1/save_weights", WORKS, RUN | {"seq_id": 3, "path": "x"}),
    Case("POST", "/api/v1/load_weights", WORKS, RUN | {"seq_id": 4, "path": "{path}"}),
    Case("POST", "/api/v1/load_weights", WORKS,
         {"session_id": "{session}", "model_seq_id": 9, "path": "{path}"}),
    Case("POST", "/api/v1/save_weights_for_sampler", WORKS, RUN | {"seq_id": 5, "path": "x"}),
    Case("POST", "/api/v1/save_weights_external", WORKS, RUN | {"seq_id": 6, "path": "x"}),
    Case("POST", "/api/v1/forward", WORKS, RUN | {"seq_id": 7}),
    # refused whoever asks
    Case("POST", "/api/v1/create_custom_loss", READS, {}, frozenset({400}), answers=400),
    Case("POST", "/api/v1/unload_model", READS, {"model_id": "{run}"}),
    Case("POST", "/api/v1/runs/{run}/withdraw", WORKS, {"first": 20, "last": 20}),
    Case("POST", "/api/v1/runs/{run}/metrics", WORKS, {"metrics": [METRIC]}),
    Case("GET", "/api/v1/runs/{run}/metrics", READS),
    Case("POST", "/api/v1/runs/{run}/rollouts", WORKS, {"rollouts": [ROLLOUT]}),
    Case("GET", "/api/v1/runs/{run}/rollouts", READS),
    Case("POST", "/api/v1/create_sampling_session", WORKS,
         {"session_id": "{session}", "sampling_session_seq_id": 8, "base_model": BASE_MODEL}),
    Case("GET", "/api/v1/samplers/{sampler}", READS),
    Case("POST", "/api/v1/join_sampling_session", WORKS, SAMPLER),
    Case("POST", "/api/v1/asample", WORKS, SAMPLER | {"seq_id": 5}),
    Case("POST", "/api/v1/retrieve_future", READS, {"request_id": "{sampler}:0"}),
    Case("POST", "/api/v1/retrieve_futures", READS, {"target": SAMPLER, "timeout": 0}),
    Case("POST", "/api/v1/retrieve_futures", WORKS,
         {"target": SAMPLER, "timeout": 0, "retrieved_request_ids": ["{sampler}:0"]}),
    Case("POST", "/api/v1/cancel_future", WORKS, {"request_id": "{sampler}:1"}),
    Case("GET", f"/api/v1/models/{BASE_MODEL}/tokenizer", READS, others=NEUTRAL),
    Case("GET", "/api/v1/training_runs", READS, others=NEUTRAL),
    Case("GET", "/api/v1/training_runs", READS, others=NEUTRAL,
         params={"access_scope": "accessible"}),
    Case("GET", "/api/v1/training_runs/{run}", READS),
    Case("GET", "/api/v1/training_runs/{run}", READS, params={"access_scope": "accessible"}),
    Case("GET", "/api/v1/training_runs/{run}/checkpoints", READS),
    Case("GET", "/api/v1/checkpoints", READS, others=NEUTRAL),
    Case("POST", "/api/v1/weights_info", READS, {"tinker_path": "{path}"}),
    Case("GET", "/api/v1/sessions", READS, others=NEUTRAL),
    Case("POST", "/api/v1/sessions/search", READS, {}, NEUTRAL),
    Case("GET", "/api/v1/sessions/{session}", READS),
    Case("GET", "/api/v1/sessions/{session}/trace_export", READS),
    Case("PUT", "/api/v1/sessions/{session}/project", WORKS, {"project_id": "p"}),
    Case("GET", "/api/v1/audit", READS, others=NEUTRAL),
    Case("GET", "/api/v1/billing/usage/events", READS, others=NEUTRAL, params=window()),
    Case("GET", "/api/v1/billing/usage/checkpoints/current", READS, others=NEUTRAL),
    Case("GET", f"{SAVED}/external_weights_urls", READS),
    Case("GET", f"{SAVED}/archive", READS),
    Case("POST", "/api/v1/copy_weights", WORKS,
         {"source_path": "{path}", "destination_project_id": "p"}),
    *(
        Case(method, "/api/v1/no/such/place", READS, answers=404)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
]  # fmt: skip

PROMPT = {"model": BASE_MODEL, "max_tokens": 2}
OPENAI = [
    Case("GET", "/v1/models", READS, others=NEUTRAL),
    Case("GET", f"/v1/models/{BASE_MODEL}", READS, others=NEUTRAL),
    Case("GET", "/v1/models/{path}", READS),
    Case("POST", "/v1/completions", WORKS, PROMPT | {"prompt": "a"}, NEUTRAL),
    Case("POST", "/v1/completions", WORKS, PROMPT | {"prompt": "a", "model": "{path}"}),
    Case("POST", "/v1/chat/completions", WORKS,
         PROMPT | {"messages": [{"role": "user", "content": "Hi"}]}, NEUTRAL),
    *(
        Case(method, "/v1/no/such/place", READS, answers=404)
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
]  # fmt: skip

# what ends things comes last, the key by which one asks at the very end
ENDINGS = [
    Case("PUT", f"{SAVED}/ttl", WORKS, {"ttl_seconds": 3600}),
    Case("POST", f"{SAVED}/publish", WORKS),
    Case("DELETE", f"{SAVED}/publish", WORKS),
    Case("DELETE", SAVED, WORKS),
    Case("POST", "/api/v1/sessions/{session}/finish", WORKS, {"reason": {"type": "success"}}),
    Case("DELETE", "/api/v1/auth/apikey/me", READS, others=NEUTRAL),
]
CASES = [*WIRE, *OPENAI, *ENDINGS]

# Routes for everybody, and an address for each: there is nothing of a team's to be had there
OPEN = {
    "api/v1/openapi.json": "/api/v1/openapi.json",
    "api/v1/healthz": "/api/v1/healthz",
    "api/v1/downloads/<str:signed>/<str:name>": "/api/v1/downloads/nonsense/adapter_config.json",
    "": "/",
    "docs/": "/docs/",
    "docs/search.json": "/docs/search.json",
    r"docs/^files/([\w./-]+)$": "/docs/files/nothing.svg",
    r"docs/^([\w-]+)\.md$": "/docs/roles.md",
    r"docs/^([\w-]+)\.py$": "/docs/first_fine_tune.py",
    r"docs/^([\w-]+)$": "/docs/roles",
    # the page of the dashboard: what it shows it asks for
    "sign-in": "/sign-in",
    "runs": "/runs",
    "runs/<path:rest>": "/runs/nonsense/charts",
    "checkpoints": "/checkpoints",
    "checkpoints/<path:rest>": "/checkpoints/nonsense",
    "sessions": "/sessions",
    "sessions/<path:rest>": "/sessions/nonsense",
    "team/usage": "/team/usage",
    "cluster": "/cluster",
    "training_runs/<path:rest>": "/training_runs/nonsense",
    "compare": "/compare",
    "api/console/openapi.json": "/api/console/openapi.json",
    "llms.txt": "/llms.txt",
    "llms-full.txt": "/llms-full.txt",
    "favicon.svg": "/favicon.svg",
    "favicon.ico": "/favicon.ico",
}

# Routes for administrators alone, and an address for each
ADMIN_MODELS = [
    "accounts/apikey",
    "accounts/team",
    "accounts/user",
    "audit/entry",
    "auth/group",
    "catalog/basemodel",
    "operations/worker",
]
ADMIN_PAGES = ["", "add/", *(f"<path:object_id>/{page}" for page in
               ("", "history/", "delete/", "change/"))]  # fmt: skip
ADMIN = {
    "admin/": "/admin/",
    "admin/logout/": "/admin/logout/",
    "admin/password_change/": "/admin/password_change/",
    "admin/password_change/done/": "/admin/password_change/done/",
    "admin/autocomplete/": "/admin/autocomplete/",
    "admin/jsi18n/": "/admin/jsi18n/",
    "admin/r/<path:content_type_id>/<path:object_id>/": "/admin/r/1/1/",
    "admin/accounts/user/<id>/password/": "/admin/accounts/user/{user}/password/",
    "admin/^(?P<app_label>auth|audit|accounts|catalog|operations)/$": "/admin/accounts/",
    "admin/(?P<url>.*)$": "/admin/no/such/place",
} | {
    f"admin/{model}/{page}": f"/admin/{model}/{page}".replace("<path:object_id>", f"{{{model}}}")
    for model in ADMIN_MODELS
    for page in ADMIN_PAGES
}  # fmt: skip
# What the dashboard reads, and an address for each; whoever is in a team reads all of the team's
_RUN = "api/console/runs/<str:run_id>"
CONSOLE = {
    "api/console/me": "/api/console/me",
    "api/console/runs": "/api/console/runs",
    "api/console/checkpoints": "/api/console/checkpoints",
    "api/console/cluster": "/api/console/cluster",
    "api/console/since": "/api/console/since",
    "api/console/usage": "/api/console/usage",
    "api/console/usage/runs": "/api/console/usage/runs",
    "api/console/usage/csv": "/api/console/usage/csv?by=day",
    "api/console/checkpoints/deleted": "/api/console/checkpoints/deleted",
    "api/console/compare": "/api/console/compare?run={run}&run={second}",
    "api/console/compare/series": "/api/console/compare/series?run={run}&run={second}&key=loss",
    "api/console/compare/prompts": "/api/console/compare/prompts?run={run}&run={second}",
    "api/console/lineage": "/api/console/lineage?run={run}",
    _RUN: "/api/console/runs/{run}",
    f"{_RUN}/checkpoints": "/api/console/runs/{run}/checkpoints",
    f"{_RUN}/batches": "/api/console/runs/{run}/batches",
    f"{_RUN}/batches/<int:step>": "/api/console/runs/{run}/batches/0",
    f"{_RUN}/datums/<int:datum_id>": "/api/console/runs/{run}/datums/{datum}",
    f"{_RUN}/examples": "/api/console/runs/{run}/examples",
    f"{_RUN}/metrics": "/api/console/runs/{run}/metrics",
    f"{_RUN}/series": "/api/console/runs/{run}/series?key=loss",
    f"{_RUN}/timeline": "/api/console/runs/{run}/timeline",
    f"{_RUN}/rollouts": "/api/console/runs/{run}/rollouts",
    f"{_RUN}/rollouts/<int:step>": "/api/console/runs/{run}/rollouts/0",
    f"{_RUN}/rollouts/<int:step>/<int:group>": "/api/console/runs/{run}/rollouts/0/0",
}
# What people change in their browser: whoever is signed in, with the token of a page of ours
CONSOLE_CHANGES = [
    Case("POST", "/api/console/checkpoints/archives", READS, {"path": "{path}"}),
    Case("POST", "/api/console/checkpoints/changes", WORKS,
         {"action": "ttl", "paths": ["{path}"], "ttl_seconds": 7200}),
    Case("POST", "/api/console/checkpoints/changes", WORKS,
         {"action": "publish", "paths": ["{path}"]}),
    Case("POST", "/api/console/checkpoints/changes", WORKS,
         {"action": "unpublish", "paths": ["{path}"]}),
    Case("POST", "/api/console/checkpoints/changes", WORKS,
         {"action": "delete", "paths": ["{path}"]}),
    Case("POST", "/api/console/checkpoints/deleted", WORKS,
         {"action": "restore", "ids": ["{checkpoint}"]}),
    Case("POST", "/api/console/since", READS, {"team": "team", "cursor": None}, answers=204),
]  # fmt: skip
# the ways in, for who is nobody yet; `tests/platform/accounts/test_sign_in.py` tries the first,
# `tests/platform/console_api/test_people.py` the others
SIGN_IN = {"admin/login/", "api/console/session", "sign-in/once/<str:token>"}

# A socket's route and the least role it takes; `tests/platform/live/test_socket.py` tries them all
SOCKETS: dict[str, Role] = {"api/console/live": Role.VIEWER}
