"""Operation bodies as clients sent them, read into the engine's work.

Whatever is wrong with a body is a UserError: it fails that operation through its future. Names that
we do not know are refused, never ignored.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from msgspec import Meta

from checkpoints.services import MAX_TTL_S, MIN_TTL_S
from core import metadata
from core.errors import BadRequest
from core.ids import is_checkpoint_name
from gpu_workers.engine.types import Datum, ForwardBackward, OptimStep, Sample, UserError
from tinker_api import schemas
from tinsmith.wire import wire_pb2

T = TypeVar("T")

MAX_SAMPLES = 1024
_DTYPES: dict[int, np.dtype] = {
    wire_pb2.DTYPE_FLOAT32: np.dtype("<f4"),
    wire_pb2.DTYPE_INT64: np.dtype("<i8"),
}


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


class SamplingParams(msgspec.Struct, forbid_unknown_fields=True):
    """How to sample."""

    max_tokens: int | None = None
    seed: int | None = None
    stop: str | list[str | int] | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None


class SampleBody(schemas.Request, kw_only=True):
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
    target_prompt_logprobs: Any = None
    prompt_logprobs_last_n: int | None = None
    base_model: str | None = None
    model_path: str | None = None
    report_tokens: bool | None = None


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
    if request.kind not in (None, "snapshot"):
        raise UserError(f"the kind {request.kind!r} of sampler is not offered; allowed: snapshot")
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


def sample(body: bytes) -> Sample:
    """An `asample` body."""
    request = decode(body, SampleBody)
    _refuse_unoffered(request)
    params = request.sampling_params
    tokens, strings = _stops(params.stop)
    num_samples = 1 if request.num_samples is None else request.num_samples
    if not 1 <= num_samples <= MAX_SAMPLES:
        raise UserError(f"num_samples must be between 1 and {MAX_SAMPLES}, not {num_samples}")
    return Sample(
        prompt=_tokens_of(request.prompt),
        num_samples=num_samples,
        max_tokens=params.max_tokens,
        temperature=1.0 if params.temperature is None else params.temperature,
        top_k=-1 if params.top_k is None else params.top_k,
        top_p=1.0 if params.top_p is None else params.top_p,
        seed=params.seed,
        stop_tokens=tokens,
        stop_strings=strings,
        prompt_logprobs=bool(request.prompt_logprobs),
        report_tokens=bool(request.report_tokens),
    )


def _refuse_unoffered(request: SampleBody) -> None:
    unoffered = {
        "topk_prompt_logprobs": request.topk_prompt_logprobs,
        "topk_sample_logprobs": request.topk_sample_logprobs,
        "prompt_alt_tokens_k": request.prompt_alt_tokens_k,
        "target_prompt_logprobs": request.target_prompt_logprobs,
        "prompt_logprobs_last_n": request.prompt_logprobs_last_n,
        "record_stability_info": request.record_stability_info,
    }
    asked = [name for name, value in unoffered.items() if value]
    if asked:
        raise UserError(f"not offered by this server: {', '.join(asked)}; use prompt_logprobs")


def _stops(stop: str | list[str | int] | None) -> tuple[list[int] | None, list[str] | None]:
    """Stop tokens and stop strings; (None, None) when the model's own end tokens stop."""
    if stop is None:
        return None, None
    entries = [stop] if isinstance(stop, str) else stop
    return (
        [entry for entry in entries if isinstance(entry, int)],
        [entry for entry in entries if isinstance(entry, str)],
    )


def _tokens_of(prompt: Prompt) -> list[int]:
    tokens: list[int] = []
    for chunk in prompt.chunks:
        if chunk.type not in (None, "encoded_text"):
            raise UserError(f"chunks of type {chunk.type!r} are not offered; allowed: encoded_text")
        if chunk.tokens is None:
            raise UserError("a chunk of the prompt has no tokens")
        tokens.extend(chunk.tokens)
    return tokens


def forward_backward(body: bytes) -> ForwardBackward:
    """A protobuf ForwardBackwardRequest; arrays are views of the body's bytes where possible."""
    try:
        request = wire_pb2.ForwardBackwardRequest.FromString(body)
    except DecodeError:
        raise UserError("the body is not a valid ForwardBackwardRequest") from None
    config: dict[str, float | str] = dict(request.loss_fn_config)
    for key, value in request.loss_fn_config_v2.items():
        config[key] = value.number if value.WhichOneof("value") == "number" else value.text
    return ForwardBackward(
        data=[_datum(index, datum) for index, datum in enumerate(request.data)],
        loss_fn=request.loss_fn,
        loss_config=config,
        forward_only=request.forward_only,
    )


def _datum(index: int, datum: wire_pb2.Datum) -> Datum:
    if datum.model_input_spans or datum.loss_fn_input_spans:
        raise UserError(f"datum {index}: provenance spans are not offered by this server")
    chunks = []
    for chunk in datum.model_input:
        kind = chunk.WhichOneof("chunk")
        if kind != "encoded_text":
            raise UserError(
                f"datum {index}: chunks of type {kind!r} are not offered; allowed: encoded_text"
            )
        chunks.append(_array(chunk.encoded_text.tokens, np.dtype("<i4"), f"datum {index}: tokens"))
    tokens = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, "<i4"), *chunks])
    inputs = {
        name: _tensor(tensor, f"datum {index}: {name}")
        for name, tensor in datum.loss_fn_inputs.items()
    }
    return Datum(tokens=tokens, inputs=inputs)


def _tensor(tensor: wire_pb2.Tensor, where: str) -> np.ndarray:
    if tensor.WhichOneof("encoding") == "sparse_csr":
        raise UserError(f"{where}: sparse tensors are not offered by this server; send it dense")
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise UserError(f"{where}: the dtype must be float32 or int64")
    flat = _array(tensor.dense, dtype, where)
    shape = tuple(tensor.shape) or (flat.size,)
    if min(shape) < 0 or int(np.prod(shape, dtype=object)) != flat.size:
        raise UserError(f"{where}: the shape {list(shape)} does not fit {flat.size} values")
    return flat.reshape(shape)


def _array(data: bytes, dtype: np.dtype, where: str) -> np.ndarray:
    if len(data) % dtype.itemsize:
        raise UserError(f"{where}: {len(data)} bytes are no whole number of {dtype} values")
    array = np.frombuffer(data, dtype)
    return array if sys.byteorder == "little" else array.astype(dtype.newbyteorder("="))
