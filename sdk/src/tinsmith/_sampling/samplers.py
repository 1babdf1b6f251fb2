"""Makes samplers: for checkpoints and for base models."""

from __future__ import annotations

from typing import Any

from tinsmith import errors
from tinsmith._clients.sampling import SamplerRef, SamplingClient
from tinsmith._http.transport import RetryConfig
from tinsmith._session.session import Session
from tinsmith._words.mistakes import check_text
from tinsmith.types.results import check_path


def new_sampling_client(
    session: Session,
    model_path: str | None,
    base_model: str | None,
    retry_config: RetryConfig | None,
    record_stability_info: bool,
) -> SamplingClient:
    """A sampler of its own for a checkpoint or a base model; raises ValueError for neither."""
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

    return SamplingClient(
        session, create, retry_config=retry_config, record_stability_info=record_stability_info
    )
