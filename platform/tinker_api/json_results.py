"""Results as JSON, for releases of the public client that do not read protobuf (up to 0.24).

Workers write protobuf; it is read again here, and only for those who ask. Numbers that are not
finite are null in JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

import tinsmith.wire as wire
from core.json_bodies import Answer, told
from operations.bodies import TensorData
from operations.models import Operation

PROTOBUF = wire.PROTOBUF
_DTYPES: dict[int, tuple[str, Literal["float32", "int64"]]] = {
    wire.DTYPE_FLOAT32: ("<f4", "float32"),
    wire.DTYPE_INT64: ("<i8", "int64"),
}
_STOP_REASONS: dict[int, Literal["stop", "length"]] = {
    wire.STOP_REASON_STOP: "stop",
    wire.STOP_REASON_LENGTH: "length",
}
_NO_LOGPROB = -99999.0


class OldPassResult(Answer):
    """A pass's result as JSON, for clients that do not accept protobuf."""

    loss_fn_output_type: Annotated[str, told("What kind of output it is.")]
    loss_fn_outputs: Annotated[
        list[dict[str, TensorData]], told("For each datum its tensors by name, e.g. `logprobs`.")
    ]
    metrics: Annotated[
        dict[str, float | None], told("`name:reduction` to number; null: not finite.")
    ]


class OldSequence(Answer):
    """A sampled sequence."""

    stop_reason: Annotated[Literal["stop", "length"], told("Why it ended.")]
    tokens: list[int]
    logprobs: Annotated[
        list[float | None], told("The log-probability of each token; null: not finite.")
    ]
    topk_logprobs: Annotated[
        list[list[tuple[int, float]] | None] | UnsetType,
        told("The likeliest tokens at each place, with their log-probabilities."),
    ] = UNSET


class OldAltTokens(Answer):
    """Other tokens drawn at every place of the prompt."""

    tokens: Annotated[TensorData, told("The tokens.")]
    logprobs: Annotated[TensorData, told("Their log-probabilities.")]


class OldSampleResult(Answer):
    """A sample's result as JSON, for clients that do not accept protobuf."""

    type: Literal["sample"]
    sequences: Annotated[list[OldSequence], told("The samples.")]
    prompt_logprobs: Annotated[
        list[float | None] | UnsetType,
        told("The log-probability of each token of the prompt; null: none."),
    ] = UNSET
    topk_prompt_logprobs: Annotated[
        list[list[tuple[int, float]] | None] | UnsetType,
        told("The likeliest tokens at each place of the prompt."),
    ] = UNSET
    target_prompt_logprobs: Annotated[
        TensorData | UnsetType, told("The log-probabilities of the tokens asked for.")
    ] = UNSET
    prompt_alt_tokens: Annotated[OldAltTokens | UnsetType, told("The tokens drawn.")] = UNSET


def convert(kind: str, body: bytes) -> bytes:
    """The protobuf result of an operation of this kind as JSON."""
    read = _sample if kind == Operation.Kind.SAMPLE else _forward_backward
    return msgspec.json.encode(read(body))


def _forward_backward(body: bytes) -> OldPassResult:
    output = wire.ForwardBackwardOutput.FromString(body)
    return OldPassResult(
        loss_fn_output_type=output.loss_fn_output_type,
        loss_fn_outputs=[datum for record in output.loss_fn_outputs for datum in _data(record)],
        metrics=dict(output.metrics),
    )


def _data(record: wire.ArrayRecord) -> list[dict[str, TensorData]]:
    result: list[dict[str, TensorData]] = [{} for _ in range(record.num_datums)]
    for name, tensor in record.fields.items():
        encoding, dtype = _DTYPES[tensor.dtype]
        values = np.frombuffer(tensor.data, encoding)
        edges = np.frombuffer(tensor.offsets, "<i8") // values.itemsize
        trailing = list(tensor.trailing_shape)
        for datum, start, end in zip(result, edges[:-1], edges[1:], strict=True):
            rows = int(end - start) // max(1, int(np.prod(trailing)))
            datum[name] = TensorData(
                data=values[start:end].tolist(), dtype=dtype, shape=[rows, *trailing]
            )
    return result


def _sample(body: bytes) -> OldSampleResult:
    response = wire.SampleResponse.FromString(body)
    result = OldSampleResult(
        type="sample", sequences=[_sequence(sequence) for sequence in response.sequences]
    )
    if response.prompt_logprobs:
        result.prompt_logprobs = np.frombuffer(response.prompt_logprobs, "<f4").tolist()
    if response.HasField("topk_prompt_logprobs"):
        result.topk_prompt_logprobs = _top(response.topk_prompt_logprobs)
    if response.HasField("target_prompt_logprobs"):
        result.target_prompt_logprobs = _tensor(response.target_prompt_logprobs)
    if response.HasField("prompt_alt_tokens"):
        result.prompt_alt_tokens = OldAltTokens(
            tokens=_tensor(response.prompt_alt_tokens.tokens),
            logprobs=_tensor(response.prompt_alt_tokens.logprobs),
        )
    return result


def _sequence(sequence: wire.SampledSequence) -> OldSequence:
    result = OldSequence(
        stop_reason=_STOP_REASONS[sequence.stop_reason],
        tokens=np.frombuffer(sequence.tokens, "<i4").tolist(),
        logprobs=np.frombuffer(sequence.logprobs, "<f4").tolist(),
    )
    if sequence.HasField("topk_sampled_logprobs"):
        result.topk_logprobs = _top(sequence.topk_sampled_logprobs)
    return result


def _top(top: wire.TopkLogprobs) -> list[list[tuple[int, float]] | None]:
    """A list of (token, logprob) a place, None where there is none."""
    tokens = np.frombuffer(top.token_ids, "<i4").reshape(top.length, top.k).tolist()
    logprobs = np.frombuffer(top.logprobs, "<f4").reshape(top.length, top.k).tolist()
    return [
        [pair for pair in zip(*place, strict=True) if pair[1] != _NO_LOGPROB] or None
        for place in zip(tokens, logprobs, strict=True)
    ]


def _tensor(tensor: wire.Tensor) -> TensorData:
    encoding, dtype = _DTYPES[tensor.dtype]
    if tensor.WhichOneof("encoding") != "sparse_csr":
        values = np.frombuffer(tensor.dense, encoding).tolist()
        return TensorData(data=values, dtype=dtype, shape=list(tensor.shape))
    sparse = tensor.sparse_csr
    return TensorData(
        data=np.frombuffer(sparse.values, encoding).tolist(),
        dtype=dtype,
        shape=list(tensor.shape),
        sparse_crow_indices=np.frombuffer(sparse.crow_indices, "<i8").tolist(),
        sparse_col_indices=np.frombuffer(sparse.col_indices, "<i8").tolist(),
    )
