"""JSON bodies of operations as clients sent them; passes.py and samples.py read the larger ones.

Whatever is wrong with a body is a UserError: it fails that operation through its future. Names that
we do not know are refused, never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from checkpoints.services import MAX_TTL_S, MIN_TTL_S
from core import metadata
from core.errors import BadRequest
from core.ids import is_checkpoint_name
from gpu_workers.engine.types import OptimStep, UserError
from tinker_api import schemas

T = TypeVar("T")


class _Body(schemas.Request, kw_only=True):
    """An operation on a run; the web process has read the ids."""

    model_id: str
    seq_id: int


class AdamParams(msgspec.Struct, forbid_unknown_fields=True):
    """AdamW's parameters for one step."""

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


class OptimStepBody(_Body, kw_only=True):
    """`optim_step`."""

    adam_params: AdamParams | None = None
    optimizer_params: dict[str, Any] | None = None


class SaveWeightsBody(_Body, kw_only=True):
    """`save_weights`."""

    path: str
    ttl_seconds: int | None = None
    overwrite: bool | None = None
    user_metadata: dict[str, Any] | None = None


class LoadWeightsBody(_Body, kw_only=True):
    """`load_weights` onto an existing run."""

    path: str
    optimizer: bool | None = None
    weights_access_token: str | None = None
    session_id: None = None
    model_seq_id: None = None


class SaveForSamplerBody(_Body, kw_only=True):
    """`save_weights_for_sampler`: named (a checkpoint) or ephemeral (a sampler of the session)."""

    path: str | None = None
    kind: str | None = None
    sampling_session_seq_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    ttl_seconds: int | None = None
    user_metadata: dict[str, Any] | None = None


class SaveExternalBody(_Body, kw_only=True):
    """`save_weights_external`."""

    path: str
    ttl_seconds: int | None = None
    age_encryption_recipients: list[str] | None = None


class Chunk(msgspec.Struct):
    """A stretch of tokens; chunks of another type are refused by name."""

    type: str | None = None
    tokens: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]] | None = None


class Prompt(msgspec.Struct, forbid_unknown_fields=True):
    """A model input."""

    chunks: list[Chunk]


def decode(body: bytes, schema: type[T]) -> T:
    """A JSON body as a `schema`; what is wrong with it is a UserError."""
    try:
        return schemas.decode(body, schema)
    except BadRequest as error:
        raise UserError(error.detail) from None


def optim_step(body: bytes) -> OptimStep:
    """An `optim_step` body."""
    request = decode(body, OptimStepBody)
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
    if request.age_encryption_recipients:
        raise UserError(
            "age_encryption_recipients is not offered by this server; encrypt the files after "
            "downloading them"
        )
    return request


def as_text(user_metadata: dict[str, Any]) -> dict[str, str]:
    """A checkpoint's metadata with every value as text."""
    try:
        return metadata.as_text(user_metadata)
    except BadRequest as error:
        raise UserError(error.detail) from None


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
