"""Searching sessions: what to look for, and what is found."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from tinsmith._words.mistakes import Struct

ClientSessionFinishReasonType = Literal["success", "errored", "interrupted"]


class _Tagged(Struct, frozen=True, kw_only=True, tag_field="type"):
    """One of several things, told apart by ``type``."""


# ---- whose


class OwnSearchOwner(_Tagged, frozen=True, tag="own"):
    """One's own."""

    type: ClassVar[str] = "own"


class AccessibleSearchOwner(_Tagged, frozen=True, tag="accessible"):
    """All that one may see."""

    type: ClassVar[str] = "accessible"


class UserSearchOwner(_Tagged, frozen=True, kw_only=True, tag="user"):
    """Those of certain users."""

    type: ClassVar[str] = "user"
    owner_urns: list[str]


SearchOwner = OwnSearchOwner | AccessibleSearchOwner | UserSearchOwner


# ---- which


class ActiveSessionStatusQuery(_Tagged, frozen=True, tag="active"):
    """Sessions that go on."""

    type: ClassVar[str] = "active"


class CancelledSessionStatusQuery(_Tagged, frozen=True, tag="cancelled"):
    """Sessions that the server ended."""

    type: ClassVar[str] = "cancelled"


class FailedSessionStatusQuery(_Tagged, frozen=True, tag="failed"):
    """Sessions that failed."""

    type: ClassVar[str] = "failed"


class ClientFinishedSessionStatusQuery(_Tagged, frozen=True, kw_only=True, tag="client_finished"):
    """Sessions that their program finished; ``reasons`` narrows down how."""

    type: ClassVar[str] = "client_finished"
    reasons: list[ClientSessionFinishReasonType] | None = None


SessionStatusQuery = (
    ActiveSessionStatusQuery
    | CancelledSessionStatusQuery
    | FailedSessionStatusQuery
    | ClientFinishedSessionStatusQuery
)


class SessionSearchCursor(Struct, frozen=True, kw_only=True):
    """The last session of a page; the next page comes after it."""

    last_created_at: datetime
    last_session_id: str


class SessionSearchRequest(Struct, frozen=True, kw_only=True):
    """What to look for; everything that is given must hold.

    Attributes:
        session_id: this one alone.
        project_ids: in one of these projects.
        user_metadata: with these texts.
        display_name: of this name.
        owner: whose; one's own by default.
        statuses: in one of these states.
        limit: at most so many, 1 to 200.
        cursor: the ``next_cursor`` of the page before.
    """

    session_id: str | None = None
    project_ids: list[str] | None = None
    user_metadata: dict[str, str] = {}
    display_name: str | None = None
    owner: SearchOwner = OwnSearchOwner()
    statuses: list[SessionStatusQuery] | None = None
    limit: int = 50
    cursor: SessionSearchCursor | None = None


# ---- what is found


class SessionActive(_Tagged, frozen=True, tag="active"):
    """It goes on."""

    type: ClassVar[str] = "active"


class SessionCancelled(_Tagged, frozen=True, kw_only=True, tag="cancelled"):
    """The server ended it."""

    type: ClassVar[str] = "cancelled"
    detail: str | None = None


class ClientSessionFinishReason(Struct, frozen=True, kw_only=True):
    """How its program finished it."""

    type: ClientSessionFinishReasonType


class ClientSessionFinished(_Tagged, frozen=True, kw_only=True, tag="client_finished"):
    """Its program finished it."""

    type: ClassVar[str] = "client_finished"
    reason: ClientSessionFinishReason
    detail: str | None = None


class SessionFailed(_Tagged, frozen=True, kw_only=True, tag="failed"):
    """It failed; ``reason`` names the request, run or sampler that did."""

    type: ClassVar[str] = "failed"
    category: Literal["user", "internal"]
    reason: dict[str, Any]
    message: str


SessionStatus = SessionActive | SessionCancelled | ClientSessionFinished | SessionFailed


class SessionSummary(Struct, frozen=True, kw_only=True):
    """A session as a search finds it."""

    session_id: str
    created_at: datetime
    owner: str
    project_id: str
    checkpoints_count: int
    status: SessionStatus | None = None
    display_name: str | None = None
    user_metadata: dict[str, str] | None = None
    checkpoint_storage_bytes: int | None = None


class SessionSearchResponse(Struct, frozen=True, kw_only=True):
    """A page of sessions, newest first; ``next_cursor`` leads on when there are more."""

    sessions: list[SessionSummary]
    next_cursor: SessionSearchCursor | None = None
