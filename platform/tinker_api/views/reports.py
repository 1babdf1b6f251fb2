"""The team's audit log and what it has used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from accounts.tokens import team_urn
from audit import services as audit
from audit.services import Recorded
from core.errors import BadRequest
from core.json_bodies import Answer, told
from core.openapi import Given, says
from tinker_api import queries, shapes
from tinker_api.endpoint import Call
from tinker_api.shapes import Moment
from usage import services as usage
from usage import storage
from usage.models import Kind
from usage.services import Bucket
from usage.storage import StoredHour

LONGEST_WINDOW = timedelta(days=14)
HOUR = timedelta(hours=1)
SECONDS_PER_HOUR = 3600
BYTES_PER_GIGABYTE = 1_000_000_000
_CHECKPOINT_SCHEME = "tinker://"


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


@says(
    given=(
        Given(
            "event_type",
            Literal[("all", *audit.GROUPS)],
            "Only events of this group.",
        ),
        Given("day", date, "The day in UTC; today unless given."),
    )
)
async def audit_log(call: Call) -> AuditLog:
    """What happened to the team's things on one day."""
    group = queries.choice(call, "event_type", ("all", *audit.GROUPS), "all")
    found = await audit.list_day(
        team_id=call.actor.team_id,
        day=queries.day(call, "day"),
        group=None if group == "all" else group,
    )
    return AuditLog(entries=[_entry(item) for item in found])


def _entry(item: Recorded) -> AuditEntry:
    shown = AuditEntry(
        timestamp=item.created_at,
        event=item.event.replace(".", "_"),
        event_details={
            **item.details,
            "target": item.target,
            "key_id": item.key_id,
            "user_id": item.user_id,
        },
        purpose=item.details.get("purpose", UNSET),
    )
    if item.target.startswith(_CHECKPOINT_SCHEME):
        run_id = item.target.removeprefix(_CHECKPOINT_SCHEME).partition("/")[0]
        shown.model_id, shown.tinker_path = run_id, item.target
    return shown


@says(
    given=(
        Given("starting_on", shapes.Moment, "A full hour.", required=True),
        Given(
            "ending_before",
            shapes.Moment,
            "A full hour, from 1 hour to 14 days after `starting_on`.",
            required=True,
        ),
    )
)
async def usage_events(call: Call) -> Usage:
    """What the team has used and stored, hour by hour."""
    start, end = queries.hour(call, "starting_on"), queries.hour(call, "ending_before")
    if start > datetime.now(UTC):
        raise BadRequest("starting_on lies in the future")
    if not HOUR <= end - start <= LONGEST_WINDOW:
        raise BadRequest("ending_before must be from 1 hour to 14 days after starting_on")
    found = await usage.hourly(team_id=call.actor.team_id, start=start, end=end)
    stored = await storage.hourly(team_id=call.actor.team_id, start=start, end=end)
    sessions = {
        item.session_id: UsageSession(user_metadata=item.user_metadata or None) for item in found
    }
    events = [*(_used(item, call) for item in found), *(_stored(item, call) for item in stored)]
    events.sort(key=attrgetter("bucket_start"))
    return Usage(data=events, sessions=sessions)


def _event(item: Bucket | StoredHour, call: Call, what: UsedWhat) -> UsageEvent:
    return UsageEvent(
        bucket_start=item.start,
        bucket_end=item.start + HOUR,
        base_model=item.base_model,
        user_id=team_urn(call.actor.team_id),
        user_name=call.actor.team_name,
        session_id=None,
        project_id=item.project_id,
        estimated_cost_usd=None,
        effective_rate_usd_per_million_tokens=None,
        event_info=what,
    )


def _used(item: Bucket, call: Call) -> UsageEvent:
    shown = _event(item, call, _used_what(item))
    shown.session_id = item.session_id
    if item.price is not None:
        shown.estimated_cost_usd = float(item.price * item.quantity / 1_000_000)
        shown.effective_rate_usd_per_million_tokens = float(item.price)
    return shown


def _stored(item: StoredHour, call: Call) -> UsageEvent:
    """Storage is the project's: checkpoints outlive their sessions. It has no price here."""
    hours = float(item.byte_seconds / SECONDS_PER_HOUR / BYTES_PER_GIGABYTE)
    return _event(item, call, UsedWhat(type="storage", gigabyte_hours=hours, free=False))


def _used_what(item: Bucket) -> UsedWhat:
    if item.kind == Kind.CHECKPOINT:
        return UsedWhat(type="checkpoint", count=item.quantity)
    if item.kind in (Kind.PREFILL, Kind.PREFILL_CACHED):
        cached = item.kind == Kind.PREFILL_CACHED
        return UsedWhat(type="sampling_prefill", cached=cached, token_count=item.quantity)
    sampled = item.kind == Kind.SAMPLE
    return UsedWhat(type="sampling_sample" if sampled else "training", token_count=item.quantity)


@says(given=(queries.PROJECT,))
async def checkpoint_storage(call: Call) -> CheckpointStorage:
    """How much the team's checkpoints take now, by project."""
    found = await storage.now(team_id=call.actor.team_id, project_id=queries.project(call))
    return CheckpointStorage(
        data=[
            StoredCheckpoints(
                project_id=item.project_id,
                org_user_urn=team_urn(call.actor.team_id),
                user_name=call.actor.team_name,
                checkpoint_count=item.checkpoint_count,
                size_bytes=item.size_bytes,
                size_gigabytes=item.size_bytes / BYTES_PER_GIGABYTE,
            )
            for item in found
        ]
    )
