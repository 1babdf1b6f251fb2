"""Sessions as listings and searches, and the trace of what happened in one."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from accounts.tokens import team_urn
from runs import sessions, trace
from runs.sessions import STATUSES, Search, SessionSummary
from tinker_api import queries, schemas
from tinker_api.endpoint import Call, reply
from tinker_api.views.downloads import url_of


async def list_sessions(call: Call) -> HttpResponse:
    """A page of the team's sessions, newest first; other teams' are never accessible."""
    limit, offset = queries.page(call)
    queries.accessible(call)
    found = await sessions.list_sessions(actor=call.actor, limit=limit, offset=offset)
    return reply({"sessions": found})


async def show_session(call: Call, session_id: str) -> HttpResponse:
    """What was made in a session."""
    queries.accessible(call)
    found = await sessions.find_session(actor=call.actor, session_id=session_id)
    return reply(
        {
            "training_run_ids": found.run_ids,
            "sampler_ids": found.sampler_ids,
            "user_metadata": found.user_metadata or None,
            "display_name": found.display_name or None,
        }
    )


async def assign_project(call: Call, session_id: str) -> HttpResponse:
    """Move a session to a project."""
    wanted = call.json(schemas.SessionProject)
    await sessions.assign_project(
        actor=call.actor, session_id=session_id, project_id=wanted.project_id
    )
    return reply({})


async def search(call: Call) -> HttpResponse:
    """A page of the sessions that fit, newest first."""
    wanted = call.json(schemas.SearchSessions)
    found: list[SessionSummary] = []
    more = False
    if _owned_by(call, wanted.owner):
        found, more = await sessions.search(actor=call.actor, wanted=_search(wanted))
    shown: dict[str, Any] = {"sessions": [_show(item, call) for item in found]}
    if more:
        last = found[-1]
        shown["next_cursor"] = {"last_created_at": last.created_at, "last_session_id": last.id}
    return reply(shown)


def _owned_by(call: Call, owner: schemas.SearchOwner | None) -> bool:
    """Whether the team is among the owners searched for: it owns all its sessions."""
    if owner is None or owner.type != "user":
        return True
    return team_urn(call.actor.team_id) in (owner.owner_urns or [])


def _search(wanted: schemas.SearchSessions) -> Search:
    reasons = None
    if wanted.statuses is not None:
        reasons = [
            reason
            for status in wanted.statuses
            for reason in (status.reasons or STATUSES[status.type])
            if reason in STATUSES[status.type]
        ]
    return Search(
        limit=wanted.limit,
        session_id=wanted.session_id,
        display_name=wanted.display_name,
        project_ids=wanted.project_ids,
        user_metadata=wanted.user_metadata or {},
        active=wanted.statuses is None or any(item.type == "active" for item in wanted.statuses),
        ended_reasons=reasons,
        after=(wanted.cursor.last_created_at, wanted.cursor.last_session_id)
        if wanted.cursor
        else None,
    )


def _show(item: SessionSummary, call: Call) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "session_id": item.id,
        "created_at": item.created_at,
        "owner": team_urn(call.actor.team_id),
        "project_id": item.project_id,
        "checkpoints_count": item.checkpoints_count,
        "checkpoint_storage_bytes": item.checkpoint_bytes,
        "display_name": item.display_name or None,
        "user_metadata": item.user_metadata or None,
    }
    status = _status(item)
    return shown if status is None else shown | {"status": status}


def _status(item: SessionSummary) -> dict[str, Any] | None:
    """How a session stands; None when it has not ended and is not heard of."""
    if not item.ended:
        return None if item.silent else {"type": "active"}
    kind = next(kind for kind, reasons in STATUSES.items() if item.end_reason in reasons)
    if kind == "failed":
        reason = {"type": "training_run", "training_run_id": item.failed_run_id or ""}
        message = item.end_detail or ""
        return {"type": kind, "category": "internal", "reason": reason, "message": message}
    status: dict[str, Any] = {"type": kind}
    if kind == "client_finished":
        status["reason"] = {"type": item.end_reason}
    return status | ({"detail": item.end_detail} if item.end_detail else {})


async def trace_export(call: Call, session_id: str) -> HttpResponse:
    """Where to get a session's trace. It is written while it is downloaded: always ready."""
    signed, name = await trace.link_trace(actor=call.actor, session_id=session_id)
    return reply({"status": "ready", "url": url_of(call, signed, name)})
