"""Samplers on the server: which one a client has, making one, joining one."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from tinsmith import errors
from tinsmith._session.session import Session
from tinsmith._words.mistakes import check_text
from tinsmith.types.results import check_path

SEQ_BLOCK = 1_000_000_000  # the clients of one sampler number their requests in blocks


@dataclass(frozen=True)
class SamplerRef:
    """Which sampler it is.

    Attributes:
        base_model: its name, where it is known.
        clone: which of the sampler's clients this one is: 0 is whoever made the sampler.
    """

    sampler_id: str
    base_model: str | None = None
    clone: int = 0


class _Joined(msgspec.Struct):
    client_counter: int


def maker(
    session: Session, model_path: str | None, base_model: str | None
) -> Callable[[], Awaitable[SamplerRef]]:
    """What makes a sampler of a checkpoint or a base model; raises ValueError for neither."""
    if model_path is None and base_model is None:
        raise ValueError("give model_path or base_model")
    if base_model is not None:
        check_text("base_model", base_model)
    if isinstance(model_path, str) and "://" not in model_path:
        raise ValueError(
            f"model_path must look like tinker://<run>/sampler_weights/<name>, not {model_path!r}; "
            "a base model goes into base_model="
        )
    if model_path is not None:
        check_path(model_path)
    number = session.number("sampler")

    async def create() -> SamplerRef:
        body = {
            "session_id": await session.open(),
            "sampling_session_seq_id": number,
            "model_path": model_path,
            "base_model": base_model,
            "type": "create_sampling_session",
        }
        created = await session.post("create_sampling_session", body, dict[str, Any])
        sampler_id = created.get("sampling_session_id")
        if not isinstance(sampler_id, str):
            raise errors.APIResponseValidationError("the server gave the sampler no id")
        return SamplerRef(sampler_id, base_model if model_path is None else None)

    return create


async def join(session: Session, sampler_id: str, base_model: str | None) -> SamplerRef:
    """A sampler that others use too: the server says how this client is numbered, or chance."""
    await session.open()
    if not session.config.sample_join_sampling_session:
        clone = random.SystemRandom().randint(1, SEQ_BLOCK)
    else:
        body = {"sampling_session_id": sampler_id, "type": "join_sampling_session"}
        clone = (await session.post("join_sampling_session", body, _Joined)).client_counter
    return SamplerRef(sampler_id, base_model, clone)
