"""Bodies of operations: the web process reads their ids alone, the workers all of them.

Clients of many releases write them: what `tinker_api.schemas` says of old ones holds here, too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.json_bodies import Id, Number, Request, Text


class RunIds(msgspec.Struct):
    """The part of an operation on a run that the web process reads; the worker reads the rest."""

    model_id: Id
    seq_id: Number


class SaveExternalIds(RunIds):
    """The same of a `save_weights_external`, with whom it is encrypted for."""

    age_encryption_recipients: Any = None


class SampleIds(msgspec.Struct):
    """The part of a sample request that the web process reads; the worker refuses a bad number."""

    sampling_session_id: Id
    seq_id: Number
    num_samples: Any = 1


class LoraConfig(msgspec.Struct, forbid_unknown_fields=True):
    """The adapter to train."""

    rank: Annotated[int, Meta(ge=-(2**31), le=2**31)]
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    train_unembed: bool | None = None
    train_mlp: bool | None = None
    train_attn: bool | None = None


class OptimizerConfig(msgspec.Struct):
    """The optimizer of a run; families other than AdamW come with fields of their own."""

    type: str = "adamw"


class CreateModel(Request):
    """`create_model`."""

    session_id: Id
    model_seq_id: Number
    base_model: Text
    lora_config: LoraConfig | None = None
    optimizer_config: OptimizerConfig | None = None
    user_metadata: dict[str, Any] | None = None


class LoadWeightsAddress(msgspec.Struct):
    """Which of the two forms a `load_weights` has: onto an existing run, or making a new one."""

    model_id: Id | None = None
    seq_id: Number | None = None
    weights_access_token: Text | None = None


class CreateFromCheckpoint(Request):
    """`load_weights` that makes a new training run."""

    session_id: Id
    model_seq_id: Number
    path: Text
    optimizer: bool | None = None
    base_model: Text | None = None
    optimizer_config: OptimizerConfig | None = None
    user_metadata: dict[str, Any] | None = None
    weights_access_token: Text | None = None
    # Sent as nulls by releases that know both forms
    model_id: None = None
    seq_id: None = None


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


class SamplingParams(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How to sample."""

    max_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str | int] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


class SampleBody(Request, kw_only=True, omit_defaults=True):
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
