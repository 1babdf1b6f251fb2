"""A tokenizer as renderers need it: plain text to tokens, and control tokens by their texts.

Control tokens give a chat its form. Renderers put them by number; text is encoded so that it can
never become one, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tinsmith._words.mistakes import title_of

# Added tokens that are words, white space or tags of HTML (Gemma has such), and no control tokens
_WORDS = re.compile(
    r"[^<>\[\]{}|]*"
    r"|</?(?:table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|s|sub|sup"
    r"|code|a|img|p|br|hr|ul|ol|li|div|span|pre)>"
)


@dataclass(frozen=True)
class Control:
    """A control token, by its text. Where a tokenizer has no such token, its text is written."""

    text: str


@dataclass(frozen=True)
class Cut:
    """A place that no token reaches across, as between a prompt and what is sampled."""


Piece = str | Control | Cut
CUT = Cut()


class Vocabulary:
    """What a renderer asks of a tokenizer.

    Args:
        tokenizer: of transformers, or a ``tokenizers.Tokenizer``.

    Raises:
        TypeError: something else.
        ValueError: a tokenizer that puts a space of its own before every piece of text.
    """

    def __init__(self, tokenizer: Any) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
        if hasattr(backend, "get_added_tokens_decoder"):
            added = backend.get_added_tokens_decoder()
        elif hasattr(tokenizer, "added_tokens_decoder"):
            backend, added = tokenizer, tokenizer.added_tokens_decoder
        else:
            raise TypeError(
                f"a renderer needs a tokenizer, not {title_of(tokenizer)}: "
                "training.get_tokenizer() gives the model's"
            )
        self._backend = backend
        special = set(getattr(tokenizer, "all_special_ids", ()))
        self._number_of = {
            token.content: number
            for number, token in added.items()
            if token.special or number in special or not _WORDS.fullmatch(token.content)
        }
        own = [token for token in added.values() if token.content in self._number_of]
        self._eats_before = {token.content for token in own if token.lstrip}
        self._eats_after = {token.content for token in own if token.rstrip}
        self._text_of = {number: text for text, number in self._number_of.items()}
        longest_first = sorted(filter(None, self._number_of), key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self.begin: int | None = getattr(tokenizer, "bos_token_id", None)
        self.end: int | None = getattr(tokenizer, "eos_token_id", None)
        once = self.encode("a")
        if self.decode(once + once) != "aa":
            raise ValueError(
                "this tokenizer writes a space of its own before every piece of text; "
                "renderers cannot put chats together with it"
            )

    def number(self, text: str) -> int | None:
        """The control token of that text; None where there is none."""
        return self._number_of.get(text)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, none of them a control token.

        Raises:
            ValueError: this tokenizer makes a control token of such a text all the same.
        """
        tokens = [token for part in self._apart(text) for token in self._encode(part)]
        for token in tokens:
            if token in self._text_of:
                raise ValueError(
                    f"the tokenizer cannot write {self._text_of[token]!r} as plain text; "
                    "take it out of the messages"
                )
        return tokens

    def parts(self, text: str) -> Iterator[str | Control]:
        """A text that a template wrote, taken apart at the texts of control tokens."""
        begin, eats_after = 0, False
        for found in [*self._controls.finditer(text), None]:
            plain = text[begin : found.start() if found else len(text)]
            plain = plain.lstrip() if eats_after else plain
            if found and found[0] in self._eats_before:
                plain = plain.rstrip()
            if plain:
                yield plain
            if found:
                yield Control(found[0])
                begin, eats_after = found.end(), found[0] in self._eats_after

    def guard(self, text: str, stand_in: str) -> str:
        """The text with `stand_in`, a number and a semicolon for what might become a control token.

        That is the first character of one; and one at an edge, where a neighbour might complete it.
        """
        guarded = self._controls.sub(
            lambda found: f"{stand_in}{ord(found[0][0])};{found[0][1:]}", text
        )
        longest = max(map(len, self._number_of), default=0)
        if guarded and any(guarded in control for control in self._number_of):
            guarded = f"{stand_in}{ord(guarded[0])};{guarded[1:]}"
        if any(guarded[-size:] in self._prefixes for size in range(1, longest)):
            guarded = f"{guarded[:-1]}{stand_in}{ord(guarded[-1])};"
        if any(guarded[:size] in self._suffixes for size in range(1, longest)):
            guarded = f"{stand_in}{ord(guarded[0])};{guarded[1:]}"
        return guarded

    @cached_property
    def _prefixes(self) -> set[str]:
        return {text[:size] for text in self._number_of for size in range(1, len(text))}

    @cached_property
    def _suffixes(self) -> set[str]:
        return {text[-size:] for text in self._number_of for size in range(1, len(text))}

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, control tokens included."""
        return str(self._backend.decode(list(tokens), skip_special_tokens=False))

    def pieces(self, tokens: Sequence[int]) -> Iterator[str | Control]:
        """Tokens taken apart: control tokens, and the text between them."""
        plain: list[int] = []
        for token in tokens:
            if token not in self._text_of:
                plain.append(token)
                continue
            if plain:
                yield self.decode(plain)
                plain = []
            yield Control(self._text_of[token])
        if plain:
            yield self.decode(plain)

    def _apart(self, text: str) -> Iterator[str]:
        """The text in parts that hold no control token's text as a whole."""
        begin = 0
        while found := self._controls.search(text, begin):
            yield text[begin : found.start() + 1]
            begin = found.start() + 1
        if begin < len(text):
            yield text[begin:]

    def _encode(self, text: str) -> list[int]:
        encoded = self._backend.encode(text, add_special_tokens=False)
        return list(getattr(encoded, "ids", encoded))
