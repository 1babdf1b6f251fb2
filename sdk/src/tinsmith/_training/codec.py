"""Between the types callers see and the protocol's binary messages.

A batch is encoded datum by datum, in the caller's thread: what a caller changes afterwards has no
effect, the size of every datum is known exactly, and chunks are put together without copying twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from tinsmith import wire
from tinsmith._words.mistakes import number, unlike
from tinsmith.errors import APIResponseValidationError
from tinsmith.types.datum import Datum, ProvenanceSpans, SampledProvenanceSpan, as_tensor
from tinsmith.types.inputs import DmelChunk, EncodedTextChunk, ImageChunk, ModelInputChunk
from tinsmith.types.results import (
    ForwardBackwardOutput,
    LossFnOutput,
    PromptAltTokens,
    SampledSequence,
    SampleResponse,
    TopkLogprobs,
)
from tinsmith.types.tensor import TensorData, pack
from tinsmith.types.tokens import check_tokens

_WIRE_DTYPE = {"float32": wire.DTYPE_FLOAT32, "int64": wire.DTYPE_INT64}
_LITTLE: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "int64": np.dtype("<i8")}
_DATA_FIELD = bytes([wire.ForwardBackwardRequest.DATA_FIELD_NUMBER << 3 | 2])


# ---- requests


def encode_datum(datum: Datum) -> bytes:
    """A datum as the bytes of a wire ``Datum``; raises ValueError for what training cannot take."""
    message = wire.Datum()
    for chunk in datum.model_input.chunks:
        _write_chunk(message.model_input.add(), chunk)
    for name, tensor in datum.loss_fn_inputs.items():
        # A dict that was changed after the datum was made may hold raw arrays
        write_tensor(message.loss_fn_inputs[name], as_tensor(name, tensor))
    _write_spans(message.model_input_spans, datum.model_input_spans)
    _write_spans(message.loss_fn_input_spans, datum.loss_fn_input_spans)
    return bytes(message.SerializeToString())


def encode_pass_settings(
    loss_fn: str, loss_fn_config: Mapping[str, float | str] | None, forward_only: bool
) -> bytes:
    """The part of a ForwardBackwardRequest that all chunks of a batch share."""
    message = wire.ForwardBackwardRequest(loss_fn=loss_fn, forward_only=forward_only)
    if loss_fn_config is not None and not isinstance(loss_fn_config, Mapping):
        raise unlike("loss_fn_config", "numbers by name", loss_fn_config, 'e.g. {"beta": 0.1}')
    for name, value in (loss_fn_config or {}).items():
        if isinstance(value, str):
            message.loss_fn_config_v2[name].text = value
        else:
            plain = float(number(f"loss_fn_config[{name!r}]", value))
            message.loss_fn_config[name] = plain
            message.loss_fn_config_v2[name].number = plain
    return bytes(message.SerializeToString())


def assemble_pass(model_id: str, seq_id: int, settings: bytes, datums: Sequence[bytes]) -> bytes:
    """The bytes of a ForwardBackwardRequest, ids first: the server looks for them there."""
    head = wire.ForwardBackwardRequest(model_id=model_id, seq_id=seq_id).SerializeToString()
    parts = [head, settings]
    for datum in datums:
        parts += (_DATA_FIELD, _varint(len(datum)), datum)
    return b"".join(parts)


def write_tensor(message: wire.Tensor, tensor: TensorData) -> None:
    """Fill a wire ``Tensor``."""
    message.dtype = _WIRE_DTYPE[tensor.dtype]
    message.shape.extend(tensor.shape or ())
    values = _bytes(tensor._numpy, _LITTLE[tensor.dtype])
    if tensor.sparse_crow_indices is None:
        message.dense = values
    else:
        message.sparse_csr.values = values
        message.sparse_csr.crow_indices = _bytes(tensor.sparse_crow_indices, _LITTLE["int64"])
        message.sparse_csr.col_indices = _bytes(tensor.sparse_col_indices, _LITTLE["int64"])


def _write_chunk(message: wire.Chunk, chunk: ModelInputChunk) -> None:
    if isinstance(chunk, EncodedTextChunk):
        message.encoded_text.tokens = encode_tokens(chunk.tokens)
    elif isinstance(chunk, ImageChunk):
        message.image.data = chunk.data
        message.image.format = chunk.format
        if chunk.expected_tokens is not None:
            message.image.expected_tokens = chunk.expected_tokens
    elif isinstance(chunk, DmelChunk):
        message.dmel.dmel = chunk.dmel
    else:
        raise ValueError(f"training takes no chunk of the kind {chunk.type!r}")


def encode_tokens(tokens: Sequence[int]) -> bytes:
    """Token ids as int32; raises ValueError for what is no list of integers of that size."""
    packed = pack(tokens, "int32")
    if packed is not None:
        return _bytes(packed, np.dtype("<i4"))
    check_tokens(tokens)
    array = np.asarray(tokens)
    if array.dtype != np.int32:
        if array.size and array.dtype.kind not in "iu":
            raise ValueError(f"tokens must be integers, not {array.dtype}")
        if array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
            raise ValueError("a token id must fit into 32 bits")
        array = array.astype(np.int32)
    if array.ndim != 1:
        raise ValueError(f"tokens must be one flat list, not an array of shape {array.shape}")
    return _bytes(array, np.dtype("<i4"))


def _write_spans(target: Any, spans: ProvenanceSpans | None) -> None:
    for span in spans or ():
        message = target.add()
        sampled = isinstance(span, SampledProvenanceSpan)
        part = message.sampled_tokens if sampled else message.prompt_tokens
        part.sequence_id, part.offset, part.length = span.sequence_id, span.offset, span.length


def _bytes(values: Any, dtype: np.dtype[Any]) -> bytes:
    return np.ascontiguousarray(values, dtype=dtype).tobytes()


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# ---- results


def decode_pass(body: bytes) -> ForwardBackwardOutput:
    """A ForwardBackwardOutput; raises APIResponseValidationError when the bytes are none."""
    message = _parse(wire.ForwardBackwardOutput(), body)
    outputs: list[LossFnOutput] = []
    for record in message.loss_fn_outputs:
        columns = {name: _unbatch(field) for name, field in record.fields.items()}
        count = record.num_datums or max((len(column) for column in columns.values()), default=0)
        outputs += [
            {name: column[index] for name, column in columns.items()} for index in range(count)
        ]
    return ForwardBackwardOutput(
        loss_fn_output_type=message.loss_fn_output_type.rpartition(":")[2],
        loss_fn_outputs=outputs,
        metrics=dict(message.metrics),
    )


def _unbatch(field: wire.BatchedTensor) -> list[TensorData]:
    """One tensor a datum, from their common buffer."""
    offsets = np.frombuffer(field.offsets, dtype="<i8").tolist()
    values = _array(field.data, field.dtype)
    # Offsets count bytes of what was sent, which need not be as wide as what it became
    width = max(len(field.data) // max(len(values), 1), 1)
    trailing = tuple(field.trailing_shape)
    tensors = []
    for start, end in zip(offsets, offsets[1:], strict=False):  # noqa: RUF007 (slower)
        part = values[start // width : end // width]
        tensors.append(TensorData.from_numpy(part.reshape(-1, *trailing) if trailing else part))
    return tensors


def _array(data: bytes, dtype: int) -> np.ndarray[Any, Any]:
    """The numbers, as int64 or float32, in memory of their own."""
    if dtype == wire.DTYPE_INT64:
        return np.frombuffer(data, dtype="<i8").astype(np.int64)
    if dtype == wire.DTYPE_INT32:
        return np.frombuffer(data, dtype="<i4").astype(np.int64)
    if dtype == wire.DTYPE_BFLOAT16:
        high = np.frombuffer(data, dtype="<u2").astype(np.uint32)
        return (high << 16).view(np.float32)
    return np.frombuffer(data, dtype="<f4").astype(np.float32)


def decode_sample(body: bytes, sequence_ids: Sequence[str] = ()) -> SampleResponse:
    """A SampleResponse whose sequences bear the ids the server gave when it took the request."""
    message = _parse(wire.SampleResponse(), body)
    ids = [*sequence_ids, *[""] * len(message.sequences)]
    alternatives = message.prompt_alt_tokens if message.HasField("prompt_alt_tokens") else None
    return SampleResponse(
        sequences=[
            _sequence(part, name) for part, name in zip(message.sequences, ids, strict=False)
        ],
        prompt_logprobs_np=_floats(message.prompt_logprobs),
        topk_prompt_logprobs_np=_topk(message.topk_prompt_logprobs),
        target_prompt_logprobs=(
            read_tensor(message.target_prompt_logprobs)
            if message.HasField("target_prompt_logprobs")
            else None
        ),
        prompt_cache_hit_tokens=message.prompt_cache_hit_tokens,
        prompt_alt_tokens=alternatives
        and PromptAltTokens(
            tokens=read_tensor(alternatives.tokens), logprobs=read_tensor(alternatives.logprobs)
        ),
    )


def read_tensor(message: wire.Tensor) -> TensorData:
    """A wire ``Tensor`` as what callers see."""
    if message.HasField("sparse_csr"):
        sparse = message.sparse_csr
        values = _array(sparse.values, message.dtype)
        return TensorData(
            values,
            "int64" if values.dtype.kind == "i" else "float32",
            list(message.shape),
            np.frombuffer(sparse.crow_indices, dtype="<i8").tolist(),
            np.frombuffer(sparse.col_indices, dtype="<i8").tolist(),
        )
    values = _array(message.dense, message.dtype)
    return TensorData.from_numpy(values.reshape(tuple(message.shape) or (-1,)))


def _sequence(message: wire.SampledSequence, sequence_id: str) -> SampledSequence:
    return SampledSequence(
        stop_reason="length" if message.stop_reason == wire.STOP_REASON_LENGTH else "stop",
        tokens_np=np.frombuffer(message.tokens, dtype="<i4"),
        logprobs_np=_floats(message.logprobs),
        topk_logprobs_np=_topk(message.topk_sampled_logprobs),
        sequence_id=sequence_id,
    )


def _floats(data: bytes) -> np.ndarray[Any, Any] | None:
    return np.frombuffer(data, dtype="<f4") if data else None


def _topk(message: wire.TopkLogprobs) -> TopkLogprobs | None:
    shape = (message.length, message.k)
    if 0 in shape:
        return None
    return TopkLogprobs(
        np.frombuffer(message.token_ids, dtype="<i4").reshape(shape),
        np.frombuffer(message.logprobs, dtype="<f4").reshape(shape),
    )


def _parse(message: Any, body: bytes) -> Any:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped,unused-ignore]

    try:
        message.ParseFromString(body)
    except DecodeError as error:
        name = cast("str", message.DESCRIPTOR.name)
        raise APIResponseValidationError(f"the server's {name} cannot be read: {error}") from None
    return message
