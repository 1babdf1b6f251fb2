"""The wire protocol's description, for `core.openapi`."""

from __future__ import annotations

from core.openapi import Api, route_of, served
from tinker_api import shapes
from tinker_api.urls import GROUPS, urlpatterns
from tinker_api.words import PARTS, WORDS

TAGS = {
    "Start-up and sessions": "What a program calls first, and while it lives.",
    "Training": "Operations on a training run, done in the order of their `seq_id`.",
    "Sampling": "Samplers, and samples asked of them.",
    "Results": "How a program waits for what it has asked for.",
    "What there is": "Listings of runs, checkpoints and sessions.",
    "Checkpoints": "What owners do to checkpoints, and downloads.",
    "Order": "Numbers of a run's requests that will not come. "
    "Tinsmith's own: public clients do not use this route.",
    "Recordings": "Metrics and rollouts that programs record about their runs. "
    "Tinsmith's own: public clients do not use these routes.",
    "Reports": "The audit log, and what was used.",
}

ROUTES = {
    tag: {route.key: route_of(route.view.handlers[route.method]) for route in served(patterns)}
    for tag, patterns in GROUPS.items()
}

API = Api(
    prefix="/api/v1/",
    patterns=urlpatterns,
    routes=ROUTES,
    parts=PARTS,
    words=WORDS,
    security={
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": "X-API-Key",
            "description": "an API key, `tml-…`, or a token from `auth/token`.",
        }
    },
    refusal=shapes.Refusal,
)
