"""Makes training runs: new ones, and ones that start from a checkpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tinsmith._session.replies import decode
from tinsmith._session.session import Session
from tinsmith.types.params import AdamOptimizerConfig, LoraConfig, OptimizerConfig
from tinsmith.types.results import GetInfoResponse, LoadWeightsResponse, check_path

Create = Callable[[], Awaitable[GetInfoResponse]]


def new(
    session: Session,
    base_model: str,
    lora: LoraConfig,
    metadata: dict[str, Any] | None,
    optimizer: OptimizerConfig | None,
) -> Create:
    """What makes a run on a base model; its number is taken now."""
    number = session.number("run")

    async def create() -> GetInfoResponse:
        body = {
            "session_id": await session.open(),
            "model_seq_id": number,
            "base_model": base_model,
            "user_metadata": metadata,
            "lora_config": lora,
            "optimizer_config": optimizer or AdamOptimizerConfig(),
            "type": "create_model",
        }
        return await _created(session, "create_model", body, base_model)

    return create


def from_state(
    session: Session,
    path: str,
    base_model: str | None,
    metadata: dict[str, Any] | None,
    token: str | None,
    optimizer: OptimizerConfig | None,
    *,
    with_optimizer: bool,
) -> Create:
    """What makes a run from a checkpoint; its number is taken now.

    Raises:
        TypeError, ValueError: ``path`` is no checkpoint's.
    """
    check_path(path)
    number = session.number("run")

    async def create() -> GetInfoResponse:
        body = {
            "session_id": await session.open(),
            "model_seq_id": number,
            "path": path,
            "optimizer": with_optimizer,
            "base_model": base_model,
            "user_metadata": metadata,
            "optimizer_config": optimizer,
            "weights_access_token": token,
            "type": "load_weights",
        }
        return await _created(session, "load_weights", body, path)

    return create


async def _created(
    session: Session, route: str, body: Mapping[str, Any], what: str
) -> GetInfoResponse:
    """Ask for a run, wait until it is there, and ask what it is."""
    accepted = await session.submit(route, body)
    reply = await session.result(accepted.request_id, target=what, kind=route)
    made = decode(reply, LoadWeightsResponse, route)  # create_model's result has the same id
    run = made.model_id or accepted.model_id
    if run is None:
        run = f"{body['session_id']}:train:{body['model_seq_id']}"
    about = {"model_id": run, "type": "get_info"}
    return await session.post("get_info", about, GetInfoResponse)
