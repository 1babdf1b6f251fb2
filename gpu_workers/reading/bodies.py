"""JSON bodies of operations as clients sent them; passes.py and samples.py read the larger ones.

Whatever is wrong with a body is a UserError: it fails that operation through its future. Names that
we do not know are refused, never ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from checkpoints import encryption
from checkpoints.services import MAX_TTL_S, MIN_TTL_S, CheckpointInfo
from core import json_bodies, metadata
from core.errors import BadRequest
from core.ids import is_checkpoint_name
from gpu_workers.engine.types import OptimStep, UserError
from operations.bodies import (
    AdamParams,
    OptimStepBody,
    Prompt,
    SaveExternalBody,
    SaveForSamplerBody,
)

T = TypeVar("T")


@contextmanager
def _users_fault() -> Iterator[None]:
    """What the web process would refuse fails the operation here."""
    try:
        yield
    except BadRequest as error:
        raise UserError(error.detail) from None


def decode(body: bytes, schema: type[T], *, nul_allowed: bool = False) -> T:
    """A JSON body as a `schema`; what is wrong with it is a UserError.

    `nul_allowed`: none of its texts goes into the database.
    """
    with _users_fault():
        return json_bodies.decode(body, schema, nul_allowed=nul_allowed)


def optim_step(body: bytes) -> OptimStep:
    """An `optim_step` body."""
    request = decode(body, OptimStepBody, nul_allowed=True)
    if request.optimizer_params is not None:
        kind = request.optimizer_params.get("type")
        raise UserError(f"the optimizer {kind!r} is not offered; allowed: adamw (adam_params)")
    params = request.adam_params or AdamParams()
    return OptimStep(**msgspec.structs.asdict(params))


def checkpoint_name(name: str) -> str:
    """`name` if a checkpoint may be called so."""
    if not is_checkpoint_name(name):
        raise UserError(
            f"{name!r} cannot name a checkpoint: use letters, digits, '.', '_' and '-', "
            "starting with a letter or digit, at most 200"
        )
    return name


def ttl(seconds: int | None) -> int | None:
    """`seconds` if a checkpoint may live so long."""
    if seconds is not None and not MIN_TTL_S <= seconds <= MAX_TTL_S:
        raise UserError(f"ttl_seconds must be between {MIN_TTL_S} and {MAX_TTL_S}, not {seconds}")
    return seconds


def save_for_sampler(body: bytes) -> SaveForSamplerBody:
    """A `save_weights_for_sampler` body, named or ephemeral."""
    request = decode(body, SaveForSamplerBody)
    if request.kind not in (None, "snapshot", "inflight"):
        raise UserError(f"unknown kind {request.kind!r} of sampler; allowed: snapshot, inflight")
    if request.kind == "inflight" and request.path is not None:
        raise UserError("a sampler of kind 'inflight' has no path: named weights never change")
    if (request.path is None) == (request.sampling_session_seq_id is None):
        raise UserError("give either a path (a name) or a sampling_session_seq_id")
    if request.path is not None:
        checkpoint_name(request.path)
    ttl(request.ttl_seconds)
    return request


def save_external(body: bytes) -> SaveExternalBody:
    """A `save_weights_external` body."""
    request = decode(body, SaveExternalBody)
    checkpoint_name(request.path)
    ttl(request.ttl_seconds)
    return request


def require_plain(found: CheckpointInfo) -> None:
    """Refuse to load a checkpoint whose files are encrypted."""
    with _users_fault():
        encryption.require_plain(found)


def recipients(request: SaveExternalBody) -> list[encryption.Recipient]:
    """Whom the files are encrypted for; nobody when they are not."""
    if request.age_encryption_recipients is None:
        return []
    with _users_fault():
        return encryption.parse_recipients(request.age_encryption_recipients)


def as_text(user_metadata: dict[str, Any]) -> dict[str, str]:
    """A checkpoint's metadata with every value as text."""
    with _users_fault():
        return metadata.as_text(user_metadata)


def tokens_of(prompt: Prompt) -> list[int]:
    """The tokens of a model input."""
    tokens: list[int] = []
    for chunk in prompt.chunks:
        if chunk.type not in (None, "encoded_text"):
            raise UserError(f"chunks of type {chunk.type!r} are not offered; allowed: encoded_text")
        if chunk.tokens is None:
            raise UserError("a chunk has no tokens")
        tokens.extend(chunk.tokens)
    return tokens
