"""Compressed bodies: what clients send is opened up to a limit, what is large is sent packed.

Opening stops at the limit, so a small body that unpacks to gigabytes costs no more than a large
plain one.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterable
from typing import IO

import zstandard

from core.errors import BadRequest, UnsupportedMediaType

# of answers smaller than this, packing saves less than it costs
PACK_FROM_BYTES = 64 * 1024
# bodies below this are opened and packed where they are; larger ones in a thread
IN_PLACE_BYTES = 256 * 1024
# a frame of zstd begins with a header of so many bytes at most
TELLING_BYTES = 18
_READ = 1024 * 1024
_WORTH = 0.9


def unpack(body: bytes, encoding: str, limit: int) -> tuple[bytes, bool]:
    """(`body` unpacked, whether that is all); at most `limit` bytes and one read more.

    Raises:
        UnsupportedMediaType: another encoding than zstd, gzip or identity. BadRequest: the body is
            not what it says.
    """
    if encoding in ("", "identity"):
        return body, True
    opened = io.BytesIO()
    try:
        with _reader(body, encoding) as reader:
            while part := reader.read(_READ):
                opened.write(part)
                if opened.tell() > limit:
                    return opened.getvalue(), False
    except (zstandard.ZstdError, OSError, EOFError, zlib.error, MemoryError) as error:
        raise BadRequest(f"the body is not valid {encoding}: {error}") from None
    return opened.getvalue(), True


def unpacked_size(beginning: bytes, encoding: str) -> int | None:
    """How large a packed body says it is, in bytes; None when it says nothing.

    Args:
        beginning: `TELLING_BYTES` of it at least, or all of it.

    Raises:
        BadRequest: that is no packed body at all.
    """
    if encoding != "zstd":
        return None
    try:
        size = zstandard.frame_content_size(beginning)
    except zstandard.ZstdError as error:
        raise BadRequest(f"the body is not valid zstd: {error}") from None
    return None if size < 0 else size


def _reader(body: bytes, encoding: str) -> IO[bytes] | gzip.GzipFile:
    source = io.BytesIO(body)
    if encoding == "zstd":
        # a frame may ask for a window of gigabytes before its first byte
        opener = zstandard.ZstdDecompressor(max_window_size=2**27)
        return opener.stream_reader(source, read_across_frames=True)
    if encoding == "gzip":
        return gzip.GzipFile(fileobj=source)
    raise UnsupportedMediaType(f"Content-Encoding is {encoding!r}; allowed: zstd, gzip, identity")


def choose(accepted: str) -> str | None:
    """The encoding for an answer, of those that an Accept-Encoding header allows."""
    allowed = set(_names(accepted.lower().split(",")))
    return next((name for name in ("zstd", "gzip") if name in allowed), None)


def _names(entries: Iterable[str]) -> Iterable[str]:
    for entry in entries:
        name, *parameters = (part.strip() for part in entry.split(";"))
        if not any(part.replace(" ", "").rstrip("0.") == "q=" for part in parameters):
            yield name


def pack(body: bytes, encoding: str) -> bytes | None:
    """`body` packed fast; None when that saves nothing worth mentioning."""
    if encoding == "zstd":
        packed = zstandard.ZstdCompressor(level=1).compress(body)
    else:
        packed = gzip.compress(body, compresslevel=1, mtime=0)
    return packed if len(packed) < _WORTH * len(body) else None
