"""Every address of the wire protocol, below `/api/v1/`."""

from __future__ import annotations

from functools import partial

from django.http import HttpResponse
from django.urls import URLPattern, path, re_path

from accounts.models import Scope
from core.errors import NotFound
from core.words import misplaced
from tinker_api.endpoint import Call, endpoint
from tinker_api.views import (
    checkpoints,
    credentials,
    downloads,
    futures,
    histories,
    models,
    ordering,
    recordings,
    reports,
    runs,
    sampling,
    sessions,
    training,
)

app_name = "tinker_api"

CHECKPOINT = "training_runs/<str:run_id>/checkpoints/<str:segment>/<str:name>"

train = partial(endpoint, scope=Scope.TRAIN)
ordered = partial(train, on_refusal=ordering.say_place)
ordered_pass = partial(train, on_refusal=ordering.say_place_of_pass)
sample = partial(endpoint, scope=Scope.SAMPLE)


async def _nothing(call: Call, address: str) -> HttpResponse:
    hint = misplaced(f"/api/v1/{address}")
    raise NotFound(f"there is no /api/v1/{address}{hint and f'; {hint}'}")


# by what they are about; `openapi` says more of each group
GROUPS: dict[str, list[URLPattern]] = {
    "Start-up and sessions": [
        path("healthz", endpoint(get=sessions.healthz, open_to_all=True)),
        path("client/config", endpoint(post=sessions.client_config)),
        path("client/dynamic_config", endpoint(post=sessions.dynamic_config)),
        path("get_server_capabilities", endpoint(get=sessions.server_capabilities)),
        path("create_session", endpoint(post=sessions.create_session)),
        path("session_heartbeat", endpoint(post=sessions.session_heartbeat)),
        path("sessions/<str:session_id>/finish", endpoint(post=sessions.finish_session)),
        path("telemetry", endpoint(post=sessions.telemetry)),
        path("auth/token", endpoint(post=credentials.exchange)),
        path("auth/apikey/me", endpoint(get=credentials.show_key, delete=credentials.revoke_key)),
    ],
    "Training": [
        path("create_model", train(post=training.create_model)),
        path("get_info", endpoint(post=training.get_info)),
        path("forward_backward", ordered_pass(post=training.forward_backward)),
        path("forward", ordered_pass(post=training.forward)),
        path("create_custom_loss", train(post=training.create_custom_loss)),
        path("unload_model", train(post=training.unload_model)),
        path("optim_step", ordered(post=training.optim_step)),
        path("save_weights", ordered(post=training.save_weights)),
        path("load_weights", ordered(post=training.load_weights)),
        path("save_weights_for_sampler", ordered(post=training.save_weights_for_sampler)),
        path("save_weights_external", ordered(post=training.save_weights_external)),
    ],
    "Sampling": [
        path("create_sampling_session", sample(post=sampling.create_sampling_session)),
        path("samplers/<str:sampler_id>", endpoint(get=sampling.sampler)),
        path("join_sampling_session", sample(post=sampling.join_sampling_session)),
        path("asample", sample(post=sampling.asample)),
    ],
    "Results": [
        path("retrieve_future", endpoint(post=futures.retrieve_future)),
        path("retrieve_futures", endpoint(post=futures.retrieve_futures)),
        path("cancel_future", endpoint(post=futures.cancel_future)),
    ],
    "What there is": [
        path("models/<path:name>/tokenizer", endpoint(get=models.tokenizer)),
        path("training_runs", endpoint(get=runs.list_runs)),
        path("training_runs/<str:run_id>", endpoint(get=runs.show_run)),
        path(
            "training_runs/<str:run_id>/checkpoints", endpoint(get=checkpoints.list_run_checkpoints)
        ),
        path("checkpoints", endpoint(get=checkpoints.list_checkpoints)),
        path("weights_info", endpoint(post=checkpoints.weights_info)),
        path("sessions", endpoint(get=histories.list_sessions)),
        path("sessions/search", endpoint(post=histories.search)),
        path("sessions/<str:session_id>", endpoint(get=histories.show_session)),
        path("sessions/<str:session_id>/trace_export", endpoint(get=histories.trace_export)),
        path("sessions/<str:session_id>/project", train(put=histories.assign_project)),
    ],
    # whoever may only sample gets no weights and changes none
    "Checkpoints": [
        path(CHECKPOINT, train(delete=checkpoints.delete)),
        path(
            f"{CHECKPOINT}/publish", train(post=checkpoints.publish, delete=checkpoints.unpublish)
        ),
        path(f"{CHECKPOINT}/ttl", train(put=checkpoints.set_ttl)),
        path(f"{CHECKPOINT}/external_weights_urls", train(get=checkpoints.external_weights_urls)),
        path(f"{CHECKPOINT}/archive", train(get=checkpoints.archive)),
        path("copy_weights", train(post=checkpoints.copy)),
        path(
            "downloads/<str:signed>/<str:name>", endpoint(get=downloads.download, open_to_all=True)
        ),
    ],
    "Order": [
        path("runs/<str:run_id>/withdraw", train(post=ordering.withdraw)),
    ],
    "Recordings": [
        path(
            "runs/<str:run_id>/metrics",
            train(post=recordings.record_metrics, get=recordings.list_metrics),
        ),
        path(
            "runs/<str:run_id>/rollouts",
            train(post=recordings.record_rollouts, get=recordings.list_rollouts),
        ),
    ],
    "Reports": [
        path("audit", train(get=reports.audit_log)),
        path("billing/usage/events", train(get=reports.usage_events)),
        path("billing/usage/checkpoints/current", train(get=reports.checkpoint_storage)),
    ],
}

urlpatterns = [
    *(pattern for patterns in GROUPS.values() for pattern in patterns),
    re_path(
        "^(?P<address>.*)$",
        endpoint(get=_nothing, post=_nothing, put=_nothing, patch=_nothing, delete=_nothing),
    ),
]
