"""Reads the two ids out of a protobuf ForwardBackwardRequest without decoding its tensors.

The web process stores the body as it came, so all it must know is which run it is for and its place
in the run's order. Only top-level fields are looked at; a datum is one jump over its length.
"""

from __future__ import annotations

from typing import NamedTuple

MODEL_ID_FIELD = 1
SEQ_ID_FIELD = 2

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10


class ScanError(ValueError):
    """The bytes are not a protobuf message, or one without the ids."""


class Ids(NamedTuple):
    """Where a request belongs: its training run and its place in that run's order."""

    model_id: str
    seq_id: int


def scan_forward_backward(body: bytes) -> Ids:
    """The ids of a whole ForwardBackwardRequest; as in protobuf, a field's last value counts."""
    model_id, seq_id, position = _scan(body, 0, len(body))
    if position != len(body):
        raise ScanError("the message is cut short")
    return _checked(model_id, seq_id)


def scan_beginning(body: bytes) -> Ids | None:
    """The ids when they stand in the first bytes of a longer message, as clients write them."""
    try:
        model_id, seq_id, _ = _scan(body, 0, len(body))
        return _checked(model_id, seq_id)
    except ScanError:
        return None


def _scan(body: bytes, position: int, end: int) -> tuple[bytes | None, int | None, int]:
    """(model id, seq id, where the last whole field ended) of the top-level fields."""
    model_id: bytes | None = None
    seq_id: int | None = None
    while position < end:
        start = position
        try:
            tag, position = _varint(body, position)
            field, wire_type = tag >> 3, tag & 7
            if field == 0 or field > 2**29 - 1:
                raise ScanError(f"field number {field} is not possible")
            if wire_type == BYTES:
                length, position = _varint(body, position)
                if position + length > end:
                    return model_id, seq_id, start
                if field == MODEL_ID_FIELD:
                    model_id = body[position : position + length]
                position += length
            elif wire_type == VARINT:
                value, position = _varint(body, position)
                if field == SEQ_ID_FIELD:
                    seq_id = _signed(value)
            elif wire_type in (FIXED64, FIXED32):
                position += 8 if wire_type == FIXED64 else 4
                if position > end:
                    return model_id, seq_id, start
            else:
                raise ScanError(f"wire type {wire_type} is not possible")
        except IndexError:
            return model_id, seq_id, start
    return model_id, seq_id, position


def _varint(body: bytes, position: int) -> tuple[int, int]:
    """(value, position after it); IndexError when the bytes end inside it."""
    byte = body[position]
    if byte < 0x80:
        return byte, position + 1
    value, shift = byte & 0x7F, 7
    for offset in range(1, MAX_VARINT_BYTES):
        byte = body[position + offset]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position + offset + 1
        shift += 7
    raise ScanError("a number has more than 10 bytes")


def _signed(value: int) -> int:
    """An int32 from its varint: negative numbers are sent as 64 bits of two's complement."""
    value &= 2**32 - 1
    return value - 2**32 if value >= 2**31 else value


def _checked(model_id: bytes | None, seq_id: int | None) -> Ids:
    if model_id is None or seq_id is None:
        missing = "model_id" if model_id is None else "seq_id"
        raise ScanError(f"{missing} is missing")
    try:
        return Ids(model_id.decode(), seq_id)
    except UnicodeDecodeError:
        raise ScanError("model_id is not UTF-8") from None
