"""The team's audit log and what it has used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from django.http import HttpResponse

from accounts.tokens import team_urn
from audit import services as audit
from audit.services import Recorded
from core.errors import BadRequest
from tinker_api import queries
from tinker_api.endpoint import Call, reply
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


async def audit_log(call: Call) -> HttpResponse:
    """What happened to the team's things on one day."""
    group = queries.choice(call, "event_type", ("all", *audit.GROUPS), "all")
    found = await audit.list_day(
        team_id=call.actor.team_id,
        day=queries.day(call, "day"),
        group=None if group == "all" else group,
    )
    return reply({"entries": [_entry(item) for item in found]})


def _entry(item: Recorded) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "timestamp": item.created_at,
        "event": item.event.replace(".", "_"),
        "event_details": {
            **item.details,
            "target": item.target,
            "key_id": item.key_id,
            "user_id": item.user_id,
        },
    }
    if item.target.startswith(_CHECKPOINT_SCHEME):
        run_id = item.target.removeprefix(_CHECKPOINT_SCHEME).partition("/")[0]
        shown |= {"model_id": run_id, "tinker_path": item.target}
    if "purpose" in item.details:
        shown["purpose"] = item.details["purpose"]
    return shown


async def usage_events(call: Call) -> HttpResponse:
    """What the team has used and stored, hour by hour."""
    start, end = queries.hour(call, "starting_on"), queries.hour(call, "ending_before")
    if start > datetime.now(UTC):
        raise BadRequest("starting_on lies in the future")
    if not HOUR <= end - start <= LONGEST_WINDOW:
        raise BadRequest("ending_before must be from 1 hour to 14 days after starting_on")
    found = await usage.hourly(team_id=call.actor.team_id, start=start, end=end)
    stored = await storage.hourly(team_id=call.actor.team_id, start=start, end=end)
    sessions = {item.session_id: {"user_metadata": item.user_metadata or None} for item in found}
    events = [*(_used(item, call) for item in found), *(_stored(item, call) for item in stored)]
    events.sort(key=itemgetter("bucket_start"))
    return reply({"data": events, "sessions": sessions})


def _event(item: Bucket | StoredHour, call: Call) -> dict[str, Any]:
    return {
        "bucket_start": item.start,
        "bucket_end": item.start + HOUR,
        "base_model": item.base_model,
        "user_id": team_urn(call.actor.team_id),
        "user_name": call.actor.team_name,
        "session_id": None,
        "project_id": item.project_id,
        "estimated_cost_usd": None,
        "effective_rate_usd_per_million_tokens": None,
    }


def _used(item: Bucket, call: Call) -> dict[str, Any]:
    cost = None if item.price is None else float(item.price * item.quantity / 1_000_000)
    return _event(item, call) | {
        "session_id": item.session_id,
        "estimated_cost_usd": cost,
        "effective_rate_usd_per_million_tokens": None if item.price is None else float(item.price),
        "event_info": _event_info(item),
    }


def _stored(item: StoredHour, call: Call) -> dict[str, Any]:
    """Storage is the project's: checkpoints outlive their sessions. It has no price here."""
    hours = float(item.byte_seconds / SECONDS_PER_HOUR / BYTES_PER_GIGABYTE)
    return _event(item, call) | {
        "event_info": {"type": "storage", "gigabyte_hours": hours, "free": False}
    }


def _event_info(item: Bucket) -> dict[str, Any]:
    if item.kind == Kind.CHECKPOINT:
        return {"type": "checkpoint", "count": item.quantity}
    if item.kind in (Kind.PREFILL, Kind.PREFILL_CACHED):
        cached = item.kind == Kind.PREFILL_CACHED
        return {"type": "sampling_prefill", "cached": cached, "token_count": item.quantity}
    kind = "sampling_sample" if item.kind == Kind.SAMPLE else "training"
    return {"type": kind, "token_count": item.quantity}


async def checkpoint_storage(call: Call) -> HttpResponse:
    """How much the team's checkpoints take now, by project."""
    found = await storage.now(team_id=call.actor.team_id, project_id=queries.project(call))
    data = [
        {
            "project_id": item.project_id,
            "org_user_urn": team_urn(call.actor.team_id),
            "user_name": call.actor.team_name,
            "checkpoint_count": item.checkpoint_count,
            "size_bytes": item.size_bytes,
            "size_gigabytes": item.size_bytes / BYTES_PER_GIGABYTE,
        }
        for item in found
    ]
    return reply({"data": data})
