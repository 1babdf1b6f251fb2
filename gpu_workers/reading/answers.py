"""The engine's results as the wire's answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from core import json_bodies
from gpu_workers.engine.types import (
    PassResult,
    PromptTargets,
    SampledSequence,
    SampleResult,
    TopLogprobs,
)
from operations.services import JSON, PROTOBUF
from tinsmith.wire import wire_pb2

Answer = tuple[str, bytes]


def json(result: json_bodies.Answer) -> Answer:
    """A JSON answer."""
    return JSON, msgspec.json.encode(result)


def size_of(result: object) -> int:
    """About how many bytes the answer to a result has; the arrays in it are what counts."""
    if isinstance(result, PassResult):
        return sum(array.nbytes for array in result.outputs)
    if isinstance(result, SampleResult):
        tables = [result.top_prompt, *(sequence.top for sequence in result.sequences)]
        arrays = [
            result.prompt_logprobs,
            result.target_logprobs,
            result.alt_tokens,
            result.alt_logprobs,
            *(array for table in tables if table for array in (table.tokens, table.logprobs)),
            *(array for item in result.sequences for array in (item.tokens, item.logprobs)),
        ]
        return sum(array.nbytes for array in arrays if array is not None)
    return 0


def forward_backward(result: PassResult) -> Answer:
    """A ForwardBackwardOutput: the logprobs of each datum and the metrics."""
    output = wire_pb2.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
    for record in _rectangular(result.outputs):
        output.loss_fn_outputs.append(_array_record(record))
    output.metrics.update(result.metrics)
    return PROTOBUF, output.SerializeToString()


def _rectangular(arrays: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Neighbouring arrays whose trailing shapes are equal, as one record needs them."""
    groups: list[list[np.ndarray]] = []
    for array in arrays:
        if groups and groups[-1][0].shape[1:] == array.shape[1:]:
            groups[-1].append(array)
        else:
            groups.append([array])
    return groups


def _array_record(arrays: list[np.ndarray]) -> wire_pb2.ArrayRecord:
    offsets = np.zeros(len(arrays) + 1, "<i8")
    np.cumsum([array.nbytes for array in arrays], out=offsets[1:])
    tensor = wire_pb2.BatchedTensor(
        data=b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays),
        offsets=offsets.tobytes(),
        dtype=wire_pb2.DTYPE_FLOAT32,
        trailing_shape=arrays[0].shape[1:],
    )
    return wire_pb2.ArrayRecord(
        type_tag="ArrayRecord", fields={"logprobs": tensor}, num_datums=len(arrays)
    )


def sample(result: SampleResult, targets: PromptTargets | None = None) -> Answer:
    """A SampleResponse: what was sampled, and what was asked of the prompt.

    `targets` are the request's: their logprobs go back in the same layout.
    """
    response = wire_pb2.SampleResponse(prompt_cache_hit_tokens=result.prompt_cache_hit_tokens)
    for sequence in result.sequences:
        response.sequences.append(_sequence(sequence))
    if result.prompt_logprobs is not None:
        response.prompt_logprobs = result.prompt_logprobs.astype("<f4").tobytes()
    if result.top_prompt is not None:
        response.topk_prompt_logprobs.CopyFrom(_top(result.top_prompt))
    if targets is not None and result.target_logprobs is not None:
        response.target_prompt_logprobs.CopyFrom(_as_asked(targets, result.target_logprobs))
    if result.alt_tokens is not None and result.alt_logprobs is not None:
        alternatives = response.prompt_alt_tokens
        alternatives.tokens.CopyFrom(_dense(result.alt_tokens, "<i8", wire_pb2.DTYPE_INT64))
        alternatives.logprobs.CopyFrom(_dense(result.alt_logprobs, "<f4", wire_pb2.DTYPE_FLOAT32))
    return PROTOBUF, response.SerializeToString()


def _sequence(sequence: SampledSequence) -> wire_pb2.SampledSequence:
    stopped = sequence.stop_reason == "stop"
    message = wire_pb2.SampledSequence(
        stop_reason=wire_pb2.STOP_REASON_STOP if stopped else wire_pb2.STOP_REASON_LENGTH,
        tokens=sequence.tokens.astype("<i4").tobytes(),
        logprobs=sequence.logprobs.astype("<f4").tobytes(),
    )
    if sequence.top is not None:
        message.topk_sampled_logprobs.CopyFrom(_top(sequence.top))
    return message


def _top(top: TopLogprobs) -> wire_pb2.TopkLogprobs:
    length, k = top.tokens.shape
    return wire_pb2.TopkLogprobs(
        token_ids=top.tokens.astype("<i4").tobytes(),
        logprobs=top.logprobs.astype("<f4").tobytes(),
        k=k,
        length=length,
    )


def _as_asked(targets: PromptTargets, values: np.ndarray) -> wire_pb2.Tensor:
    if targets.row_starts is None or targets.columns is None:
        return _dense(values.reshape(targets.shape), "<f4", wire_pb2.DTYPE_FLOAT32)
    sparse = wire_pb2.SparseCsr(
        values=values.astype("<f4").tobytes(),
        crow_indices=targets.row_starts.astype("<i8").tobytes(),
        col_indices=targets.columns.astype("<i8").tobytes(),
    )
    return wire_pb2.Tensor(
        sparse_csr=sparse, dtype=wire_pb2.DTYPE_FLOAT32, shape=list(targets.shape)
    )


def _dense(array: np.ndarray, encoding: str, dtype: wire_pb2.DType) -> wire_pb2.Tensor:
    return wire_pb2.Tensor(
        dense=array.astype(encoding).tobytes(), dtype=dtype, shape=list(array.shape)
    )
