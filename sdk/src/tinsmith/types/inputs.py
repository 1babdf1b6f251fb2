"""What goes into a model: chunks of tokens, images or audio, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from msgspec import StructMeta

from tinsmith._words.mistakes import Struct, explained, title_of
from tinsmith._words.shown import a_few
from tinsmith.types.tokens import check_tokens

if TYPE_CHECKING:
    import numpy as np

ModelID = str
RequestID = str


class EncodedTextChunk(Struct, frozen=True, kw_only=True):
    """Token ids: a list, or an integer array of one dimension."""

    tokens: Sequence[int]
    type: Literal["encoded_text"] = "encoded_text"

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"EncodedTextChunk({_counted(self.tokens)})"


class ImageChunk(Struct, frozen=True, kw_only=True):
    """An image's bytes. The server counts its tokens; ``expected_tokens`` lets it refuse early."""

    data: bytes
    format: Literal["png", "jpeg"]
    expected_tokens: int | None = None
    type: Literal["image"] = "image"

    @property
    def length(self) -> int:
        """``expected_tokens``; raises ValueError when it is not given."""
        if self.expected_tokens is None:
            raise ValueError("set expected_tokens: only the server knows an image's length")
        return self.expected_tokens

    def __repr__(self) -> str:
        return f"ImageChunk({self.format}, {len(self.data)} bytes)"


class ImageAssetPointerChunk(Struct, frozen=True, kw_only=True):
    """An image the server fetches itself; for sampling only."""

    location: str
    format: Literal["png", "jpeg"]
    expected_tokens: int | None = None
    type: Literal["image_asset_pointer"] = "image_asset_pointer"

    @property
    def length(self) -> int:
        """``expected_tokens``; raises ValueError when it is not given."""
        if self.expected_tokens is None:
            raise ValueError("set expected_tokens: only the server knows an image's length")
        return self.expected_tokens


class DmelChunk(Struct, frozen=True, kw_only=True):
    """Audio as a serialized container of dMel tokens."""

    dmel: bytes
    type: Literal["dmel"] = "dmel"

    @property
    def length(self) -> int:
        """The container's first dimension, in tokens."""
        body = self.dmel[1:] if self.dmel[:1] == b"\xfe" else self.dmel
        dimensions, position = _varint(body, 1)
        return _varint(body, position)[0] if dimensions else 1

    def __repr__(self) -> str:
        return f"DmelChunk({len(self.dmel)} bytes)"


ModelInputChunk = EncodedTextChunk | ImageChunk | ImageAssetPointerChunk | DmelChunk


@explained
class ModelInput(Struct, frozen=True, kw_only=True):
    """A prompt or a training sequence.

    >>> ModelInput.from_ints([1, 2, 3]).length
    3
    """

    chunks: list[ModelInputChunk]

    @classmethod
    def from_ints(cls, tokens: Sequence[int] | np.ndarray[Any, Any]) -> ModelInput:
        """From token ids alone.

        Raises:
            TypeError, ValueError: text, a tokenizer's whole output, more than one row.
        """
        check_tokens(tokens)
        # once a datum: the constructors' own explanations are for others
        chunk = _make(EncodedTextChunk, tokens=tokens)
        made: ModelInput = _make(cls, chunks=[chunk])
        return made

    @classmethod
    def empty(cls) -> ModelInput:
        """An input without chunks, to append to."""
        return cls(chunks=[])

    def to_ints(self) -> list[int]:
        """The token ids; raises ValueError when there is anything but text."""
        tokens: list[int] = []
        for chunk in self.chunks:
            if not isinstance(chunk, EncodedTextChunk):
                raise ValueError(f"to_ints needs text chunks only, this has a {chunk.type} chunk")
            tokens.extend(int(token) for token in chunk.tokens)
        return tokens

    @property
    def length(self) -> int:
        """Length in tokens over all chunks."""
        return sum(chunk.length for chunk in self.chunks)

    def append(self, chunk: ModelInputChunk) -> ModelInput:
        """A new input with one chunk more."""
        return ModelInput(chunks=[*self.chunks, chunk])

    def append_int(self, token: int) -> ModelInput:
        """A new input with one token more."""
        return self.append(EncodedTextChunk(tokens=[token]))

    def __repr__(self) -> str:
        if len(self.chunks) == 1 and isinstance(self.chunks[0], EncodedTextChunk):
            return f"ModelInput({_counted(self.chunks[0].tokens)})"
        return f"ModelInput({', '.join(map(repr, self.chunks))})"


_make = StructMeta.__call__


def check_input(value: object, what: str) -> None:
    """Raise TypeError for what is no ``ModelInput``, with how to make one of it."""
    if isinstance(value, ModelInput):
        return
    if isinstance(value, str):
        how = "ModelInput.from_ints(tokenizer.encode(text)) makes one of it"
    else:
        how = "ModelInput.from_ints(tokens) makes one of token ids"
    raise TypeError(f"{what} must be a ModelInput, not {title_of(value)}; {how}")


def _counted(tokens: Sequence[int]) -> str:
    return f"{len(tokens)} token{'' if len(tokens) == 1 else 's'} {a_few(tokens)}"


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """(a little-endian base-128 number, the position after it)."""
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
