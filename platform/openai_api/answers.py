"""Answers in OpenAI's shapes: whole ones, the chunks of a stream, logprobs, usage."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from openai_api.detokenizer import Detokenizer, Piece
from openai_api.vocabulary import Vocabulary
from operations.partial import Progress
from operations.results import Sampled, Sequence


@dataclass(slots=True)
class Choice:
    """One answer as it grows."""

    index: int
    detokenizer: Detokenizer
    logprobs: list[float] = field(default_factory=list)
    top: list[list[tuple[int, float]]] = field(default_factory=list)
    started: bool = False

    def grow(self, progress: Progress) -> Piece | None:
        """Take tokens that were announced; None if nothing new can be shown.

        After a gap nothing is taken: the rest comes with the final answer.
        """
        known = len(self.detokenizer.ids)
        if progress.start > known:
            return None
        new = progress.tokens[known - progress.start :]
        self.logprobs += progress.logprobs[known - progress.start :]
        self.detokenizer.feed(new)
        piece = self.detokenizer.take()
        return piece if piece.text or piece.tokens else None

    def finish(self, sequence: Sequence) -> Piece:
        """The rest.

        Raises:
            Contradicted: what was shown is not how the answer begins.
        """
        known = self.detokenizer.ids
        if sequence.tokens[: len(known)] != known:
            raise Contradicted
        self.detokenizer.feed(sequence.tokens[len(known) :])
        self.logprobs, self.top = sequence.logprobs, sequence.top
        return self.detokenizer.take(final=True)

    def reason(self, sequence: Sequence) -> str:
        """The finish_reason."""
        return "stop" if sequence.stopped or self.detokenizer.stopped else "length"


class Contradicted(Exception):
    """A worker was lost, and the one that took over gave another answer."""


class Shape(Protocol):
    """How one kind of completion looks."""

    prefix: str
    whole_object: str
    chunk_object: str

    def whole(self, choice: Choice, piece: Piece, reason: str) -> dict[str, Any]:
        """A choice of a whole answer."""

    def chunks(self, choice: Choice, piece: Piece, reason: str | None) -> list[dict[str, Any]]:
        """Choices of chunks that say what is new."""


@dataclass(frozen=True, slots=True)
class ChatShape:
    """`chat.completion`."""

    vocabulary: Vocabulary
    logprobs: bool
    prefix = "chatcmpl-"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def whole(self, choice: Choice, piece: Piece, reason: str) -> dict[str, Any]:
        """A choice with the assistant's message."""
        message = {"role": "assistant", "content": piece.text, "refusal": None}
        return {
            "index": choice.index,
            "message": message,
            "logprobs": self._logprobs(choice, piece),
            "finish_reason": reason,
        }

    def chunks(self, choice: Choice, piece: Piece, reason: str | None) -> list[dict[str, Any]]:
        """Deltas: the role once, text as it comes, the reason by itself."""
        result: list[dict[str, Any]] = []
        if not choice.started:
            choice.started = True
            result.append(_delta(choice, {"role": "assistant", "content": ""}))
        if piece.text or piece.tokens:
            result.append(_delta(choice, {"content": piece.text}, self._logprobs(choice, piece)))
        if reason is not None:
            result.append(_delta(choice, {}, reason=reason))
        return result

    def _logprobs(self, choice: Choice, piece: Piece) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        content = [
            {
                **self._token(shown.token, choice.logprobs[shown.position]),
                "top_logprobs": [
                    self._token(*pair)
                    for pair in (choice.top[shown.position] if choice.top else [])
                ],
            }
            for shown in piece.tokens
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        data = self.vocabulary.bytes_of(token)
        return {"token": _name(data), "logprob": logprob, "bytes": list(data)}


def _delta(
    choice: Choice,
    delta: dict[str, Any],
    logprobs: dict[str, Any] | None = None,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "index": choice.index,
        "delta": delta,
        "logprobs": logprobs,
        "finish_reason": reason,
    }


@dataclass(frozen=True, slots=True)
class TextShape:
    """`text_completion`."""

    vocabulary: Vocabulary
    logprobs: bool
    prefix = "cmpl-"
    whole_object = chunk_object = "text_completion"

    def whole(self, choice: Choice, piece: Piece, reason: str | None) -> dict[str, Any]:
        """A choice with its text."""
        return {
            "index": choice.index,
            "text": piece.text,
            "logprobs": self._logprobs(choice, piece),
            "finish_reason": reason,
        }

    def chunks(self, choice: Choice, piece: Piece, reason: str | None) -> list[dict[str, Any]]:
        """Pieces of the text, the reason with the last."""
        return [self.whole(choice, piece, reason)]

    def _logprobs(self, choice: Choice, piece: Piece) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        shown = piece.tokens
        logprobs = [choice.logprobs[token.position] for token in shown]
        return {
            "tokens": [self._name(token.token) for token in shown],
            "token_logprobs": logprobs,
            "top_logprobs": [
                self._top(token.token, logprob, choice.top[token.position])
                for token, logprob in zip(shown, logprobs, strict=True)
            ]
            if choice.top
            else None,
            "text_offset": [token.offset for token in shown],
        }

    def _top(
        self, sampled: int, logprob: float, candidates: list[tuple[int, float]]
    ) -> dict[str, float]:
        """The likeliest tokens, likeliest first, and the sampled one, by name.

        The sampled one has the name that `tokens` gives it. Another of that name, or of the name of
        a likelier one, is called by its number.
        """
        own = self._name(sampled)
        by_token = dict(candidates)
        by_token.setdefault(sampled, logprob)
        told: dict[str, float] = {}
        for token, its in by_token.items():
            name = self._name(token)
            taken = token != sampled and (name == own or name in told)
            told[f"token_id:{token}" if taken else name] = its
        return told

    def _name(self, token: int) -> str:
        data = self.vocabulary.bytes_of(token)
        name = _name(data)
        # as OpenAI's completions mark what is no text
        return name if _is_text(data) else f"bytes:{name}"


def _name(data: bytes) -> str:
    """What a token is called: its text; if its bytes are none, those, so that all differ."""
    return data.decode() if _is_text(data) else "".join(f"\\x{byte:02x}" for byte in data)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass(slots=True)
class Usage:
    """Tokens in and out. Every sampled token counts, the one that ends an answer too."""

    prompt: int
    completion: int = 0
    cached: int = 0

    def add(self, answered: Sampled) -> None:
        """Count the answers to a prompt."""
        self.completion += sum(len(sequence.tokens) for sequence in answered.sequences)
        self.cached += answered.cached_tokens

    def as_json(self) -> dict[str, Any]:
        """The `usage` object."""
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


@dataclass(frozen=True, slots=True)
class Heading:
    """What a whole answer and every chunk of a stream begin with."""

    id: str
    created: int
    model: str

    @classmethod
    def new(cls, shape: Shape, model: str) -> Heading:
        """A new answer's."""
        return cls(shape.prefix + uuid.uuid4().hex, int(time.time()), model)

    def over(self, kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        """The object with its choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }
