"""Start-up, sessions and telemetry: what a client calls before and beside its work."""

from __future__ import annotations

from django.http import HttpResponse

from catalog import services as catalog
from core import health
from runs import services as runs
from tinker_api import schemas
from tinker_api.endpoint import Call, reply

# How public clients should behave. Chunks are sent side by side, because they are parked in order
# here; their size keeps one request's work near a single pass of the engine.
CLIENT_CONFIG = {
    "pjwt_auth_enabled": True,
    "credential_default_source": "api_key",
    "parallel_fwdbwd_chunks": True,
    "proto_compress_fwdbwd": False,
    "fwdbwd_max_chunk_len": 1024,
    "fwdbwd_max_chunk_bytes_count": 5_000_000,
    "sample_use_retrieve_futures": True,
    "sample_join_sampling_session": True,
    "custom_loss_server_side": False,
    # what releases between 0.18 and 0.36 did only where it was switched on
    "proto_write_fwdbwd": True,
    "fwd_via_fwdbwd": True,
    "create_model_via_load_weights": True,
}
DYNAMIC_CONFIG = {
    "refresh_interval_sec": 300,
    "sample_cancel_enabled": True,
    "sample_cancel_max_batch_size": 64,
}


async def healthz(call: Call) -> HttpResponse:
    """Say that the process answers, or what is wrong."""
    return health.answer()


async def client_config(call: Call) -> HttpResponse:
    """How the client should behave; its first call, so also where a bad key shows."""
    call.json(schemas.SdkVersion)
    return reply(CLIENT_CONFIG)


async def dynamic_config(call: Call) -> HttpResponse:
    """The part of the configuration that clients fetch again every few minutes."""
    call.json(schemas.SdkVersion)
    return reply(DYNAMIC_CONFIG)


async def server_capabilities(call: Call) -> HttpResponse:
    """The base models on offer."""
    models = [
        {
            "model_name": model.name,
            "max_context_length": model.max_context_length,
            "trainable": model.trainable,
            "sampleable": model.sampleable,
        }
        for model in await catalog.offered_models()
    ]
    return reply({"supported_models": models})


async def create_session(call: Call) -> HttpResponse:
    """Open a session for one client process."""
    wanted = call.json(schemas.CreateSession)
    session_id = await runs.create_session(
        actor=call.actor,
        tags=wanted.tags or [],
        user_metadata=wanted.user_metadata or {},
        sdk_version=wanted.sdk_version or "",
        project_id=wanted.project_id,
        display_name=wanted.display_name or "",
    )
    return reply({"type": "create_session", "session_id": session_id})


async def session_heartbeat(call: Call) -> HttpResponse:
    """Keep a session alive; 410 once it has ended, which stops the client's heartbeats."""
    wanted = call.json(schemas.SessionHeartbeat)
    await runs.heartbeat(actor=call.actor, session_id=wanted.session_id)
    return reply({"type": "session_heartbeat"})


async def finish_session(call: Call, session_id: str) -> HttpResponse:
    """End a session; the first reason stands."""
    wanted = call.json(schemas.FinishSession)
    reason = wanted.reason.type if wanted.reason else "success"
    await runs.finish_session(
        actor=call.actor, session_id=session_id, reason=reason, detail=wanted.detail
    )
    return reply({})


async def telemetry(call: Call) -> HttpResponse:
    """Accept what clients report about themselves, and drop it."""
    return reply({"status": "accepted"})
