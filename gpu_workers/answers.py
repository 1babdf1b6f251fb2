"""The engine's results as the wire's answers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from gpu_workers.engine.types import PassResult, SampleResult
from operations.services import JSON, PROTOBUF
from tinsmith.wire import wire_pb2

Answer = tuple[str, bytes]


def json(**fields: object) -> Answer:
    """A JSON answer."""
    return JSON, msgspec.json.encode(fields)


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


def sample(result: SampleResult) -> Answer:
    """A SampleResponse: tokens and logprobs of each sequence, and of the prompt if asked for."""
    response = wire_pb2.SampleResponse(prompt_cache_hit_tokens=result.prompt_cache_hit_tokens)
    for sequence in result.sequences:
        response.sequences.append(
            wire_pb2.SampledSequence(
                stop_reason=wire_pb2.STOP_REASON_STOP
                if sequence.stop_reason == "stop"
                else wire_pb2.STOP_REASON_LENGTH,
                tokens=sequence.tokens.astype("<i4").tobytes(),
                logprobs=sequence.logprobs.astype("<f4").tobytes(),
            )
        )
    if result.prompt_logprobs is not None:
        response.prompt_logprobs = result.prompt_logprobs.astype("<f4").tobytes()
    return PROTOBUF, response.SerializeToString()
