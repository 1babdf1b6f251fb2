"""What the wire protocol's routes answer, as Structs. The views write these shapes as plain
dicts; the tests of this description hold real answers against them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, UnsetType

from core.json_bodies import Answer, told
from operations.bodies import TensorData


class Refusal(Answer):
    """Why a request was refused, in words meant for its user."""

    detail: str


class Nothing(Answer):
    """An empty object."""


# ---- start-up, sessions, keys


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


class Token(Answer):
    """A token that stands for an API key."""

    jwt: Annotated[str, told("Send it instead of the key. It lasts 15 minutes.")]


class KeyTeam(Answer):
    """The team that a key belongs to."""

    name: Annotated[str, told("The team's name.")]


class KeyUser(Answer):
    """Always empty: keys belong to teams."""

    email: Annotated[str, told("Always empty.")]


class KeyDetails(Answer):
    """Whose key it is."""

    org_details: Annotated[KeyTeam, told("The team.")]
    user_details: Annotated[KeyUser, told("Nobody.")]


class Key(Answer):
    """What is known of an API key."""

    key_id: Annotated[int, told("The key's number.")]
    name: Annotated[str, told("What the key is called.")]
    note: Annotated[str, told("Always empty.")]
    details: Annotated[KeyDetails, told("Whose key it is.")]


# ---- operations and their results


class Future(Answer):
    """The future of an operation on a run; `retrieve_future` takes its request id."""

    request_id: str
    model_id: str | None


class SampleFuture(Answer):
    """The future of a sample."""

    request_id: str
    sample_sequence_ids: Annotated[
        list[str], told("Name each sequence, so that training data can say what it is from.")
    ]


class Waiting(Answer):
    """There is no result yet; ask again."""

    queue_state: Annotated[
        Literal["active", "paused_capacity", "paused_rate_limit"],
        told(
            "`active`: workers are at it; `paused_capacity`: no worker serves the model "
            "at the moment, or a request before it has not come; `paused_rate_limit`: others come "
            "first."
        ),
    ]
    queue_state_reason: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class Failure(Answer):
    """An operation failed."""

    error: Annotated[str, told("What went wrong, and what is allowed.")]
    category: Annotated[Literal["user", "server", "unknown"], told("Whose fault it is.")]


class RunUnloaded(Answer):
    """The result of `unload_model`."""

    type: Literal["unload_model"]
    model_id: str


class ResultSize(Answer):
    """There is a result, and it is large: ask again without `allow_metadata_only`."""

    status: Annotated[Literal["complete_metadata"], told("Always `complete_metadata`.")]
    response_payload_size: Annotated[int, told("The result's size in bytes.")]


class OldPassResult(Answer):
    """A pass's result as JSON, for clients that do not accept protobuf."""

    loss_fn_output_type: Annotated[str, told("What kind of output it is.")]
    loss_fn_outputs: Annotated[
        list[dict[str, TensorData]], told("For each datum its tensors by name, e.g. `logprobs`.")
    ]
    metrics: Annotated[
        dict[str, float | None], told("`name:reduction` to number; null: not finite.")
    ]


class OldSequence(Answer):
    """A sampled sequence."""

    stop_reason: Annotated[Literal["stop", "length"], told("Why it ended.")]
    tokens: list[int]
    logprobs: Annotated[
        list[float | None], told("The log-probability of each token; null: not finite.")
    ]
    topk_logprobs: Annotated[
        list[list[tuple[int, float]] | None] | UnsetType,
        told("The likeliest tokens at each place, with their log-probabilities."),
    ] = UNSET


class OldAltTokens(Answer):
    """Other tokens drawn at every place of the prompt."""

    tokens: Annotated[TensorData, told("The tokens.")]
    logprobs: Annotated[TensorData, told("Their log-probabilities.")]


class OldSampleResult(Answer):
    """A sample's result as JSON, for clients that do not accept protobuf."""

    type: Literal["sample"]
    sequences: Annotated[list[OldSequence], told("The samples.")]
    prompt_logprobs: Annotated[
        list[float | None] | UnsetType,
        told("The log-probability of each token of the prompt; null: none."),
    ] = UNSET
    topk_prompt_logprobs: Annotated[
        list[list[tuple[int, float]] | None] | UnsetType,
        told("The likeliest tokens at each place of the prompt."),
    ] = UNSET
    target_prompt_logprobs: Annotated[
        TensorData | UnsetType, told("The log-probabilities of the tokens asked for.")
    ] = UNSET
    prompt_alt_tokens: Annotated[OldAltTokens | UnsetType, told("The tokens drawn.")] = UNSET


class EndedSample(Answer):
    """A sample that has ended."""

    state: Annotated[Literal["finished", "failed"], told("How it ended.")]
    request_id: str
    response_payload_uncompressed_size: Annotated[
        int | UnsetType, told("The result's size in bytes.")
    ] = UNSET


class Completions(Answer):
    """Samples that have ended since the cursor."""

    completions: Annotated[
        list[EndedSample], told("Which samples; `retrieve_future` gives each result.")
    ]
    cursor: Annotated[int, told("Send it as `prev_cursor` for those that end later.")]
    queue_state: Annotated[
        Literal["paused_capacity"] | UnsetType,
        told("Only where nothing ends because no worker serves the model."),
    ] = UNSET
    queue_state_reason: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class Cancelled(Answer):
    """Whether the sample was given up."""

    request_id: str
    cancelled: Annotated[bool, told("False: it had ended already, or is not to be given up.")]


class Withdrawn(Answer):
    """Which of the numbers were not given up."""

    standing: Annotated[list[int], told("Numbers whose requests had come and may have been begun.")]


class Joined(Answer):
    """A client's own number on a shared sampler."""

    client_counter: Annotated[int, told("The number, from 1.")]


class OptimizerFamily(Answer):
    """The optimizer of a run."""

    type: Annotated[Literal["adamw"], told("Always `adamw`.")]


class ModelData(Answer):
    """A run's base model."""

    arch: Annotated[str, told("The architecture.")]
    model_name: str
    tokenizer_id: str


class RunInfo(Answer):
    """What a training run is."""

    type: Literal["get_info"]
    model_id: str
    model_data: Annotated[ModelData, told("The base model.")]
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

    sampler_id: Annotated[str, told("The sampler's id.")]
    base_model: str
    model_path: str | UnsetType = UNSET


class Tokenizer(Answer):
    """A tokenizer's files, as text."""

    tokenizer_id: str
    files: Annotated[dict[str, str], told("The text of each file, by its name.")]
