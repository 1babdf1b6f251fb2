"""What was used, what it costs, and who did what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from tinsmith._words.mistakes import Struct

AuditEventType = Literal["all", "checkpoints", "projects", "teams", "organizations"]
AccessScope = Literal["owned", "accessible"]


class AuditLogEntry(Struct, frozen=True, kw_only=True):
    """Something that was done, e.g. ``checkpoint.published``."""

    timestamp: datetime
    event: str
    event_details: dict[str, Any] = {}
    model_id: str | None = None
    tinker_path: str | None = None
    purpose: str | None = None


class AuditLogResponse(Struct, frozen=True, kw_only=True):
    """The audit log of a day, or of the days that are kept."""

    entries: list[AuditLogEntry]


class _Billed(Struct, frozen=True, kw_only=True, tag_field="type"):
    """What an event of usage was."""


class TrainingBillingEvent(_Billed, frozen=True, kw_only=True, tag="training"):
    """Tokens trained on."""

    type: ClassVar[str] = "training"
    token_count: int


class SamplingPrefillBillingEvent(_Billed, frozen=True, kw_only=True, tag="sampling_prefill"):
    """Prompt tokens read, or found in the cache."""

    type: ClassVar[str] = "sampling_prefill"
    cached: bool
    token_count: int


class SamplingSampleBillingEvent(_Billed, frozen=True, kw_only=True, tag="sampling_sample"):
    """Tokens drawn."""

    type: ClassVar[str] = "sampling_sample"
    token_count: int


class CheckpointBillingEvent(_Billed, frozen=True, kw_only=True, tag="checkpoint"):
    """Checkpoints saved."""

    type: ClassVar[str] = "checkpoint"
    count: int


class StorageBillingEvent(_Billed, frozen=True, kw_only=True, tag="storage"):
    """Checkpoints kept: gigabytes of 1,000,000,000 bytes, times hours."""

    type: ClassVar[str] = "storage"
    gigabyte_hours: float
    free: bool = False


BillingEventInfo = (
    TrainingBillingEvent
    | SamplingPrefillBillingEvent
    | SamplingSampleBillingEvent
    | CheckpointBillingEvent
    | StorageBillingEvent
)


class BillingUsageEvent(Struct, frozen=True, kw_only=True):
    """Usage of one kind in one stretch of time."""

    bucket_start: datetime
    bucket_end: datetime
    event_info: BillingEventInfo
    base_model: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    session_id: str | None = None
    project_id: str | None = None
    estimated_cost_usd: float | None = None
    effective_rate_usd_per_million_tokens: float | None = None
    effective_rate_usd_per_gigabyte_month: float | None = None


class BillingUsageSession(Struct, frozen=True, kw_only=True):
    """What a session in a usage report is."""

    user_metadata: dict[str, str] | None = None


class BillingUsageResponse(Struct, frozen=True, kw_only=True):
    """Usage between two times; ``cost_data_through`` is how far costs are known."""

    data: list[BillingUsageEvent]
    sessions: dict[str, BillingUsageSession] = {}
    cost_data_through: datetime | None = None


class CurrentCheckpointStorageUsageItem(Struct, frozen=True, kw_only=True):
    """Checkpoints kept now, of one project and user."""

    checkpoint_count: int
    size_bytes: int
    size_gigabytes: float
    project_id: str | None = None
    org_user_urn: str | None = None
    user_email: str | None = None
    user_name: str | None = None
    estimated_monthly_cost_usd: float | None = None


class CurrentCheckpointStorageUsageResponse(Struct, frozen=True, kw_only=True):
    """All checkpoints kept now."""

    data: list[CurrentCheckpointStorageUsageItem]
    effective_rate_usd_per_gigabyte_month: float | None = None
