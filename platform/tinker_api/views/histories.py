"""Sessions as listings and searches, and the trace of what happened in one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from accounts.tokens import team_urn
from core.json_bodies import Answer, Id, Request, Text, told
from core.openapi import says
from runs import sessions, trace
from runs.sessions import STATUSES, Search, SessionSummary
from tinker_api import queries
from tinker_api.endpoint import Call
from tinker_api.shapes import Moment, Nothing, ProjectId, check_projects
from tinker_api.views.downloads import url_of


class SessionProject(Request):
    """`sessions/{id}/project`."""

    project_id: ProjectId

    def __post_init__(self) -> None:
        check_projects("project_id", self.project_id)


class SearchOwner(msgspec.Struct, forbid_unknown_fields=True):
    """Whose sessions to search; a team's sessions are all its members' own."""

    type: Annotated[
        Literal["own", "accessible", "user"],
        told("`own` and `accessible`: the team's; `user`: those named."),
    ] = "own"
    owner_urns: Annotated[
        Annotated[list[Text], Meta(min_length=1, max_length=10)] | None,
        told("Teams, as `owner` shows them."),
    ] = None


class StatusQuery(msgspec.Struct, forbid_unknown_fields=True):
    """How the sessions searched for stand."""

    type: Annotated[
        Literal["active", "cancelled", "client_finished", "failed"], told("How it stands.")
    ]
    reasons: Annotated[
        Annotated[list[Literal["success", "errored", "interrupted"]], Meta(min_length=1)] | None,
        told("Only those that ended so."),
    ] = None


class SearchCursor(msgspec.Struct, forbid_unknown_fields=True):
    """The last session of the page before."""

    last_created_at: Annotated[datetime, Meta(tz=True)]
    last_session_id: Id


class SearchSessions(Request):
    """`sessions/search`."""

    session_id: Annotated[Id | None, told("Only this session.")] = None
    project_ids: Annotated[
        Annotated[list[ProjectId], Meta(max_length=200)] | None,
        told("Only sessions of these projects."),
    ] = None
    user_metadata: Annotated[
        Annotated[dict[str, Text], Meta(max_length=64)] | None,
        told("Only sessions that hold all of these."),
    ] = None
    display_name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000)] | None,
        told("Only sessions whose name holds this."),
    ] = None
    owner: Annotated[SearchOwner | None, told("Whose sessions.")] = None
    statuses: Annotated[
        Annotated[list[StatusQuery], Meta(min_length=1, max_length=20)] | None,
        told("Only sessions that stand in one of these ways."),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[SearchCursor | None, told("`next_cursor` of the page before.")] = None

    def __post_init__(self) -> None:
        check_projects("project_ids", *self.project_ids or ())


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


@says(given=(*queries.PAGE, queries.SCOPE))
async def list_sessions(call: Call) -> Sessions:
    """A page of the team's sessions, newest first; other teams' are never accessible."""
    limit, offset = queries.page(call)
    queries.accessible(call)
    found = await sessions.list_sessions(actor=call.actor, limit=limit, offset=offset)
    return Sessions(sessions=found)


@says(given=(queries.SCOPE,))
async def show_session(call: Call, session_id: str) -> Session:
    """What was made in a session."""
    queries.accessible(call)
    found = await sessions.find_session(actor=call.actor, session_id=session_id)
    return Session(
        training_run_ids=found.run_ids,
        sampler_ids=found.sampler_ids,
        user_metadata=found.user_metadata or None,
        display_name=found.display_name or None,
    )


@says(takes=SessionProject)
async def assign_project(call: Call, session_id: str) -> Nothing:
    """Move a session to a project."""
    wanted = call.json(SessionProject)
    await sessions.assign_project(
        actor=call.actor, session_id=session_id, project_id=wanted.project_id
    )
    return Nothing()


@says(takes=SearchSessions)
async def search(call: Call) -> FoundSessions:
    """A page of the sessions that fit, newest first."""
    wanted = call.json(SearchSessions)
    found: list[SessionSummary] = []
    more = False
    if _owned_by(call, wanted.owner):
        found, more = await sessions.search(actor=call.actor, wanted=_search(wanted))
    shown = FoundSessions(sessions=[_show(item, call) for item in found])
    if more:
        last = found[-1]
        shown.next_cursor = NextPage(last_created_at=last.created_at, last_session_id=last.id)
    return shown


def _owned_by(call: Call, owner: SearchOwner | None) -> bool:
    """Whether the team is among the owners searched for: it owns all its sessions."""
    if owner is None or owner.type != "user":
        return True
    return team_urn(call.actor.team_id) in (owner.owner_urns or [])


def _search(wanted: SearchSessions) -> Search:
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


def _show(item: SessionSummary, call: Call) -> FoundSession:
    return FoundSession(
        session_id=item.id,
        created_at=item.created_at,
        owner=team_urn(call.actor.team_id),
        project_id=item.project_id,
        checkpoints_count=item.checkpoints_count,
        checkpoint_storage_bytes=item.checkpoint_bytes,
        display_name=item.display_name or None,
        user_metadata=item.user_metadata or None,
        status=_status(item),
    )


def _status(item: SessionSummary) -> SessionStatus | UnsetType:
    """How a session stands; nothing when it has not ended and is not heard of."""
    if not item.ended:
        return UNSET if item.silent else SessionStatus(type="active")
    kind = next(kind for kind, reasons in STATUSES.items() if item.end_reason in reasons)
    if kind == "failed":
        reason = SessionReason(type="training_run", training_run_id=item.failed_run_id or "")
        message = item.end_detail or ""
        return SessionStatus(type=kind, category="internal", reason=reason, message=message)
    status = SessionStatus(type=kind, detail=item.end_detail or UNSET)
    if kind == "client_finished":
        status.reason = SessionReason(type=item.end_reason or "")
    return status


async def trace_export(call: Call, session_id: str) -> TraceLink:
    """Where to get a session's trace. It is written while it is downloaded: always ready."""
    signed, name = await trace.link_trace(actor=call.actor, session_id=session_id)
    return TraceLink(status="ready", url=url_of(call, signed, name))
