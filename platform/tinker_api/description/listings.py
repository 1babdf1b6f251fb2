"""What the wire protocol's listings, reports and recordings answer, as Structs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from core.json_bodies import Answer, told
from tinker_api.description.answers import OptimizerFamily

Moment = Annotated[datetime, Meta(tz=True)]

# ---- runs and checkpoints


class Cursor(Answer):
    """Where a page stands in its listing."""

    offset: int
    limit: int
    total_count: int


class Checkpoint(Answer):
    """A checkpoint."""

    checkpoint_id: str
    checkpoint_type: Literal["training", "sampler", "external"]
    time: Moment
    tinker_path: str
    size_bytes: int
    public: bool
    user_metadata: dict[str, str] | None
    expires_at: Moment | None


class Checkpoints(Answer):
    """Checkpoints, newest first."""

    checkpoints: Annotated[list[Checkpoint], told("The checkpoints.")]
    cursor: Cursor | UnsetType = UNSET


class TrainingRun(Answer):
    """A training run."""

    training_run_id: Annotated[str, told("The run's id.")]
    base_model: str
    model_owner: str
    is_lora: bool
    lora_rank: int
    corrupted: bool
    last_request_time: Moment
    last_checkpoint: Annotated[Checkpoint | None, told("The newest with the optimizer's state.")]
    last_sampler_checkpoint: Annotated[Checkpoint | None, told("The newest for sampling.")]
    user_metadata: dict[str, str] | None


class TrainingRuns(Answer):
    """A page of training runs, newest first."""

    training_runs: Annotated[list[TrainingRun], told("The runs.")]
    cursor: Cursor


class WeightsInfo(Answer):
    """What a checkpoint holds."""

    base_model: str
    is_lora: bool
    lora_rank: int
    train_unembed: bool
    train_mlp: bool
    train_attn: bool
    optimizer_config: OptimizerFamily


class Copied(Answer):
    """The copy of a checkpoint."""

    tinker_path: str


class FileLinks(Answer):
    """Addresses of a checkpoint's files that need no key."""

    urls: dict[str, str]
    expires: Moment


class ArchiveLink(Answer):
    """The address of a checkpoint's tar file; it needs no key."""

    url: str
    expires: Moment


# ---- sessions


class Sessions(Answer):
    """A page of session ids, newest first."""

    sessions: Annotated[list[str], told("Their ids.")]


class Session(Answer):
    """What was made in a session."""

    training_run_ids: Annotated[list[str], told("The runs made in it.")]
    sampler_ids: Annotated[list[str], told("The samplers made in it.")]
    user_metadata: dict[str, str] | None
    display_name: str | None


class SessionReason(Answer):
    """Why a session ended."""

    type: Annotated[str, told("`success`, `errored`, `interrupted` or `training_run`.")]
    training_run_id: Annotated[
        str | UnsetType, told("The run whose failure ended the session.")
    ] = UNSET


class SessionStatus(Answer):
    """How a session stands; missing when it has not ended and has not been heard of lately."""

    type: Annotated[
        Literal["active", "cancelled", "client_finished", "failed"],
        told("`active`, or how it ended."),
    ]
    reason: SessionReason | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    category: Annotated[str | UnsetType, told("Whose fault a failure was.")] = UNSET
    message: Annotated[str | UnsetType, told("The failure in words.")] = UNSET


class FoundSession(Answer):
    """A session as a search shows it."""

    session_id: str
    created_at: Moment
    owner: str
    project_id: str
    checkpoints_count: Annotated[int, told("Checkpoints of its runs.")]
    checkpoint_storage_bytes: Annotated[int, told("What they take.")]
    display_name: str | None
    user_metadata: dict[str, str] | None
    status: SessionStatus | UnsetType = UNSET


class NextPage(Answer):
    """What to send as `cursor` for the next page."""

    last_created_at: Moment
    last_session_id: str


class FoundSessions(Answer):
    """A page of sessions, newest first."""

    sessions: Annotated[list[FoundSession], told("Those that fit.")]
    next_cursor: Annotated[
        NextPage | UnsetType, told("Send it as `cursor` for the next page; missing on the last.")
    ] = UNSET


class TraceLink(Answer):
    """Where a session's trace is; ui.perfetto.dev opens it."""

    status: Annotated[
        Literal["ready"], told("Always `ready`: a trace is written while it is downloaded.")
    ]
    url: str


# ---- reports


class AuditEntry(Answer):
    """Something that happened to the team's things."""

    timestamp: Annotated[Moment, told("When it happened.")]
    event: Annotated[str, told("What happened, e.g. `checkpoint_published`.")]
    event_details: Annotated[
        dict[str, Any], told("To what and by which key, and what else is known.")
    ]
    model_id: str | UnsetType = UNSET
    tinker_path: str | UnsetType = UNSET
    purpose: Annotated[str | UnsetType, told("What it was done for.")] = UNSET


class AuditLog(Answer):
    """One day of the audit log."""

    entries: Annotated[list[AuditEntry], told("What happened, in order.")]


class UsedWhat(Answer):
    """What was used: tokens, checkpoints made, or their storage."""

    type: Annotated[
        Literal["training", "sampling_prefill", "sampling_sample", "checkpoint", "storage"],
        told("The kind of use."),
    ]
    token_count: Annotated[int | UnsetType, told("Tokens.")] = UNSET
    cached: Annotated[bool | UnsetType, told("Whether the prompt was known already.")] = UNSET
    count: Annotated[int | UnsetType, told("Checkpoints.")] = UNSET
    gigabyte_hours: Annotated[
        float | UnsetType,
        told(
            "Gigabytes of 1,000,000,000 bytes, times the hours that checkpoints took "
            "them; of the hour that is now, so far."
        ),
    ] = UNSET
    free: Annotated[bool | UnsetType, told("False: no storage is free.")] = UNSET


class UsageEvent(Answer):
    """What a session used of one kind, or a project stored, in one hour."""

    bucket_start: Annotated[Moment, told("The hour's beginning.")]
    bucket_end: Annotated[Moment, told("The hour's end.")]
    base_model: str
    user_id: Annotated[str, told("The team.")]
    user_name: str
    session_id: Annotated[str | None, told("The session that used it; null for storage.")]
    project_id: str
    estimated_cost_usd: Annotated[
        float | None, told("Null when the catalog had no price, as for storage.")
    ]
    effective_rate_usd_per_million_tokens: Annotated[
        float | None, told("The price at the time of use.")
    ]
    event_info: Annotated[UsedWhat, told("What was used.")]


class UsageSession(Answer):
    """A session that used something."""

    user_metadata: dict[str, str] | None


class Usage(Answer):
    """What the team has used and stored, hour by hour."""

    data: Annotated[
        list[UsageEvent],
        told(
            "A row for each hour, session and kind; of storage for each hour, project and base "
            "model."
        ),
    ]
    sessions: Annotated[
        dict[str, UsageSession], told("The sessions that the rows speak of, by their ids.")
    ]


class StoredCheckpoints(Answer):
    """What a project's checkpoints take."""

    project_id: str
    org_user_urn: Annotated[str, told("The team.")]
    user_name: str
    checkpoint_count: Annotated[int, told("How many there are.")]
    size_bytes: int
    size_gigabytes: Annotated[float, told("The same in gigabytes of 1,000,000,000 bytes.")]


class CheckpointStorage(Answer):
    """What the team's checkpoints take now."""

    data: Annotated[list[StoredCheckpoints], told("A row for each project.")]


# ---- recordings


class Recorded(Answer):
    """How many rows were kept."""

    recorded: Annotated[int, told("Rows; one that was there already counts again.")]
    escaped: Annotated[
        list[int] | UnsetType,
        told("Places of rows with NUL characters, which are kept as `\\u0000`; if there are."),
    ] = UNSET
    detail: Annotated[str | UnsetType, told("The same in words.")] = UNSET


class RecordedMetric(Answer):
    """A number of a step."""

    key: str
    step: int
    value: float | Literal["nan", "inf", "-inf"]
    time: Moment


class RecordedMetrics(Answer):
    """Numbers in the order they came."""

    metrics: Annotated[list[RecordedMetric], told("The numbers.")]
    cursor: Annotated[int, told("Send it as `after` for those that come later.")]


class RecordedRollout(Answer):
    """An episode."""

    step: int
    group: int
    index: int
    prompt: str | None
    completion: str | None
    prompt_tokens: list[int] | None
    completion_tokens: list[int] | None
    reward: float | Literal["nan", "inf", "-inf"] | None
    data: dict[str, Any]
    time: Moment


class RecordedRollouts(Answer):
    """A page of episodes by step, group and index."""

    rollouts: Annotated[list[RecordedRollout], told("The episodes.")]
    total_count: int
