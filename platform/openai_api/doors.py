"""The sessions in which this API samples: one for each key, opened on use and kept while used.

Samples belong to samplers and samplers to sessions, here as for every client. A session that has
ended, because nobody used it for a while or somebody finished it, is replaced by a new one.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from catalog import services as catalog
from catalog.services import OfferedModel
from checkpoints import services as checkpoints
from checkpoints.encryption import require_plain
from core.errors import Gone, NoSuchSession, NotFound, SessionEnded
from core.words import did_you_mean
from openai_api.errors import ModelNotFound
from runs import samplers
from runs import services as runs

# a session expires when it was not heard of for ten times as long
HEARTBEAT_EVERY_S = 60.0
MOST_DOORS = 4096
CHECKPOINT_PREFIX = "tinker://"


@dataclass(frozen=True, slots=True)
class Chosen:
    """What to sample from: a base model, with a checkpoint's adapter if `path` is set."""

    name: str
    base: OfferedModel
    path: str | None = None
    weights_key: str | None = None
    renderer_name: str | None = None  # that its run says it was trained with


async def choose(actor: Actor, name: str) -> Chosen:
    """What `model` means.

    Raises:
        ModelNotFound: nothing that the actor may sample from. BadRequest: an encrypted checkpoint.
    """
    path = key = renderer_name = None
    base_name = name
    if name.startswith(CHECKPOINT_PREFIX):
        try:
            checkpoint = await checkpoints.find_readable(actor=actor, path=name)
        except NotFound as error:
            raise ModelNotFound(error.detail) from None
        require_plain(checkpoint)
        base_name, path, key = checkpoint.base_model, name, checkpoint.key
        renderer_name = checkpoint.renderer_name
    offered = {model.name: model for model in await sampleable_models()}
    if base_name not in offered:
        raise ModelNotFound(
            f"the model {name!r} does not exist{did_you_mean(name, offered)}; "
            f"offered: {', '.join(offered) or 'none'}, "
            "and checkpoints by their tinker:// path"
        )
    return Chosen(name, offered[base_name], path, key, renderer_name)


async def sampleable_models() -> list[OfferedModel]:
    """The base models that one may sample from."""
    return [model for model in await catalog.offered_models() if model.sampleable]


@dataclass(slots=True)
class Door:
    """A key's session in this process and the samplers made in it."""

    session_id: str | None = None
    heard_at: float = 0.0
    samplers: dict[tuple[str, str | None], str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sampler(self, actor: Actor, chosen: Chosen) -> str:
        """A sampler in the session; a new one needs it to be open still, or it is replaced.

        Whether a known one's session is still open shows when something is asked of it.

        Raises:
            Forbidden: the actor's role does not suffice.
        """
        rights.require(actor, Right.SAMPLE)
        async with self.lock:
            await self._hold_open(actor)
            try:
                return await self._sampler(actor, chosen)
            except (SessionEnded, NoSuchSession):
                self.session_id = None
                await self._hold_open(actor)
                return await self._sampler(actor, chosen)

    async def _sampler(self, actor: Actor, chosen: Chosen) -> str:
        assert self.session_id is not None
        which = (chosen.base.name, chosen.weights_key)
        if which not in self.samplers:
            self.samplers[which] = await samplers.create_sampler(
                actor=actor,
                session_id=self.session_id,
                number=len(self.samplers),
                model_path=chosen.path,
                base_model=chosen.base.name,
            )
        return self.samplers[which]

    async def keep_open(self, actor: Actor) -> None:
        """Keep the session alive while something is under way in it."""
        if self._is_silent():
            async with self.lock:
                await self._hold_open(actor)

    def forget(self, sampler_id: str) -> None:
        """Take a new session next time: this sampler's has ended."""
        if self.session_id is not None and sampler_id.startswith(f"{self.session_id}:"):
            self.session_id = None

    def _is_silent(self) -> bool:
        return time.monotonic() - self.heard_at >= HEARTBEAT_EVERY_S

    async def _hold_open(self, actor: Actor) -> None:
        if self.session_id is not None and self._is_silent():
            try:
                await runs.heartbeat(actor=actor, session_id=self.session_id)
            except (Gone, NotFound):
                self.session_id = None
        if self.session_id is None:
            self.samplers.clear()
            self.session_id = await runs.create_session(
                actor=actor,
                tags=["openai"],
                user_metadata={},
                sdk_version="",
                display_name="OpenAI-compatible API",
            )
            self.heard_at = time.monotonic()
        elif self._is_silent():
            self.heard_at = time.monotonic()


# a team's keys and members, each with a door of its own
_Who = tuple[int, int | None, int | None]
_doors: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Who, Door]] = WeakKeyDictionary()
_numbers = itertools.count()


def of(actor: Actor) -> Door:
    """The door of the actor's key, or of the person."""
    doors = _doors.setdefault(asyncio.get_running_loop(), {})
    who = (actor.team_id, actor.key_id, actor.user_id)
    if who not in doors and len(doors) >= MOST_DOORS:
        doors.pop(next(iter(doors)))
    return doors.setdefault(who, Door())


def next_number() -> int:
    """A number for a request; unique in this process, as its samplers are."""
    return next(_numbers)
