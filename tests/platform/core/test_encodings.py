"""Packed bodies are opened up to a limit, and only what they say they are."""

from __future__ import annotations

import gzip
import os

import pytest
import zstandard

from core import encodings
from core.errors import BadRequest, UnsupportedMediaType

BODY = os.urandom(3000) + bytes(200_000)
PACKED = {"zstd": zstandard.ZstdCompressor().compress(BODY), "gzip": gzip.compress(BODY)}


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_what_is_packed_is_opened(encoding: str) -> None:
    packed = PACKED[encoding]
    assert encodings.unpack(packed, encoding, len(BODY)) == (BODY, True)
    own = encodings.pack(BODY, encoding)
    assert own is not None
    assert encodings.unpack(own, encoding, len(BODY)) == (BODY, True)
    assert encodings.pack(os.urandom(100_000), encoding) is None


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_opening_stops_at_the_limit(encoding: str) -> None:
    bomb = bytes(64 * 2**20)
    packed = encodings.pack(bomb, encoding)
    assert packed is not None
    assert len(packed) < 2**20
    opened, complete = encodings.unpack(packed, encoding, 2**20)
    assert not complete
    assert 2**20 < len(opened) <= 2 * 2**20


def test_a_frame_may_not_ask_for_gigabytes() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=False)
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    stream = compressor.compressobj()
    packed = stream.compress(b"x" * 1000) + stream.flush()
    with pytest.raises(BadRequest, match="zstd"):
        encodings.unpack(packed, "zstd", 10_000)


@pytest.mark.parametrize("encoding", ["zstd", "gzip"])
def test_what_is_not_packed_is_refused(encoding: str) -> None:
    with pytest.raises(BadRequest, match=encoding):
        encodings.unpack(b"no such thing", encoding, 1000)


def test_other_encodings_are_named() -> None:
    assert encodings.unpack(b"plain", "identity", 10) == (b"plain", True)
    with pytest.raises(UnsupportedMediaType, match=r"'br'.*zstd, gzip"):
        encodings.unpack(b"", "br", 1000)


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("", None),
        ("gzip, deflate, zstd", "zstd"),
        ("gzip;q=0.5, zstd;q=0", "gzip"),
        ("br, GZIP", "gzip"),
        ("deflate", None),
        ("gzip;q=0.0", None),
    ],
)
def test_the_client_says_what_it_reads(accepted: str, chosen: str | None) -> None:
    assert encodings.choose(accepted) == chosen
