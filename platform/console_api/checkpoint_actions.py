"""What people do to checkpoints in their browser: one by one, or many at once.

Each checkpoint is a transaction of its own. Of many, those that can be done are done, and each
refusal is told; where nothing at all could be done, the first refusal is the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from django.http import Http404
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import actors, rights
from accounts.actors import Actor
from accounts.models import User
from accounts.rights import Right
from checkpoints import changes, downloads, undo
from checkpoints import services as checkpoints
from checkpoints.models import Deleted
from checkpoints.undo import DeletedCheckpoint
from console_api.base import TeamViewSet, body_of, integer, known, text, wait_for
from console_api.schema import answers, query
from core import ids
from core.errors import ApiError, BadRequest, NotFound
from core.ids import CheckpointPath

MOST_AT_ONCE = 200
MAX_PATH = 400
SHOWN = 200

RIGHTS = {
    "publish": Right.PUBLISH_CHECKPOINT,
    "unpublish": Right.PUBLISH_CHECKPOINT,
    "ttl": Right.EXPIRE_CHECKPOINT,
    "delete": Right.DELETE_CHECKPOINT,
    "restore": Right.RESTORE_CHECKPOINT,
    "purge": Right.DELETE_CHECKPOINT,
}

_Path = Annotated[str, Meta(max_length=MAX_PATH)]


class ChangeCheckpoints(msgspec.Struct, forbid_unknown_fields=True):
    """What to do, and to which; `ttl_seconds` only with `ttl`, where null means for ever."""

    action: Literal["publish", "unpublish", "ttl", "delete"]
    paths: Annotated[list[_Path], Meta(min_length=1, max_length=MOST_AT_ONCE)]
    ttl_seconds: int | UnsetType | None = UNSET


class ChangeDeleted(msgspec.Struct, forbid_unknown_fields=True):
    """What to do with deleted checkpoints: bring them back, or give them up for good."""

    action: Literal["restore", "purge"]
    ids: Annotated[list[int], Meta(min_length=1, max_length=MOST_AT_ONCE)]


class AskArchive(msgspec.Struct, forbid_unknown_fields=True):
    """Which checkpoint to download."""

    path: _Path


@dataclass(frozen=True, slots=True)
class DoneTo:
    """A checkpoint to which it was done; `deleted_id` is what a deletion is undone by."""

    path: str
    deleted_id: int | None = None


@dataclass(frozen=True, slots=True)
class RefusedTo:
    """A checkpoint to which it was not done, and why."""

    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done, in the order of the request; `size_bytes` is of those that were deleted."""

    done: list[DoneTo] = field(default_factory=list)
    refused: list[RefusedTo] = field(default_factory=list)
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ShownDeleted:
    """A deleted checkpoint that can be brought back until a moment."""

    id: int
    path: str
    run_id: str
    segment: str
    name: str
    size_bytes: int
    deleted_at: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """What can be brought back, last deleted first, up to a bound; and how many in all."""

    deleted: list[ShownDeleted]
    total: int


@dataclass(frozen=True, slots=True)
class Archive:
    """Where a tar archive can be had for a while, by whoever has the address."""

    url: str
    name: str
    expires: datetime
    encrypted: bool


class CheckpointActionViewSet(TeamViewSet):
    """What the person may do to their teams' checkpoints."""

    @answers(Changed, takes=ChangeCheckpoints, refuses=[400, 401, 403, 404])
    def change(self, request: Request) -> Response:
        """Publish, unpublish, keep for a while, or delete, up to 200 at once."""
        known(request)
        wanted = body_of(request, ChangeCheckpoints)
        addresses = [_address(path) for path in dict.fromkeys(wanted.paths)]
        found = self._actors({one.run_id for one in addresses})
        _require(RIGHTS[wanted.action], found)
        do = _verb(wanted)
        return Response(
            wait_for(
                _do_to_all,
                todo=[(str(one), _step(do, found.get(one.run_id), one)) for one in addresses],
            )
        )

    @answers(
        DeletedPage,
        given=[
            query("run", str, "Only of this run."),
            query("team", str, "Of this team; unless given, of the person's first by name."),
            query("limit", int, f"Rows, at most {SHOWN}."),
        ],
        refuses=[400, 401, 404],
    )
    def deleted(self, request: Request) -> Response:
        """What can be brought back."""
        known(request, "run", "team", "limit")
        run_id = text(request, "run") or None
        actor = self.find(run_id) if run_id else self.of_team(text(request, "team"))
        if actor is None:
            return Response(DeletedPage([], 0))
        limit = integer(request, "limit", SHOWN, 1, SHOWN)
        found, total = wait_for(undo.list_deleted, actor=actor, run_id=run_id, limit=limit)
        return Response(DeletedPage([_shown(one) for one in found], total))

    @answers(Changed, takes=ChangeDeleted, refuses=[400, 401, 403, 404, 409])
    def change_deleted(self, request: Request) -> Response:
        """Bring deleted checkpoints back, or give them up, up to 200 at once."""
        known(request)
        wanted = body_of(request, ChangeDeleted)
        numbers = [one for one in dict.fromkeys(wanted.ids) if 0 < one < 2**63]
        rows = Deleted.objects.filter(team__in=self.teams(), pk__in=numbers)
        teams = dict(rows.values_list("pk", "team__slug"))
        verb = undo.restore if wanted.action == "restore" else undo.purge
        acting = {slug: self._actor(slug) for slug in set(teams.values())}
        _require(RIGHTS[wanted.action], acting)
        todo = [(f"deleted {one}", _again(verb, acting, teams, one)) for one in numbers]
        if not todo:
            raise Http404
        return Response(wait_for(_do_to_all, todo=todo))

    @answers(Archive, takes=AskArchive, refuses=[400, 401, 403, 404])
    def archive(self, request: Request) -> Response:
        """An address for a checkpoint's files as a tar, which is noted in the audit log."""
        known(request)
        address = _address(body_of(request, AskArchive).path)
        actor = self.find(address.run_id)
        found, links = wait_for(_link, actor=actor, address=address)
        ((name, signed),) = links.signed.items()
        # where a proxy mounts the server below a path, downloads are there, too
        mounted = request.path[: request.path.index("/api/console/")]
        url = f"{mounted}/api/v1/downloads/{signed}/{name}"
        return Response(Archive(url, name, links.expires, found.encrypted))

    def _actors(self, run_ids: set[str]) -> dict[str, Actor]:
        """Who acts for each of these runs, as far as they are of the person's teams."""
        runs = self.get_queryset().filter(pk__in=run_ids).values_list("pk", "team__slug")
        teams = dict(runs)
        acting = {slug: self._actor(slug) for slug in set(teams.values())}
        return {run_id: acting[slug] for run_id, slug in teams.items()}

    def _actor(self, slug: str) -> Actor:
        assert isinstance(self.request.user, User)
        return actors.of_member(user=self.request.user, team_slug=slug)


_Step = Callable[[], Awaitable[tuple[DoneTo, int]]]
_Verb = Callable[[Actor, CheckpointPath], Awaitable[tuple[DoneTo, int]]]


def _require(right: Right, acting: dict[str, Actor]) -> None:
    """Refuse a role that does not suffice before anything is done."""
    for actor in acting.values():
        rights.require(actor, right)


def _address(path: str) -> CheckpointPath:
    address = None if "\0" in path else ids.parse_checkpoint_path(path)
    if address is None:
        raise BadRequest(f"{path!r} is no checkpoint address")
    return address


def _verb(wanted: ChangeCheckpoints) -> _Verb:
    """What is to be done to each. Raises BadRequest if it does not go with its settings."""
    if (wanted.action == "ttl") is (wanted.ttl_seconds is UNSET):
        raise BadRequest("ttl_seconds goes with the action ttl, and with no other")
    seconds = None if wanted.ttl_seconds is UNSET else wanted.ttl_seconds
    changes.check_ttl(seconds)

    async def do(actor: Actor, address: CheckpointPath) -> tuple[DoneTo, int]:
        given: dict[str, Any] = {"actor": actor, "address": address}
        if wanted.action == "delete":
            deletion = await changes.delete(**given)
            return DoneTo(str(address), deletion.id), deletion.size_bytes
        if wanted.action == "ttl":
            await changes.set_ttl(**given, ttl_seconds=seconds)
        else:
            await changes.set_public(**given, public=wanted.action == "publish")
        return DoneTo(str(address)), 0

    return do


def _step(do: _Verb, actor: Actor | None, address: CheckpointPath) -> _Step:
    async def step() -> tuple[DoneTo, int]:
        if actor is None:
            raise NotFound(f"there is no checkpoint {address}")
        return await do(actor, address)

    return step


def _again(verb: Any, acting: dict[str, Actor], teams: dict[int, str], deleted_id: int) -> _Step:
    async def step() -> tuple[DoneTo, int]:
        if deleted_id not in teams:
            raise NotFound("that can no longer be brought back")
        path = await verb(actor=acting[teams[deleted_id]], deleted_id=deleted_id)
        return DoneTo(str(path), deleted_id), 0

    return step


async def _do_to_all(todo: list[tuple[str, _Step]]) -> Changed:
    changed, first, size = Changed(), None, 0
    for path, step in todo:
        try:
            done, size_bytes = await step()
        except ApiError as error:
            first = first or error
            changed.refused.append(RefusedTo(path, error.detail))
        else:
            changed.done.append(done)
            size += size_bytes
    if first is not None and not changed.done:
        raise first
    return Changed(changed.done, changed.refused, size)


async def _link(actor: Actor, address: CheckpointPath) -> tuple[Any, downloads.Links]:
    found = await checkpoints.find_readable(actor=actor, path=str(address))
    name = f"{address.name}-{address.segment}.tar"
    return found, await downloads.link_archive(actor=actor, found=found, name=name)


def _shown(one: DeletedCheckpoint) -> ShownDeleted:
    return ShownDeleted(
        id=one.id,
        path=one.path,
        run_id=one.run_id,
        segment=one.segment,
        name=one.name,
        size_bytes=one.size_bytes,
        deleted_at=one.deleted_at,
        until=one.until,
    )
