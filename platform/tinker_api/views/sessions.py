"""Start-up, sessions and telemetry: what a client calls before and beside its work."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from django.http import HttpResponse

from catalog import services as catalog
from core import health
from core.json_bodies import Answer, Id, Request, Text, told
from core.openapi import says
from runs import services as runs
from tinker_api import words
from tinker_api.endpoint import Call
from tinker_api.shapes import Nothing, ProjectId, check_projects


class SdkVersion(msgspec.Struct):
    """`client/config`: the first call, which must not fail for a newer client's extra fields."""

    sdk_version: Text | None = None


class CreateSession(Request):
    """`create_session`."""

    tags: Annotated[list[Text] | None, told("Words to find the session by.")] = None
    user_metadata: dict[str, Any] | None = None
    sdk_version: Text | None = None
    project_id: ProjectId | None = None
    display_name: Text | None = None

    def __post_init__(self) -> None:
        check_projects("project_id", self.project_id)


class SessionHeartbeat(Request):
    """`session_heartbeat`."""

    session_id: Id


class FinishReason(msgspec.Struct, forbid_unknown_fields=True):
    """Why a client ends its session."""

    type: Annotated[str, told("`success`, `errored` or `interrupted`.")]


class FinishSession(Request):
    """`sessions/{id}/finish`."""

    reason: FinishReason | None = None
    detail: Text | None = None


class Health(Answer):
    """The process answers."""

    status: Annotated[Literal["ok"], told("Always `ok`.")]


class ClientConfig(Answer):
    """How clients should behave; public clients read it first."""

    pjwt_auth_enabled: Annotated[
        bool, told("Clients may exchange their key for short-lived tokens.")
    ]
    credential_default_source: Annotated[
        str, told("What a client that was given no credential asks for.")
    ]
    parallel_fwdbwd_chunks: Annotated[bool, told("Send the chunks of a batch side by side.")]
    proto_compress_fwdbwd: Annotated[bool, told("Compress batches with zstd.")]
    fwdbwd_max_chunk_len: Annotated[int, told("Datums a chunk of a batch may have.")]
    fwdbwd_max_chunk_bytes_count: Annotated[int, told("Bytes a chunk of a batch may have.")]
    sample_use_retrieve_futures: Annotated[
        bool, told("Wait for all samples of a session with one poll.")
    ]
    sample_join_sampling_session: Annotated[
        bool, told("Ask for a number of one's own on a shared sampler.")
    ]
    custom_loss_server_side: Annotated[
        bool, told("Always false: custom losses are computed by the client.")
    ]
    proto_write_fwdbwd: Annotated[bool, told("Send batches as protobuf.")]
    fwd_via_fwdbwd: Annotated[
        bool, told("Ask `forward_backward` for passes without gradients, too.")
    ]
    create_model_via_load_weights: Annotated[
        bool, told("Make runs from checkpoints with `load_weights`.")
    ]


class DynamicConfig(Answer):
    """The part of the configuration that may change while a client runs."""

    refresh_interval_sec: Annotated[int, told("When to ask again.")]
    sample_cancel_enabled: Annotated[
        bool, told("Tell the server of samples that nobody waits for any more.")
    ]
    sample_cancel_max_batch_size: Annotated[int, told("How many to tell of at once.")]


class OfferedModel(Answer):
    """A base model on offer."""

    model_name: str
    max_context_length: int
    trainable: Annotated[bool, told("Whether runs can be made on it.")]
    sampleable: Annotated[bool, told("Whether it can be sampled from as it is.")]
    hidden_size: Annotated[
        int | None, told("The width of its layers; learning rates are chosen by it.")
    ]


class Capabilities(Answer):
    """What this server offers."""

    supported_models: Annotated[list[OfferedModel], told("The base models on offer.")]


class SessionCreated(Answer):
    """A new session."""

    type: Literal["create_session"]
    session_id: str


class HeartbeatTaken(Answer):
    """The session lives on."""

    type: Literal["session_heartbeat"]


class TelemetryTaken(Answer):
    """Taken, and dropped."""

    status: Annotated[Literal["accepted"], told("Always `accepted`.")]


# How public clients should behave. Chunks are sent side by side, because they are parked in order
# here; their size keeps one request's work near a single pass of the engine.
CLIENT_CONFIG = ClientConfig(
    pjwt_auth_enabled=True,
    credential_default_source="api_key",
    parallel_fwdbwd_chunks=True,
    proto_compress_fwdbwd=False,
    fwdbwd_max_chunk_len=1024,
    fwdbwd_max_chunk_bytes_count=5_000_000,
    sample_use_retrieve_futures=True,
    sample_join_sampling_session=True,
    custom_loss_server_side=False,
    # what releases between 0.18 and 0.36 did only where it was switched on
    proto_write_fwdbwd=True,
    fwd_via_fwdbwd=True,
    create_model_via_load_weights=True,
)
DYNAMIC_CONFIG = DynamicConfig(
    refresh_interval_sec=300,
    sample_cancel_enabled=True,
    sample_cancel_max_batch_size=64,
)


@says(gives=Health)
async def healthz(call: Call) -> HttpResponse:
    """Say that the process answers, or what is wrong."""
    return health.answer()


@says(takes=SdkVersion)
async def client_config(call: Call) -> ClientConfig:
    """How the client should behave; its first call, so also where a bad key shows."""
    call.json(SdkVersion)
    return CLIENT_CONFIG


@says(takes=SdkVersion)
async def dynamic_config(call: Call) -> DynamicConfig:
    """The part of the configuration that clients fetch again every few minutes."""
    call.json(SdkVersion)
    return DYNAMIC_CONFIG


async def server_capabilities(call: Call) -> Capabilities:
    """The base models on offer."""
    models = [
        OfferedModel(
            model_name=model.name,
            max_context_length=model.max_context_length,
            trainable=model.trainable,
            sampleable=model.sampleable,
            hidden_size=model.hidden_size,
        )
        for model in await catalog.offered_models()
    ]
    return Capabilities(supported_models=models)


@says(takes=CreateSession)
async def create_session(call: Call) -> SessionCreated:
    """Open a session for one client process."""
    wanted = call.json(CreateSession)
    session_id = await runs.create_session(
        actor=call.actor,
        tags=wanted.tags or [],
        user_metadata=wanted.user_metadata or {},
        sdk_version=wanted.sdk_version or "",
        project_id=wanted.project_id,
        display_name=wanted.display_name or "",
    )
    return SessionCreated(type="create_session", session_id=session_id)


@says(
    takes=SessionHeartbeat,
    more="A session that is not heard of for ten minutes expires.",
    also={410: ((), words.ENDED)},
)
async def session_heartbeat(call: Call) -> HeartbeatTaken:
    """Keep a session alive; 410 once it has ended, which stops the client's heartbeats."""
    wanted = call.json(SessionHeartbeat)
    await runs.heartbeat(actor=call.actor, session_id=wanted.session_id)
    return HeartbeatTaken(type="session_heartbeat")


@says(takes=FinishSession)
async def finish_session(call: Call, session_id: str) -> Nothing:
    """End a session; the first reason stands."""
    wanted = call.json(FinishSession)
    reason = wanted.reason.type if wanted.reason else "success"
    await runs.finish_session(
        actor=call.actor, session_id=session_id, reason=reason, detail=wanted.detail
    )
    return Nothing()


async def telemetry(call: Call) -> TelemetryTaken:
    """Accept what clients report about themselves, and drop it."""
    return TelemetryTaken(status="accepted")
