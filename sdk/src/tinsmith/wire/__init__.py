"""Binary messages of the wire protocol, shared by the SDK and the server.

It imports protobuf and nothing else; importing it does not import the rest of the SDK.

Regenerate after a change of wire.proto, from ``sdk/src``, with grpcio-tools 1.64: its code has no
check of versions yet, so that it runs on every protobuf from 5.26 on::

    python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. tinsmith/wire/wire.proto
"""

from tinsmith.wire.wire_pb2 import (
    DTYPE_BFLOAT16,
    DTYPE_FLOAT32,
    DTYPE_INT32,
    DTYPE_INT64,
    DTYPE_UNSPECIFIED,
    STOP_REASON_LENGTH,
    STOP_REASON_STOP,
    ArrayRecord,
    BatchedTensor,
    Chunk,
    Datum,
    DmelChunk,
    DType,
    EncodedTextChunk,
    ForwardBackwardOutput,
    ForwardBackwardRequest,
    ImageChunk,
    LossConfigValue,
    ProvenanceSpan,
    SampledSequence,
    SampleResponse,
    SparseCsr,
    StopReason,
    Tensor,
    TopkLogprobs,
)

PROTOBUF = "application/x-protobuf"
"""Content type of these messages."""

__all__ = [
    "DTYPE_BFLOAT16",
    "DTYPE_FLOAT32",
    "DTYPE_INT32",
    "DTYPE_INT64",
    "DTYPE_UNSPECIFIED",
    "PROTOBUF",
    "STOP_REASON_LENGTH",
    "STOP_REASON_STOP",
    "ArrayRecord",
    "BatchedTensor",
    "Chunk",
    "DType",
    "Datum",
    "DmelChunk",
    "EncodedTextChunk",
    "ForwardBackwardOutput",
    "ForwardBackwardRequest",
    "ImageChunk",
    "LossConfigValue",
    "ProvenanceSpan",
    "SampleResponse",
    "SampledSequence",
    "SparseCsr",
    "StopReason",
    "Tensor",
    "TopkLogprobs",
]
