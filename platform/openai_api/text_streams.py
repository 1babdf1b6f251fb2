"""Text of tokens one by one: what is told never changes, and adds up to what the tokenizer decodes.

Decoders look at more than one token. Bytes make characters only together; a run of byte tokens is
text only if all of it is; the first token may lose a space. Each kind of decoder has its stream
here, and a decoder of no known kind has none, rather than one that is nearly right.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

# so many tokens may stand before the first character that is no space
_LONGEST_BEGINNING = 64
_SUM_OF_PIECES = {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace", "WordPiece"}


class Told(NamedTuple):
    """What a token makes known: where its own text begins, and text that cannot change any more."""

    start: int
    text: str


class TextStream(Protocol):
    """The text of one sequence."""

    def push(self, token: int) -> Told:
        """Take the next token."""

    def end(self) -> str:
        """The rest of the text: no token follows."""


class ByteStream:
    """Tokens are bytes, and the text is what they are in UTF-8; what is no UTF-8 is U+FFFD."""

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        self._bytes_of = bytes_of
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._length = 0

    def push(self, token: int) -> Told:
        """Take the next token; it begins where the character that it goes on with begins."""
        data = self._bytes_of(token)
        begun = self._utf8.getstate()[0]
        # what was begun and is not gone on with becomes one U+FFFD, before this token's text
        start = self._length + bool(begun and data and not _goes_on(begun, data))
        text = self._utf8.decode(data)
        self._length += len(text)
        return Told(start, text)

    def end(self) -> str:
        """What was begun and will not be whole."""
        return self._utf8.decode(b"", final=True)


def _goes_on(begun: bytes, data: bytes) -> bool:
    """Whether the bytes of a character that is not whole yet are gone on with."""
    utf8 = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        utf8.decode(begun + data[:1])
    except UnicodeDecodeError:
        return False
    return True


class Pieces:
    """A tokenizer whose text is the sum of its tokens' pieces, but at the beginning.

    Args:
        decode: text of tokens, whole.
        is_silent: whether a token never has text.
        is_byte: whether a token is one byte, of which a whole run is decoded together.
        anchor: a token that is a letter; between two of it others are in the middle of a text.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        is_silent: Callable[[int], bool],
        is_byte: Callable[[int], bool],
        anchor: int,
    ) -> None:
        self.is_silent, self.is_byte = is_silent, is_byte
        self._decode, self._anchor = decode, anchor
        self._before = decode([anchor])
        self._after = decode([anchor, anchor]).removeprefix(self._before)
        self._known: dict[int, str] = {}

    def beginning(self, tokens: list[int]) -> str:
        """The text of a sequence that begins so and goes on."""
        return self._decode([*tokens, self._anchor]).removesuffix(self._after)

    def middle(self, tokens: list[int]) -> str:
        """What tokens add to a text that has begun and goes on."""
        return self.beginning([self._anchor, *tokens]).removeprefix(self._before)

    def piece(self, token: int) -> str:
        """What one token adds."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self.middle([token])
        return found


class PieceStream:
    """Tokens are pieces of text, with runs of byte tokens between them."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        # all tokens so far, until the text has begun
        self._begun: list[int] | None = []
        self._run: list[int] = []
        self._length = 0

    def push(self, token: int) -> Told:
        """Take the next token; those of a run begin where the run does."""
        if self._pieces.is_silent(token):
            return Told(self._length, "")
        if self._pieces.is_byte(token):
            self._run.append(token)
            return Told(self._length, "")
        run = self._flush()
        start = self._length
        return Told(start, run + self._add([token]))

    def end(self) -> str:
        """The run at the end."""
        return self._flush()

    def _flush(self) -> str:
        run, self._run = self._run, []
        return self._add(run) if run else ""

    def _add(self, tokens: list[int]) -> str:
        if self._begun is None:
            pieces = self._pieces
            text = pieces.piece(tokens[0]) if len(tokens) == 1 else pieces.middle(tokens)
        else:
            self._begun += tokens
            text = self._pieces.beginning(self._begun)[self._length :]
            if text.strip() or len(self._begun) > _LONGEST_BEGINNING:
                self._begun = None
        self._length += len(text)
        return text


def kind_of(decoder: dict[str, Any] | None) -> str | None:
    """`bytes`, `pieces`, or None for a decoder whose text cannot be told in pieces."""
    stages = _stages(decoder)
    names = [stage.get("type") for stage in stages]
    if names == ["ByteLevel"]:
        return "bytes"
    if not names or not _SUM_OF_PIECES.issuperset(names):
        return None
    whole = names.index("Fuse") + 1 if "Fuse" in names else len(names)
    changes_the_end = any(stage.get("stop") for stage in stages)
    # whatever stands behind Fuse sees the whole text
    return None if changes_the_end or {*names[whole:]} - {"Strip"} else "pieces"


def has_byte_runs(decoder: dict[str, Any] | None) -> bool:
    """Whether tokens like <0x0A> are bytes."""
    return any(stage.get("type") == "ByteFallback" for stage in _stages(decoder))


def _stages(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    if decoder is None:
        return []
    if decoder.get("type") != "Sequence":
        return [decoder]
    return [stage for part in decoder.get("decoders", []) for stage in _stages(part)]


def find_anchor(id_of: Callable[[str], int | None]) -> int | None:
    """A token that is a letter, if the vocabulary has one."""
    for letter in "aetoinsrhlAETOIN":
        for name in (letter, f"▁{letter}", f"##{letter}"):
            if (found := id_of(name)) is not None:
                return found
    return None
