"""Bodies of operations: the web process reads their ids alone, the workers all of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from tinker_api.schemas import Request


class OperationBody(Request, kw_only=True):
    """An operation on a run."""

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


class OptimStepBody(OperationBody, kw_only=True):
    """`optim_step`."""

    adam_params: AdamParams | None = None
    optimizer_params: dict[str, Any] | None = None


class SaveWeightsBody(OperationBody, kw_only=True):
    """`save_weights`."""

    path: str
    ttl_seconds: int | None = None
    overwrite: bool | None = None
    user_metadata: dict[str, Any] | None = None


class LoadWeightsBody(OperationBody, kw_only=True):
    """`load_weights` onto an existing run."""

    path: str
    optimizer: bool | None = None
    weights_access_token: str | None = None
    session_id: None = None
    model_seq_id: None = None


class SaveForSamplerBody(OperationBody, kw_only=True):
    """`save_weights_for_sampler`: named (a checkpoint) or ephemeral (a sampler of the session)."""

    path: str | None = None
    kind: str | None = None
    sampling_session_seq_id: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    ttl_seconds: int | None = None
    user_metadata: dict[str, Any] | None = None


class SaveExternalBody(OperationBody, kw_only=True):
    """`save_weights_external`."""

    path: str
    ttl_seconds: int | None = None
    age_encryption_recipients: list[str] | None = None


class TensorData(msgspec.Struct, forbid_unknown_fields=True):
    """A tensor in its JSON form."""

    data: list[int | float]
    dtype: Literal["float32", "int64"]
    shape: list[int] | None = None
    sparse_crow_indices: list[int] | None = None
    sparse_col_indices: list[int] | None = None


class Chunk(msgspec.Struct):
    """A stretch of tokens; chunks of another type are refused by name."""

    type: str | None = None
    tokens: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]] | None = None


class Prompt(msgspec.Struct, forbid_unknown_fields=True):
    """A model input."""

    chunks: list[Chunk]


class SamplingParams(msgspec.Struct, forbid_unknown_fields=True):
    """How to sample."""

    max_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str | int] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


class SampleBody(Request, kw_only=True):
    """`asample`."""

    sampling_session_id: str
    seq_id: int
    prompt: Prompt
    sampling_params: SamplingParams
    num_samples: int | None = None
    prompt_logprobs: bool | None = None
    topk_prompt_logprobs: int | None = None
    topk_sample_logprobs: int | None = None
    prompt_alt_tokens_k: int | None = None
    record_stability_info: bool | None = None
    target_prompt_logprobs: TensorData | None = None
    prompt_logprobs_last_n: int | None = None
    base_model: str | None = None
    model_path: str | None = None
    report_tokens: bool | None = None


class OldDatum(msgspec.Struct, forbid_unknown_fields=True):
    """A sequence to learn from."""

    model_input: Prompt
    loss_fn_inputs: dict[str, TensorData] = {}


class OldPassInput(msgspec.Struct, forbid_unknown_fields=True):
    """A batch and its loss."""

    data: list[OldDatum]
    loss_fn: str
    loss_fn_config: dict[str, float | str] | None = None


class OldPassBody(Request, kw_only=True):
    """A batch as JSON, as clients up to 0.24 send it."""

    model_id: str
    seq_id: int
    forward_input: OldPassInput | None = None
    forward_backward_input: OldPassInput | None = None
