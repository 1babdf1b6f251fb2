"""What JSON requests may contain, as msgspec Structs, and how they are read.

Clients of many releases talk to us: old ones leave defaults and `type` out and send nulls for what
they do not set, so every optional field is nullable and null means the default. A name that no
release knows is refused, because a misspelt option that does nothing costs its user a training run.
Bodies of operations are in `operations.bodies`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core import ids
from core.json_bodies import Id, Number, Request, Text, told

ProjectId = Annotated[str, Meta(min_length=1, max_length=ids.MAX_PROJECT_LENGTH)]


def _check_projects(field: str, *project_ids: str | None) -> None:
    """Refuse ids of projects that a length alone does not; msgspec reports it as a mistake."""
    if not all(found is None or ids.is_project_id(found) for found in project_ids):
        raise ValueError(f"{field} must have {ids.PROJECT_FORM}")


class SdkVersion(msgspec.Struct):
    """`client/config`: the first call, which must not fail for a newer client's extra fields."""

    sdk_version: Text | None = None


class CreateSession(Request):
    """`create_session`."""

    tags: Annotated[list[Text] | None, told("Words to find the session by.")] = None
    user_metadata: dict[str, Any] | None = None
    sdk_version: Text | None = None
    project_id: ProjectId | None = None
    display_name: Text | None = None

    def __post_init__(self) -> None:
        _check_projects("project_id", self.project_id)


class SessionHeartbeat(Request):
    """`session_heartbeat`."""

    session_id: Id


class FinishReason(msgspec.Struct, forbid_unknown_fields=True):
    """Why a client ends its session."""

    type: Annotated[str, told("`success`, `errored` or `interrupted`.")]


class FinishSession(Request):
    """`sessions/{id}/finish`."""

    reason: FinishReason | None = None
    detail: Text | None = None


class Withdraw(Request):
    """`runs/{id}/withdraw`: the numbers from `first` to `last` will not come."""

    first: Annotated[Number, told("The first number.")]
    last: Annotated[Number, told("The last number.")]
    reason: Annotated[Text | None, told("Why, for whoever asks for their results.")] = None


class ModelId(Request):
    """`get_info`."""

    model_id: Id


class CreateSamplingSession(Request):
    """`create_sampling_session`."""

    session_id: Id
    sampling_session_seq_id: Annotated[
        Number, told("The sampler's number in its session; sent again, it gives the same sampler.")
    ]
    model_path: Text | None = None
    base_model: Annotated[
        Text | None, told("The base model's name; needed when there is no `model_path`.")
    ] = None


class RetrieveFuture(Request):
    """`retrieve_future`. `allow_metadata_only`: the client asks again for what is large."""

    request_id: Id
    model_id: Id | None = None
    allow_metadata_only: Annotated[
        bool | None, told("Whether a large result may be announced by its size first.")
    ] = None


class CancelFuture(Request):
    """`cancel_future`."""

    request_id: Id
    model_id: Id | None = None


class FuturesTarget(msgspec.Struct, forbid_unknown_fields=True):
    """Whose samples are waited for: those of one client of a sampler."""

    sampling_session_id: Id
    type: Annotated[str | None, told("`sampling_session`.")] = None
    cloned_sampler_id: Annotated[
        Number | None, told("The client's own number on a shared sampler.")
    ] = None


class RetrieveFutures(Request):
    """`retrieve_futures`."""

    target: Annotated[FuturesTarget, told("Whose samples are waited for.")]
    prev_cursor: Annotated[
        Number | None, told("`cursor` of the answer before; 0 unless given.")
    ] = None
    timeout: Annotated[
        Annotated[float, Meta(ge=0)] | None, told("How many seconds to wait at most.")
    ] = None
    retrieved_request_ids: Annotated[
        list[Id] | None, told("Samples whose results were fetched: they are not listed again.")
    ] = None


class SamplingSessionId(Request):
    """`join_sampling_session`."""

    sampling_session_id: Id


class TinkerPath(Request):
    """`weights_info`."""

    tinker_path: Text


class CopyWeights(Request):
    """`copy_weights`. Copies into sessions are not offered: a copy gets one of its own."""

    source_path: Annotated[Text, told("The `tinker://` path of what to copy.")]
    destination_project_id: Annotated[
        ProjectId, told(f"The project that the copy is counted to: {ids.PROJECT_FORM}.")
    ]
    ttl_seconds: int | None = None
    weights_access_token: Text | None = None
    session_id: Annotated[None, told("Null: a copy gets a session of its own.")] = None
    model_seq_id: Annotated[None, told("Null: a copy gets a run of its own.")] = None

    def __post_init__(self) -> None:
        _check_projects("destination_project_id", self.destination_project_id)


class CheckpointTtl(Request):
    """`…/ttl`: null, which has to be said, takes the expiry away."""

    ttl_seconds: int | None


class SessionProject(Request):
    """`sessions/{id}/project`."""

    project_id: ProjectId

    def __post_init__(self) -> None:
        _check_projects("project_id", self.project_id)


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
        _check_projects("project_ids", *self.project_ids or ())
