"""Files that are encrypted with age while they are written: plaintext never touches the disk.

The safetensors library writes plain files, or byte strings that take twice the adapter's memory. So
the format is written here, in pieces: a tensor's bytes go from where they lie through the cipher to
the disk.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyrage
import torch
from torch import Tensor

from gpu_workers.engine.types import AgeRecipient

SUFFIX = ".age"
_DTYPES = {torch.float32: "F32", torch.int64: "I64"}
# safetensors wants the data to begin at a multiple of this
_ALIGNED = 8
_BUFFER_BYTES = 1 << 20


def write(
    path: Path, pieces: Iterator[bytes | memoryview], recipients: Sequence[AgeRecipient]
) -> None:
    """Write `pieces` to `path` with `.age` after its name, for the recipients to decrypt.

    Raises:
        FileExistsError: the file is there already. OSError: the disk will not have it.
    """
    source = io.BufferedReader(_Pieces(pieces), _BUFFER_BYTES)
    # through file objects, not pyrage.encrypt_file: their writes let other threads run
    with path.with_name(path.name + SUFFIX).open("xb") as target:
        pyrage.encrypt_io(source, target, list(recipients))


def safetensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> Iterator[bytes | memoryview]:
    """What safetensors.torch.save_file writes, in pieces. Tensors are contiguous, on the CPU."""
    named = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in named:
        begin, end = end, end + tensor.nbytes
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNED)
    yield len(text).to_bytes(8, "little") + text
    for _, tensor in named:
        yield memoryview(tensor.reshape(-1).numpy()).cast("B")


class _Pieces(io.RawIOBase):
    """Pieces as a file to read from."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            try:
                self._rest = memoryview(next(self._pieces))
            except StopIteration:
                return 0
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
