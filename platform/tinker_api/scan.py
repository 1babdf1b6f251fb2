"""Reads the two ids out of requests whose bodies the web process does not decode.

It stores a body as it came, so all it must know is which run it is for and its place in the run's
order. Of a protobuf ForwardBackwardRequest only top-level fields are looked at; a datum is one jump
over its length. What is refused is read leniently, as far as its beginning and its end go.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

import msgspec

MODEL_ID_FIELD = 1
SEQ_ID_FIELD = 2

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10

WINDOW = 64 * 1024
# brackets inside texts are none, so texts are whole tokens; one that is cut ends the search
_JSON_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[{}\[\]]', re.DOTALL)
# of a member: a text or a whole number
_JSON_VALUE = re.compile(rb'\s*:\s*("(?:[^"\\]|\\.){0,1000}"|-?\d{1,20}(?=[\s,}]))', re.DOTALL)


class ScanError(ValueError):
    """The bytes are not a protobuf message, or one without the ids."""


class Ids(NamedTuple):
    """Where a request belongs: its training run and its place in that run's order."""

    model_id: str
    seq_id: int


def scan_forward_backward(body: bytes) -> Ids:
    """The ids of a whole ForwardBackwardRequest; as in protobuf, a field's last value counts."""
    found: dict[int, bytes | int] = {}
    if _scan(body, 0, len(body), found) != len(body):
        raise ScanError("the message is cut short")
    return _checked(found.get(MODEL_ID_FIELD), found.get(SEQ_ID_FIELD))


def ids_of_refused(body: bytes) -> Ids | None:
    """The ids of a body that is refused, whatever is wrong with the rest of it; None: not found.

    JSON may be of any depth, cut short, or hold what JSON does not know; of a long body the ids
    must stand in its first or last `WINDOW` bytes, where clients write them.
    """
    if body.lstrip()[:1] == b"{":
        found = _ids_in_json(body[:WINDOW]) or _ids_at_end(body[WINDOW:][-WINDOW:])
    else:
        found = _ids_in_protobuf(body[:WINDOW])
    return found


def _ids_in_protobuf(body: bytes) -> Ids | None:
    found: dict[int, bytes | int] = {}
    # what stands before a fault counts
    with suppress(ScanError):
        _scan(body, 0, len(body), found)
    with suppress(ScanError):
        return _checked(found.get(MODEL_ID_FIELD), found.get(SEQ_ID_FIELD))
    return None


def _ids_in_json(body: bytes) -> Ids | None:
    """The ids among the top-level members of the beginning of a JSON object."""
    found: dict[bytes, bytes] = {}
    depth = 0
    for match in _JSON_TOKENS.finditer(body):
        token = match[0]
        if token in b"{[":
            depth += 1
        elif token in b"}]":
            depth -= 1
        elif depth == 1 and (value := _JSON_VALUE.match(body, match.end())):
            found[token[1:-1]] = value[1]
    return _ids_from(found.get(b"model_id"), found.get(b"seq_id"))


def _ids_at_end(body: bytes) -> Ids | None:
    """The ids in the end of a JSON object, if each is there once: how deep, nobody can tell."""
    runs = re.findall(rb'"model_id"' + _JSON_VALUE.pattern, body)
    numbers = re.findall(rb'"seq_id"' + _JSON_VALUE.pattern, body)
    return _ids_from(*runs, *numbers) if len(runs) == len(numbers) == 1 else None


def _ids_from(run: bytes | None, number: bytes | None) -> Ids | None:
    try:
        return Ids(
            msgspec.json.decode(run or b"", type=str), msgspec.json.decode(number or b"", type=int)
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _scan(body: bytes, position: int, end: int, found: dict[int, bytes | int]) -> int:
    """Put the ids among the top-level fields into `found`; where the last whole field ended."""
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
                    return start
                if field == MODEL_ID_FIELD:
                    found[field] = body[position : position + length]
                position += length
            elif wire_type == VARINT:
                value, position = _varint(body, position)
                if field == SEQ_ID_FIELD:
                    found[field] = _signed(value)
            elif wire_type in (FIXED64, FIXED32):
                position += 8 if wire_type == FIXED64 else 4
                if position > end:
                    return start
            else:
                raise ScanError(f"wire type {wire_type} is not possible")
        except IndexError:
            return start
    return position


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


def _checked(model_id: bytes | int | None, seq_id: bytes | int | None) -> Ids:
    if not isinstance(model_id, bytes) or not isinstance(seq_id, int):
        missing = "model_id" if model_id is None else "seq_id"
        raise ScanError(f"{missing} is missing")
    try:
        return Ids(model_id.decode(), seq_id)
    except UnicodeDecodeError:
        raise ScanError("model_id is not UTF-8") from None
