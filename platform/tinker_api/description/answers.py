"""What the wire protocol's routes answer, as Structs. The views write these shapes as plain
dicts; the tests of this description hold real answers against them."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from core.json_bodies import Answer
from operations.bodies import TensorData


class Refusal(Answer):
    """Why a request was refused, in words meant for its user."""

    detail: str


class Nothing(Answer):
    """An empty object."""


# ---- start-up, sessions, keys


class Health(Answer):
    """The process answers."""

    status: Literal["ok"]


class ClientConfig(Answer):
    """How clients should behave; public clients read it first."""

    pjwt_auth_enabled: bool
    credential_default_source: str
    parallel_fwdbwd_chunks: bool
    proto_compress_fwdbwd: bool
    fwdbwd_max_chunk_len: int
    fwdbwd_max_chunk_bytes_count: int
    sample_use_retrieve_futures: bool
    sample_join_sampling_session: bool
    custom_loss_server_side: bool
    proto_write_fwdbwd: bool
    fwd_via_fwdbwd: bool
    create_model_via_load_weights: bool


class DynamicConfig(Answer):
    """The part of the configuration that may change while a client runs."""

    refresh_interval_sec: int
    sample_cancel_enabled: bool
    sample_cancel_max_batch_size: int


class OfferedModel(Answer):
    """A base model on offer."""

    model_name: str
    max_context_length: int
    trainable: bool
    sampleable: bool


class Capabilities(Answer):
    """What this server offers."""

    supported_models: list[OfferedModel]


class SessionCreated(Answer):
    """A new session."""

    type: Literal["create_session"]
    session_id: str


class HeartbeatTaken(Answer):
    """The session lives on."""

    type: Literal["session_heartbeat"]


class TelemetryTaken(Answer):
    """Taken, and dropped."""

    status: Literal["accepted"]


class Token(Answer):
    """A token that stands for an API key."""

    jwt: str


class KeyTeam(Answer):
    """The team that a key belongs to."""

    name: str


class KeyUser(Answer):
    """Always empty: keys belong to teams."""

    email: str


class KeyDetails(Answer):
    """Whose key it is."""

    org_details: KeyTeam
    user_details: KeyUser


class Key(Answer):
    """What is known of an API key."""

    key_id: int
    name: str
    note: str
    details: KeyDetails


# ---- operations and their results


class Future(Answer):
    """The future of an operation on a run; `retrieve_future` takes its request id."""

    request_id: str
    model_id: str | None


class SampleFuture(Answer):
    """The future of a sample."""

    request_id: str
    sample_sequence_ids: list[str]


class Waiting(Answer):
    """There is no result yet; ask again."""

    queue_state: Literal["active", "paused_capacity", "paused_rate_limit"]
    queue_state_reason: str | UnsetType = UNSET


class Failure(Answer):
    """An operation failed."""

    error: str
    category: Literal["user", "server", "unknown"]


class RunUnloaded(Answer):
    """The result of `unload_model`."""

    type: Literal["unload_model"]
    model_id: str


class ResultSize(Answer):
    """There is a result, and it is large: ask again without `allow_metadata_only`."""

    status: Literal["complete_metadata"]
    response_payload_size: int


class OldPassResult(Answer):
    """A pass's result as JSON, for clients that do not accept protobuf."""

    loss_fn_output_type: str
    loss_fn_outputs: list[dict[str, TensorData]]
    metrics: dict[str, float | None]


class OldSequence(Answer):
    """A sampled sequence."""

    stop_reason: Literal["stop", "length"]
    tokens: list[int]
    logprobs: list[float | None]
    topk_logprobs: list[list[tuple[int, float]] | None] | UnsetType = UNSET


class OldAltTokens(Answer):
    """Other tokens drawn at every place of the prompt."""

    tokens: TensorData
    logprobs: TensorData


class OldSampleResult(Answer):
    """A sample's result as JSON, for clients that do not accept protobuf."""

    type: Literal["sample"]
    sequences: list[OldSequence]
    prompt_logprobs: list[float | None] | UnsetType = UNSET
    topk_prompt_logprobs: list[list[tuple[int, float]] | None] | UnsetType = UNSET
    target_prompt_logprobs: TensorData | UnsetType = UNSET
    prompt_alt_tokens: OldAltTokens | UnsetType = UNSET


class EndedSample(Answer):
    """A sample that has ended."""

    state: Literal["finished", "failed"]
    request_id: str
    response_payload_uncompressed_size: int | UnsetType = UNSET


class Completions(Answer):
    """Samples that have ended since the cursor."""

    completions: list[EndedSample]
    cursor: int
    queue_state: Literal["paused_capacity"] | UnsetType = UNSET
    queue_state_reason: str | UnsetType = UNSET


class Cancelled(Answer):
    """Whether the sample was given up."""

    request_id: str
    cancelled: bool


class Withdrawn(Answer):
    """Which of the numbers were not given up."""

    standing: list[int]


class Joined(Answer):
    """A client's own number on a shared sampler."""

    client_counter: int


class OptimizerFamily(Answer):
    """The optimizer of a run."""

    type: Literal["adamw"]


class ModelData(Answer):
    """A run's base model."""

    arch: str
    model_name: str
    tokenizer_id: str


class RunInfo(Answer):
    """What a training run is."""

    type: Literal["get_info"]
    model_id: str
    model_data: ModelData
    is_lora: bool
    lora_rank: int
    model_name: str
    optimizer_config: OptimizerFamily


class SamplerCreated(Answer):
    """A new sampler."""

    type: Literal["create_sampling_session"]
    sampling_session_id: str


class Sampler(Answer):
    """What a sampler samples from."""

    sampler_id: str
    base_model: str
    model_path: str | UnsetType = UNSET


class Tokenizer(Answer):
    """A tokenizer's files, as text."""

    tokenizer_id: str
    files: dict[str, str]
