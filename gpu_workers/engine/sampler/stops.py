"""When a sample ends before its token budget: stop tokens, and stop strings in the decoded text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from gpu_workers.engine.types import Sample

Decode = Callable[[list[int]], str]
"""Token ids to text, special tokens spelt out, nothing cleaned up."""

_REPLACEMENT = "\ufffd"
_CONTEXT_TOKENS = 4
"""Tokens decoded beyond what a match needs: a UTF-8 character spans at most four byte tokens."""


class TokenTexts:
    """A tokenizer's decode, remembering the text of single tokens."""

    def __init__(self, decode: Decode) -> None:
        self.decode = decode
        self._texts: dict[int, str] = {}

    def text(self, token: int) -> str:
        """The text of one token on its own; pieces of a character come as U+FFFD."""
        text = self._texts.get(token)
        if text is None:
            text = self._texts[token] = self.decode([token])
        return text


class StopRule:
    """Decides after each token whether a sample is complete."""

    def __init__(
        self, tokens: Collection[int], strings: Sequence[str] = (), texts: TokenTexts | None = None
    ) -> None:
        self.tokens = frozenset(tokens)
        self.strings = tuple(strings)
        self._texts = texts
        self._endings = frozenset(string[-1] for string in strings)
        self._needed_bytes = max((len(string.encode()) for string in strings), default=0)
        # Some tokenizers drop a leading space from what they decode: no telling from one token.
        self._always_look = any(ending.isspace() for ending in self._endings)

    @classmethod
    def of(
        cls, work: Sample, eos_token_ids: Collection[int], texts: Callable[[], TokenTexts]
    ) -> StopRule:
        """The rule a request asks for: its own stops, or end-of-sequence tokens if it names none.

        Stops that are named replace the end-of-sequence tokens; empty lists stop nothing.
        """
        if work.stop_tokens is None and work.stop_strings is None:
            return cls(eos_token_ids)
        strings = work.stop_strings or []
        return cls(work.stop_tokens or [], strings, texts() if strings else None)

    def stops(self, generated: Sequence[int], prompt: Sequence[int] = ()) -> bool:
        """Whether the last of the `generated` tokens completes a stop. The prompt never does."""
        last = generated[-1]
        if last in self.tokens:
            return True
        if self._texts is None or not self._may_complete(self._texts.text(last)):
            return False
        text = self._tail(generated, prompt)
        return any(string in text for string in self.strings)

    def _may_complete(self, text: str) -> bool:
        if self._always_look or _REPLACEMENT in text or not text:
            return True
        return not self._endings.isdisjoint(text)

    def _tail(self, generated: Sequence[int], prompt: Sequence[int]) -> str:
        """The text of the last generated tokens, as many as the longest stop string may span.

        Only a short window is decoded, whatever the sample's length. Earlier matches cannot be in
        it: they would have stopped the sample.
        """
        assert self._texts is not None
        start, found = len(generated), 0
        while start > 0 and found < self._needed_bytes:
            start -= 1
            text = self._texts.text(generated[start])
            found += 1 if _REPLACEMENT in text else len(text.encode())
        start = max(0, start - _CONTEXT_TOKENS)
        window = list(generated[start:])
        if start > 0 or not prompt:
            return self._texts.decode(window)
        # At the very start the prompt's end tells whether the first token begins with a space.
        context = list(prompt[-_CONTEXT_TOKENS:])
        before, whole = self._texts.decode(context), self._texts.decode(context + window)
        return whole[len(before) :] if whole.startswith(before) else self._texts.decode(window)
