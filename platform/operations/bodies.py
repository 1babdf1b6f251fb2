"""Bodies of operations: the web process reads their ids alone, the workers all of them.

Clients of many releases write them: what `tinker_api.shapes` says of old ones holds here, too.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from core.json_bodies import Id, Number, Request, Text, told


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

    rank: Annotated[
        Annotated[int, Meta(ge=-(2**31), le=2**31)],
        told("The adapter's rank; the model on offer says how large it may be."),
    ]
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=2**63 - 1)] | None,
        told("The same seed gives the same first weights; null: any."),
    ] = None
    train_unembed: bool | None = None
    train_mlp: bool | None = None
    train_attn: bool | None = None


class OptimizerConfig(msgspec.Struct):
    """The optimizer of a run; families other than AdamW come with fields of their own."""

    type: Annotated[str, told("`adamw`, the only family offered.")] = "adamw"


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
    path: Annotated[Text, told("The `tinker://` path of training weights.")]
    optimizer: Annotated[bool | None, told("Whether the optimizer's state comes along.")] = None
    base_model: Annotated[Text | None, told("Checked against the checkpoint's, if given.")] = None
    optimizer_config: OptimizerConfig | None = None
    user_metadata: dict[str, Any] | None = None
    weights_access_token: Text | None = None
    # Sent as nulls by releases that know both forms
    model_id: Annotated[None, told("Null: other forms of this request use it.")] = None
    seq_id: Annotated[None, told("Null: other forms of this request use it.")] = None


class OperationBody(Request, kw_only=True):
    """An operation on a run."""

    model_id: str
    seq_id: int


class AdamParams(msgspec.Struct, forbid_unknown_fields=True):
    """AdamW's parameters for one step."""

    learning_rate: Annotated[float, told("The step's size.")] = 1e-4
    beta1: Annotated[float, told("How long the mean of the gradient lasts.")] = 0.9
    beta2: Annotated[float, told("How long the mean of its square lasts.")] = 0.95
    eps: Annotated[float, told("Added to the denominator.")] = 1e-12
    weight_decay: Annotated[float, told("Decoupled decay, times the learning rate.")] = 0.0
    grad_clip_norm: Annotated[float, told("Clip the gradient to this norm; 0: do not.")] = 0.0


class OptimStepBody(OperationBody, kw_only=True):
    """`optim_step`."""

    adam_params: AdamParams | None = None
    optimizer_params: Annotated[
        dict[str, Any] | None, told("Parameters of other optimizers, which are refused by name.")
    ] = None


class SaveWeightsBody(OperationBody, kw_only=True):
    """`save_weights`."""

    path: Annotated[str, told("The checkpoint's name.")]
    ttl_seconds: int | None = None
    overwrite: Annotated[
        bool | None, told("Whether a checkpoint of this name may be replaced.")
    ] = None
    user_metadata: dict[str, Any] | None = None


class LoadWeightsBody(OperationBody, kw_only=True):
    """`load_weights` onto an existing run."""

    path: Annotated[str, told("The `tinker://` path of training weights.")]
    optimizer: Annotated[
        bool | None, told("Whether the optimizer's state is loaded; otherwise it starts anew.")
    ] = None
    weights_access_token: str | None = None
    session_id: Annotated[None, told("Null: other forms of this request use it.")] = None
    model_seq_id: Annotated[None, told("Null: other forms of this request use it.")] = None


class SaveForSamplerBody(OperationBody, kw_only=True):
    """`save_weights_for_sampler`: named (a checkpoint) or ephemeral (a sampler of the session)."""

    path: Annotated[str | None, told("The checkpoint's name; null: make an ephemeral sampler.")] = (
        None
    )
    kind: Annotated[
        str | None,
        told(
            "`snapshot`; an ephemeral sampler may also be `inflight`: its weights follow the "
            "run's later saves."
        ),
    ] = None
    sampling_session_seq_id: Annotated[
        Annotated[int, Meta(ge=0, le=2**63 - 1)] | None,
        told("The ephemeral sampler's number in the session."),
    ] = None
    ttl_seconds: int | None = None
    user_metadata: dict[str, Any] | None = None


class SaveExternalBody(OperationBody, kw_only=True):
    """`save_weights_external`."""

    path: Annotated[str, told("The checkpoint's name.")]
    ttl_seconds: int | None = None
    age_encryption_recipients: Annotated[
        list[str] | None,
        told(
            "Encrypt the files with age for these public keys, 1 to 10: "
            "`age1…`, `ssh-ed25519 …` or `ssh-rsa …`. They then have `.age` after their names, and "
            "this server cannot read them."
        ),
    ] = None


class TensorData(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor in its JSON form."""

    data: Annotated[
        list[int | float], told("The numbers, row by row; of a sparse tensor only those listed.")
    ]
    dtype: Annotated[Literal["float32", "int64"], told("What they are.")]
    shape: Annotated[list[int] | None, told("One dimension unless given.")] = None
    sparse_crow_indices: Annotated[
        list[int] | None, told("Where each row begins in `data`, and its end.")
    ] = None
    sparse_col_indices: Annotated[list[int] | None, told("The column of each number.")] = None


class Chunk(msgspec.Struct):
    """A stretch of tokens; chunks of another type are refused by name."""

    type: Annotated[str | None, told("`encoded_text`, the only type offered.")] = None
    tokens: Annotated[
        list[Annotated[int, Meta(ge=0, le=2**31 - 1)]] | None, told("The tokens.")
    ] = None


class Prompt(msgspec.Struct, forbid_unknown_fields=True):
    """A model input."""

    chunks: Annotated[list[Chunk], told("What the prompt is put together from.")]


class SamplingParams(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """How to sample."""

    max_tokens: Annotated[int | None, told("How many to sample; null: as many as fit.")] = None
    seed: Annotated[int | None, told("The same seed gives the same samples; null: any.")] = None
    stop: Annotated[
        str | list[str | int] | None,
        told(
            "Stop at one of these texts or tokens; null: at the model's end tokens, `[]`: nowhere."
        ),
    ] = None
    temperature: Annotated[
        float | None,
        told("1 unless given. Below 0.00001: the likeliest token, and the model's own logprobs."),
    ] = None
    top_k: Annotated[int | None, told("Draw from the k likeliest tokens; -1: from all.")] = None
    top_p: Annotated[
        float | None, told("Draw from the likeliest tokens that have this share together.")
    ] = None


class SampleBody(Request, kw_only=True, omit_defaults=True):
    """`asample`."""

    sampling_session_id: str
    seq_id: int
    prompt: Annotated[Prompt, told("What to continue.")]
    sampling_params: Annotated[SamplingParams, told("How to sample.")]
    num_samples: Annotated[int | None, told("How many sequences; 1 unless given.")] = None
    prompt_logprobs: Annotated[bool | None, told("Score the prompt's own tokens, too.")] = None
    topk_prompt_logprobs: Annotated[
        int | None, told("The k likeliest tokens at every place of the prompt.")
    ] = None
    topk_sample_logprobs: Annotated[
        int | None, told("The k likeliest tokens at every sampled place.")
    ] = None
    prompt_alt_tokens_k: Annotated[
        int | None, told("Draw k other tokens at every place of the prompt.")
    ] = None
    record_stability_info: Annotated[
        bool | None, told("Keep the sampled logprobs for losses that ask for them.")
    ] = None
    target_prompt_logprobs: Annotated[
        TensorData | None, told("Score these tokens at every place of the prompt.")
    ] = None
    prompt_logprobs_last_n: Annotated[
        int | None, told("Score only the prompt's last n places.")
    ] = None
    base_model: str | None = None
    model_path: str | None = None
    report_tokens: Annotated[bool | None, told("Announce tokens as they are sampled.")] = None


class OldDatum(msgspec.Struct, forbid_unknown_fields=True):
    """A sequence to learn from."""

    model_input: Annotated[Prompt, told("The tokens.")]
    loss_fn_inputs: Annotated[
        dict[str, TensorData],
        told("Tensors by the names that the loss knows, e.g. `target_tokens`."),
    ] = {}


class OldPassInput(msgspec.Struct, forbid_unknown_fields=True):
    """A batch and its loss."""

    data: Annotated[list[OldDatum], told("The batch.")]
    loss_fn: Annotated[str, told("The loss's name, e.g. `cross_entropy`.")]
    loss_fn_config: Annotated[dict[str, float | str] | None, told("The loss's settings.")] = None


class OldPassBody(Request, kw_only=True):
    """A batch as JSON, as clients up to 0.24 send it."""

    model_id: str
    seq_id: int
    forward_input: Annotated[
        OldPassInput | None, told("The batch, if there is to be no gradient.")
    ] = None
    forward_backward_input: Annotated[
        OldPassInput | None, told("The batch, if its gradient is to be added.")
    ] = None
