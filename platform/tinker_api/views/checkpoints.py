"""Checkpoints: listings, what their owners do to them, copies and links to download."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from checkpoints import changes, downloads
from checkpoints import services as checkpoints
from checkpoints.services import CheckpointInfo, Saved
from core import ids
from core.errors import BadRequest
from core.ids import SEGMENTS, CheckpointPath
from core.json_bodies import Answer, Request, Text, told
from core.openapi import Given, says
from runs import copies
from tinker_api import queries
from tinker_api.endpoint import Call
from tinker_api.shapes import (
    Cursor,
    Moment,
    Nothing,
    OptimizerFamily,
    ProjectId,
    check_projects,
)
from tinker_api.views.downloads import url_of

CHECKPOINT_TYPES: dict[str, Literal["training", "sampler", "external"]] = {
    "weights": "training",
    "sampler_weights": "sampler",
    "external_weights": "external",
}
# one entry of a type that it does not know breaks an older client's whole listing
KNOWS_EXTERNAL_SINCE = (0, 28)
MAX_IDEMPOTENCY_KEY = 200


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
        check_projects("destination_project_id", self.destination_project_id)


class CheckpointTtl(Request):
    """`…/ttl`: null, which has to be said, takes the expiry away."""

    ttl_seconds: int | None


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


@says(given=queries.PAGE)
async def list_run_checkpoints(call: Call, run_id: str) -> Checkpoints:
    """All checkpoints of one run, newest first; a page of them when `limit` is given."""
    paged = "limit" in call.request.GET or "offset" in call.request.GET
    limit, offset = queries.page(call) if paged else (checkpoints.MAX_OF_RUN, 0)
    found, total = await checkpoints.list_of_run(
        actor=call.actor, run_id=run_id, segments=_segments(call), limit=limit, offset=offset
    )
    shown = Checkpoints(checkpoints=[show_checkpoint(item) for item in found])
    if paged or total > len(found):
        shown.cursor = show_cursor(limit, offset, total)
    return shown


@says(given=queries.PAGE)
async def list_checkpoints(call: Call) -> Checkpoints:
    """A page of the team's checkpoints, newest first."""
    limit, offset = queries.page(call)
    found, total = await checkpoints.list_of_team(
        actor=call.actor, segments=_segments(call), limit=limit, offset=offset
    )
    return Checkpoints(
        checkpoints=[show_checkpoint(item) for item in found],
        cursor=show_cursor(limit, offset, total),
    )


@says(takes=TinkerPath)
async def weights_info(call: Call) -> WeightsInfo:
    """What a checkpoint holds, as far as a client needs it to make a run from it."""
    wanted = call.json(TinkerPath)
    found = await checkpoints.find_readable(actor=call.actor, path=wanted.tinker_path)
    return WeightsInfo(
        base_model=found.base_model,
        is_lora=True,
        lora_rank=found.rank,
        train_unembed=found.train_unembed,
        train_mlp=found.train_mlp,
        train_attn=found.train_attn,
        optimizer_config=OptimizerFamily(type="adamw"),
    )


async def delete(call: Call, run_id: str, segment: str, name: str) -> Nothing:
    """Delete a checkpoint: it is gone at once; for a day, people can bring it back."""
    await changes.delete(actor=call.actor, address=CheckpointPath(run_id, segment, name))
    return Nothing()


async def publish(call: Call, run_id: str, segment: str, name: str) -> Nothing:
    """Let everybody read a checkpoint."""
    address = CheckpointPath(run_id, segment, name)
    await changes.set_public(actor=call.actor, address=address, public=True)
    return Nothing()


async def unpublish(call: Call, run_id: str, segment: str, name: str) -> Nothing:
    """Let only its own team read a checkpoint."""
    address = CheckpointPath(run_id, segment, name)
    await changes.set_public(actor=call.actor, address=address, public=False)
    return Nothing()


@says(takes=CheckpointTtl)
async def set_ttl(call: Call, run_id: str, segment: str, name: str) -> Nothing:
    """Say when a checkpoint expires, if ever."""
    wanted = call.json(CheckpointTtl)
    address = CheckpointPath(run_id, segment, name)
    await changes.set_ttl(actor=call.actor, address=address, ttl_seconds=wanted.ttl_seconds)
    return Nothing()


@says(
    takes=CopyWeights,
    given=(
        Given(
            "X-Idempotency-Key",
            Annotated[str, Meta(min_length=1, max_length=MAX_IDEMPOTENCY_KEY)],
            "The same key gives the same copy.",
            place="header",
        ),
        Given(
            "X-Tinker-Weights-Access-Token",
            str,
            "A key that may read the source; it goes before the body's.",
            place="header",
        ),
    ),
)
async def copy(call: Call) -> Copied:
    """Copy a checkpoint; the same idempotency key gives the same copy."""
    wanted = call.json(CopyWeights)
    headers = call.request.headers
    key = headers.get("X-Idempotency-Key") or str(uuid.uuid4())
    if len(key) > MAX_IDEMPOTENCY_KEY or "\0" in key:
        raise BadRequest(f"X-Idempotency-Key may have at most {MAX_IDEMPOTENCY_KEY} characters")
    path = await copies.copy_checkpoint(
        actor=call.actor,
        source_path=wanted.source_path,
        project_id=wanted.destination_project_id,
        ttl_seconds=wanted.ttl_seconds,
        weights_access_token=headers.get("X-Tinker-Weights-Access-Token")
        or wanted.weights_access_token,
        idempotency_key=key,
    )
    return Copied(tinker_path=path)


async def external_weights_urls(call: Call, run_id: str, segment: str, name: str) -> FileLinks:
    """An address for each file of a checkpoint that works without a key for a while."""
    found = await _readable(call, run_id, segment, name)
    links = await downloads.link_files(actor=call.actor, found=found)
    urls = {file: url_of(call, signed, file) for file, signed in links.signed.items()}
    return FileLinks(urls=urls, expires=links.expires)


async def archive(call: Call, run_id: str, segment: str, name: str) -> ArchiveLink:
    """An address that gives a checkpoint as one tar file; older clients download so."""
    found = await _readable(call, run_id, segment, name)
    links = await downloads.link_archive(actor=call.actor, found=found)
    ((file, signed),) = links.signed.items()
    return ArchiveLink(url=url_of(call, signed, file), expires=links.expires)


async def _readable(call: Call, run_id: str, segment: str, name: str) -> CheckpointInfo:
    path = str(CheckpointPath(run_id, segment, name))
    return await checkpoints.find_readable(actor=call.actor, path=path)


def _segments(call: Call) -> list[str]:
    """The kinds of checkpoints that the client can read."""
    version = queries.client_version(call)
    if version is None or version >= KNOWS_EXTERNAL_SINCE:
        return list(SEGMENTS)
    return [segment for segment in SEGMENTS if segment != "external_weights"]


def show_cursor(limit: int, offset: int, total: int) -> Cursor:
    """Where a page stands."""
    return Cursor(offset=offset, limit=limit, total_count=total)


def show_checkpoint(item: Saved) -> Checkpoint:
    """A checkpoint as clients read it."""
    return Checkpoint(
        checkpoint_id=f"{item.segment}/{item.name}",
        checkpoint_type=CHECKPOINT_TYPES[item.segment],
        time=item.created_at,
        tinker_path=item.path,
        size_bytes=item.size_bytes,
        public=item.public,
        user_metadata=item.user_metadata or None,
        expires_at=item.expires_at,
    )
