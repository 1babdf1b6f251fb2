"""Tokens and logprobs of datums as they lie in the store: blocks of zstd, some datums to each.

A step's blocks are one file, which only grows; a row of `DatumStat` says where in it a datum is. A
block is one msgpack list with a map of arrays for each datum; an array is its dtype and its bytes,
all first bytes before all second ones, which compresses better. Logprobs are float16: at -20 the
nearest two differ by 0.016.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zstandard

from checkpoints import store

FILE = "blocks"
LEVEL = 3
MOST_DATUMS = 32
# of one block, before it is compressed
MOST_BYTES = 256 * 1024
# a single datum may be larger: a context of a million tokens
LARGEST = 64 * 2**20

Arrays = Mapping[str, np.ndarray[Any, Any]]
_DTYPES = {"<i4", "<f2", "<f4", "|b1"}


class NotKept(Exception):
    """The block is gone, or damaged."""


def key(run_id: str, step: int) -> str:
    """Where the blocks of a run's step lie."""
    return f"captures/{run_id.replace(':', '/')}/{step}"


def encode(datums: Sequence[Arrays]) -> bytes:
    """One block."""
    plain = [{name: _packed(array) for name, array in datum.items()} for datum in datums]
    return zstandard.ZstdCompressor(level=LEVEL).compress(msgspec.msgpack.encode(plain))


def decode(block: bytes, part: int) -> dict[str, np.ndarray[Any, Any]]:
    """The arrays of the datum at a place of a block.

    Raises:
        NotKept: this is no block, or it has no such datum.
    """
    try:
        raw = zstandard.ZstdDecompressor().decompress(block, max_output_size=LARGEST)
        datums = msgspec.msgpack.decode(raw, type=list[dict[str, tuple[str, bytes]]])
        return {name: _unpacked(*packed) for name, packed in datums[part].items()}
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError, IndexError) as error:
        raise NotKept(f"the block cannot be read: {error}") from None


def in_blocks(datums: Sequence[Arrays]) -> Iterator[list[int]]:
    """Places of datums that are to share a block, in order."""
    places: list[int] = []
    size = 0
    for place, datum in enumerate(datums):
        own = sum(array.nbytes for array in datum.values())
        if places and (len(places) >= MOST_DATUMS or size + own > MOST_BYTES):
            yield places
            places, size = [], 0
        places.append(place)
        size += own
    if places:
        yield places


def append(blocks_key: str, blocks: Sequence[bytes]) -> list[int]:
    """Write blocks behind those of the same step; returns where each begins.

    Raises:
        OSError: the disk will not have them.
    """
    path = _file(blocks_key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        offsets = []
        at = file.seek(0, 2)
        for block in blocks:
            offsets.append(at)
            at += len(block)
        file.write(b"".join(blocks))
    return offsets


def read(blocks_key: str, offset: int, length: int) -> bytes:
    """A block as it lies in the store.

    Raises:
        NotKept: it is not there.
    """
    if length > LARGEST:
        raise NotKept("the block is too large")
    try:
        with _file(blocks_key).open("rb") as file:
            file.seek(offset)
            found = file.read(length)
    except OSError:
        raise NotKept("the block is gone") from None
    if len(found) < length:
        raise NotKept("the block is cut short")
    return found


def _file(blocks_key: str) -> Path:
    return store.path(blocks_key) / FILE


def _packed(array: np.ndarray[Any, Any]) -> tuple[str, bytes]:
    plain = np.ascontiguousarray(array)
    shuffled = plain.view(np.uint8).reshape(-1, plain.itemsize).T
    return plain.dtype.str, shuffled.tobytes()


def _unpacked(dtype: str, shuffled: bytes) -> np.ndarray[Any, Any]:
    if dtype not in _DTYPES:
        raise ValueError(f"arrays of {dtype} are not in blocks")
    size = np.dtype(dtype).itemsize
    raw = np.frombuffer(shuffled, np.uint8).reshape(size, -1).T
    return np.ascontiguousarray(raw).view(dtype).reshape(-1)
