"""The scanner finds the ids wherever protobuf allows them and refuses what is no message."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinker_api.scan import Ids, ScanError, ids_of_refused, scan_forward_backward
from tinsmith.wire import wire_pb2


def _request(model_id: str = "s:train:0", seq_id: int = 7, datums: int = 3) -> bytes:
    datum = wire_pb2.Datum(
        model_input=[
            wire_pb2.Chunk(encoded_text=wire_pb2.EncodedTextChunk(tokens=b"\x08\x01\x12\x05" * 80))
        ]
    )
    return wire_pb2.ForwardBackwardRequest(
        model_id=model_id,
        seq_id=seq_id,
        data=[datum] * datums,
        loss_fn="cross_entropy",
        loss_fn_config={"x": 1.5},
        forward_only=True,
    ).SerializeToString()


def test_finds_the_ids() -> None:
    assert scan_forward_backward(_request()) == Ids("s:train:0", 7)


@given(model_id=st.text(min_size=1, max_size=300), seq_id=st.integers(1, 2**31 - 1))
def test_agrees_with_protobuf(model_id: str, seq_id: int) -> None:
    body = _request(model_id.replace("\ud800", ""), seq_id)
    decoded = wire_pb2.ForwardBackwardRequest.FromString(body)
    assert scan_forward_backward(body) == Ids(decoded.model_id, decoded.seq_id)


def test_negative_numbers_are_int32() -> None:
    assert scan_forward_backward(_request(seq_id=-5)).seq_id == -5


def test_the_last_value_of_a_field_counts() -> None:
    body = _request("first", 1) + _request("second", 2, datums=0)
    assert scan_forward_backward(body) == Ids("second", 2)


def test_skips_fields_of_later_versions() -> None:
    unknown = b"\xf8\x07\x01" + b"\xf9\x07" + b"x" * 8 + b"\xfd\x07" + b"x" * 4
    assert scan_forward_backward(unknown + _request()) == Ids("s:train:0", 7)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "model_id is missing"),
        (b"\x0a\x01a", "seq_id is missing"),
        (b"\x10\x01", "model_id is missing"),
        (_request()[:-1], "cut short"),
        (b"\x0a\x05ab", "cut short"),
        (b"\x0a\xff", "cut short"),
        (b"\x00\x01", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x10" + b"\xff" * 10, "more than 10 bytes"),
        (b"\x0a\x01\xff\x10\x01", "not UTF-8"),
        (b'{"model_id": "m", "seq_id": 1}', "wire type 3"),
    ],
)
def test_refuses_what_is_no_request(body: bytes, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        scan_forward_backward(body)


@given(st.binary(max_size=200))
def test_never_fails_otherwise(body: bytes) -> None:
    with suppress(ScanError):
        scan_forward_backward(body)


FOUND = Ids("s:train:0", 7)


@pytest.mark.parametrize(
    "body",
    [
        _request()[:200],
        _request() + b"\xff" * 20,
        b'{"model_id": "s:train:0", "seq_id": 7, "x": NaN}',
        b' \n{"x": [{"model_id": "no", "seq_id": 1}], "model_id":"s:train:0","seq_id":7}',
        b'{"x": "\\"model_id\\": [", "seq_id": 7, "model_id": "s:tr\\u0061in:0", "y',
        b'{"model_id": "no", "seq_id": 7, "model_id": "s:train:0"}',
        b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b', "seq_id": 7, "model_id": "s:train:0"}',
        b'{"seq_id": 7, "model_id": "s:train:0", "x": "' + b"\\" * 200_000,
    ],
)
def test_reads_the_ids_of_what_is_refused(body: bytes) -> None:
    assert ids_of_refused(body) == FOUND


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x12\x05",
        b"{",
        b'{"model_id": "s:train:0"}',
        b'{"model_id": "s:train:0", "seq_id": "7"}',
        b'{"model_id": "s:train:0", "seq_id": 7.5}',
        b'{"model_id": ["s:train:0"], "seq_id": 7}',
        b'{"x": {"model_id": "s:train:0", "seq_id": 7}}',
        b'[{"model_id": "s:train:0", "seq_id": 7}]',
        b'{"model_id": "s:tr\xffain:0", "seq_id": 7}',
        b'{"x": "' + b"a" * 200_000 + b'", "model_id": "a", "y": {"model_id": "b"}, "seq_id": 7}',
        b'{"x": [' + b"1," * 200_000 + b'"model_id": "a", "seq_id": 7' + b",1" * 200_000,
    ],
)
def test_reads_no_ids_where_there_are_none(body: bytes) -> None:
    assert ids_of_refused(body) is None


@given(
    st.dictionaries(
        st.sampled_from(["model_id", "seq_id", "x", '"', "\\"]),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5) | st.just("s:train:0"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["model_id", "seq_id"]), inner, max_size=2)
            ),
            max_leaves=6,
        ),
    )
)
def test_agrees_with_a_decoder_of_json(value: dict[str, object]) -> None:
    run, number = value.get("model_id"), value.get("seq_id")
    told = isinstance(run, str) and isinstance(number, int) and abs(number) < 10**20
    for body in (msgspec.json.encode(value), json.dumps(value, indent=1).encode()):
        assert ids_of_refused(body) == (Ids(run, number) if told else None)


@given(st.binary(max_size=200))
def test_reading_ids_never_fails(body: bytes) -> None:
    ids_of_refused(body)
    ids_of_refused(b'{"model_id": "a", ' + body)
