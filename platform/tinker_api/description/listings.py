"""What the wire protocol's listings, reports and recordings answer, as Structs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from core.json_bodies import Answer
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

    checkpoints: list[Checkpoint]
    cursor: Cursor | UnsetType = UNSET


class TrainingRun(Answer):
    """A training run."""

    training_run_id: str
    base_model: str
    model_owner: str
    is_lora: bool
    lora_rank: int
    corrupted: bool
    last_request_time: Moment
    last_checkpoint: Checkpoint | None
    last_sampler_checkpoint: Checkpoint | None
    user_metadata: dict[str, str] | None


class TrainingRuns(Answer):
    """A page of training runs, newest first."""

    training_runs: list[TrainingRun]
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

    sessions: list[str]


class Session(Answer):
    """What was made in a session."""

    training_run_ids: list[str]
    sampler_ids: list[str]
    user_metadata: dict[str, str] | None
    display_name: str | None


class SessionReason(Answer):
    """Why a session ended."""

    type: str
    training_run_id: str | UnsetType = UNSET


class SessionStatus(Answer):
    """How a session stands; missing when it has not ended and has not been heard of lately."""

    type: Literal["active", "cancelled", "client_finished", "failed"]
    reason: SessionReason | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class FoundSession(Answer):
    """A session as a search shows it."""

    session_id: str
    created_at: Moment
    owner: str
    project_id: str
    checkpoints_count: int
    checkpoint_storage_bytes: int
    display_name: str | None
    user_metadata: dict[str, str] | None
    status: SessionStatus | UnsetType = UNSET


class NextPage(Answer):
    """What to send as `cursor` for the next page."""

    last_created_at: Moment
    last_session_id: str


class FoundSessions(Answer):
    """A page of sessions, newest first."""

    sessions: list[FoundSession]
    next_cursor: NextPage | UnsetType = UNSET


class TraceLink(Answer):
    """Where a session's trace is; ui.perfetto.dev opens it."""

    status: Literal["ready"]
    url: str


# ---- reports


class AuditEntry(Answer):
    """Something that happened to the team's things."""

    timestamp: Moment
    event: str
    event_details: dict[str, Any]
    model_id: str | UnsetType = UNSET
    tinker_path: str | UnsetType = UNSET
    purpose: str | UnsetType = UNSET


class AuditLog(Answer):
    """One day of the audit log."""

    entries: list[AuditEntry]


class UsedWhat(Answer):
    """What was used: tokens, checkpoints made, or their storage."""

    type: Literal["training", "sampling_prefill", "sampling_sample", "checkpoint", "storage"]
    token_count: int | UnsetType = UNSET
    cached: bool | UnsetType = UNSET
    count: int | UnsetType = UNSET
    gigabyte_hours: float | UnsetType = UNSET
    free: bool | UnsetType = UNSET


class UsageEvent(Answer):
    """What a session used of one kind, or a project stored, in one hour."""

    bucket_start: Moment
    bucket_end: Moment
    base_model: str
    user_id: str
    user_name: str
    session_id: str | None
    project_id: str
    estimated_cost_usd: float | None
    effective_rate_usd_per_million_tokens: float | None
    event_info: UsedWhat


class UsageSession(Answer):
    """A session that used something."""

    user_metadata: dict[str, str] | None


class Usage(Answer):
    """What the team has used and stored, hour by hour."""

    data: list[UsageEvent]
    sessions: dict[str, UsageSession]


class StoredCheckpoints(Answer):
    """What a project's checkpoints take."""

    project_id: str
    org_user_urn: str
    user_name: str
    checkpoint_count: int
    size_bytes: int
    size_gigabytes: float


class CheckpointStorage(Answer):
    """What the team's checkpoints take now."""

    data: list[StoredCheckpoints]


# ---- recordings


class Recorded(Answer):
    """How many rows were kept."""

    recorded: int
    escaped: list[int] | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class RecordedMetric(Answer):
    """A number of a step."""

    key: str
    step: int
    value: float | Literal["nan", "inf", "-inf"]
    time: Moment


class RecordedMetrics(Answer):
    """Numbers in the order they came."""

    metrics: list[RecordedMetric]
    cursor: int


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

    rollouts: list[RecordedRollout]
    total_count: int
