"""From tokens as they come to text that may be shown.

Text is shown only when it cannot change any more: not while a character lacks bytes (see
`text_streams`), and not while it may be the beginning of a stop string. The same code makes whole
answers, so that the pieces of a stream always add up to what would have been answered without.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from openai_api.text_streams import TextStream
from openai_api.vocabulary import Vocabulary


class ShownToken(NamedTuple):
    """A token of the shown text: its place among the sampled ones, and in the text."""

    position: int
    token: int
    offset: int


class Piece(NamedTuple):
    """What can be shown now."""

    text: str
    tokens: list[ShownToken]


@dataclass(slots=True)
class Detokenizer:
    """The text of one sequence; `stops` end it, `lead` begins it, and neither is part of it.

    `end_tokens` may end it beside the model's own.
    """

    vocabulary: Vocabulary
    stops: list[str]
    end_tokens: frozenset[int] = frozenset()
    lead: str = ""
    ids: list[int] = field(default_factory=list)
    text: str = ""
    _starts: list[int] = field(default_factory=list)
    _stream: TextStream = field(init=False)
    _cut: int | None = None
    _shown_text: int = 0
    _shown_tokens: int = 0

    def __post_init__(self) -> None:
        """Begin."""
        self._stream = self.vocabulary.text_stream()

    @property
    def stopped(self) -> bool:
        """Whether a stop string has come."""
        return self._cut is not None

    def feed(self, tokens: list[int]) -> None:
        """Take the next tokens."""
        for token in tokens:
            self.ids.append(token)
            if self._cut is None:
                start, text = self._stream.push(token)
                self._starts.append(start)
                self._add(text)
            else:
                self._starts.append(len(self.text))

    def take(self, *, final: bool = False) -> Piece:
        """What can be shown beyond what was taken before; `final`: nothing more will be fed."""
        if final and self._cut is None:
            self._add(self._stream.end())
        until = self._limit(final)
        if not self._shown_text:
            until = self._skip_lead(until, final)
        text = self.text[self._shown_text : until]
        self._shown_text = max(self._shown_text, until)
        return Piece(text, self._take_tokens(final))

    def _skip_lead(self, until: int, final: bool) -> int:
        """Leave out what stands before the text; how much may be shown while it may be coming."""
        begun = self.text[: len(self.lead)]
        if begun == self.lead:
            self._shown_text = min(len(self.lead), until)
        elif self.lead.startswith(begun) and not final:
            return 0
        return until

    def _add(self, text: str) -> None:
        """Append text and look whether a stop string is complete now."""
        known = len(self.text)
        self.text += text
        found = [self.text.find(stop, max(0, known - len(stop) + 1)) for stop in self.stops]
        hits = [at for at in found if at >= 0]
        if hits:
            self._cut = min(hits)

    def _limit(self, final: bool) -> int:
        """How much of the text may be shown."""
        if self._cut is not None:
            return self._cut
        if final:
            return len(self.text)
        return len(self.text) - max((_overlap(self.text, stop) for stop in self.stops), default=0)

    def _take_tokens(self, final: bool) -> list[ShownToken]:
        """The tokens whose text is shown by now, those of special tokens with what follows them."""
        shown: list[ShownToken] = []
        while self._shown_tokens < len(self.ids) and self._may_show(self._shown_tokens, final):
            index = self._shown_tokens
            if not (final and self._is_end(index)):
                shown.append(ShownToken(index, self.ids[index], self._starts[index]))
            self._shown_tokens += 1
        return shown

    def _may_show(self, index: int, final: bool) -> bool:
        if final:
            return self._cut is None or self._starts[index] < self._cut
        if index + 1 >= len(self.ids):
            return False
        start, end = self._starts[index], self._starts[index + 1]
        return start < self._shown_text and end <= self._shown_text

    def _is_end(self, index: int) -> bool:
        """Whether a token is the one that ended the answer: it stands for no text."""
        return (
            index == len(self.ids) - 1
            and self.ids[index] in self.vocabulary.end_tokens | self.end_tokens
        )


def _overlap(text: str, stop: str) -> int:
    """How many characters at the text's end may be the beginning of `stop`."""
    for length in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
