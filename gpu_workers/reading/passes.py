"""Batches as clients sent them, read into the engine's ForwardBackward: protobuf, or old JSON.

Releases of the public client up to 0.24 send JSON, with chunks that name no type, nulls for what is
not set, and `forward_input` instead of `forward_backward_input` for a pass without gradients.
Arrays are views of the body's bytes where possible. Whatever is wrong is a UserError.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from google.protobuf.message import DecodeError

from gpu_workers.engine.types import Datum, ForwardBackward, UserError
from gpu_workers.reading import provenance, tensors
from gpu_workers.reading.bodies import decode, tokens_of
from gpu_workers.reading.provenance import Find, Span
from gpu_workers.reading.tensors import Csr, Spread
from operations.bodies import OldDatum, OldPassBody
from operations.services import PROTOBUF
from tinsmith.wire import wire_pb2

_DTYPES: dict[int, np.dtype] = {
    wire_pb2.DTYPE_FLOAT32: np.dtype("<f4"),
    wire_pb2.DTYPE_INT64: np.dtype("<i8"),
}
_INT32, _INT64 = np.dtype("<i4"), np.dtype("<i8")


def forward_backward(body: bytes, content_type: str, find: Find) -> ForwardBackward:
    """A `forward_backward` body; `find` looks up the sequences that its spans name."""
    if content_type != PROTOBUF:
        return _from_json(body)
    try:
        request = wire_pb2.ForwardBackwardRequest.FromString(body)
    except DecodeError:
        raise UserError("the body is not a valid ForwardBackwardRequest") from None
    config: dict[str, float | str] = dict(request.loss_fn_config)
    for key, value in request.loss_fn_config_v2.items():
        config[key] = value.number if value.WhichOneof("value") == "number" else value.text
    spread = Spread()
    data, spans = [], []
    for number, datum in enumerate(request.data):
        data.append(_datum(number, datum, spread))
        spans.append(_spans(number, datum, data[-1]))
    work = ForwardBackward(data, request.loss_fn, config, request.forward_only)
    provenance.use(work, spans, find)
    return work


def _datum(number: int, datum: wire_pb2.Datum, spread: Spread) -> Datum:
    chunks = []
    for chunk in datum.model_input:
        kind = chunk.WhichOneof("chunk")
        if kind != "encoded_text":
            raise UserError(
                f"datum {number}: chunks of type {kind!r} are not offered; allowed: encoded_text"
            )
        where = f"datum {number}: tokens"
        chunks.append(tensors.from_bytes(chunk.encoded_text.tokens, _INT32, where))
    tokens = chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, "<i4"), *chunks])
    inputs = {
        name: _tensor(tensor, f"datum {number}: {name}", spread)
        for name, tensor in datum.loss_fn_inputs.items()
    }
    return Datum(tokens=tokens, inputs=inputs)


def _tensor(tensor: wire_pb2.Tensor, where: str, spread: Spread) -> np.ndarray:
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise UserError(f"{where}: the dtype must be float32 or int64")
    if tensor.WhichOneof("encoding") == "sparse_csr":
        sparse = tensor.sparse_csr
        parts = Csr.of(
            tensors.from_bytes(sparse.values, dtype, where),
            tensors.from_bytes(sparse.crow_indices, _INT64, f"{where}: crow_indices"),
            tensors.from_bytes(sparse.col_indices, _INT64, f"{where}: col_indices"),
            tensor.shape,
            where,
        )
        return parts.dense(where, spread)
    return tensors.shaped(tensors.from_bytes(tensor.dense, dtype, where), tensor.shape, where)


def _spans(number: int, sent: wire_pb2.Datum, datum: Datum) -> list[Span] | None:
    """The spans of a datum's targets, None when it has none."""
    if not sent.model_input_spans and not sent.loss_fn_input_spans:
        return None
    inputs, targets = _read(sent.model_input_spans), _read(sent.loss_fn_input_spans)
    provenance.check(number, inputs, len(datum.tokens), "model_input")
    known = datum.inputs.get("target_tokens", np.empty(0))
    if known.ndim != 1:
        raise UserError(f"datum {number}: spans go with target_tokens of one dimension")
    provenance.check(number, targets, len(known), "target_tokens")
    return targets


def _read(spans: Iterable[wire_pb2.ProvenanceSpan]) -> list[Span]:
    result = []
    for span in spans:
        sampled = span.WhichOneof("span") == "sampled_tokens"
        tokens = span.sampled_tokens if sampled else span.prompt_tokens
        result.append(Span(tokens.sequence_id, tokens.offset, tokens.length, sampled))
    return result


# --- JSON -----------------------------------------------------------------------------------------


def _from_json(body: bytes) -> ForwardBackward:
    request = decode(body, OldPassBody, nul_allowed=True)
    given = request.forward_backward_input or request.forward_input
    if given is None or None not in (request.forward_backward_input, request.forward_input):
        raise UserError("give either forward_backward_input or forward_input")
    spread = Spread()
    data = [_json_datum(number, datum, spread) for number, datum in enumerate(given.data)]
    only = request.forward_backward_input is None
    return ForwardBackward(data, given.loss_fn, given.loss_fn_config or {}, forward_only=only)


def _json_datum(number: int, datum: OldDatum, spread: Spread) -> Datum:
    try:
        tokens = np.array(tokens_of(datum.model_input), np.int32)
    except UserError as error:
        raise UserError(f"datum {number}: {error}") from None
    inputs = {
        name: tensors.from_json(tensor, f"datum {number}: {name}", spread)
        for name, tensor in datum.loss_fn_inputs.items()
    }
    return Datum(tokens=tokens, inputs=inputs)
