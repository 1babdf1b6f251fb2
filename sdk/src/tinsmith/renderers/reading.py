"""From the pieces of a sampled message to its text, its thinking and its calls."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tinsmith.renderers.messages import UNREAD
from tinsmith.renderers.renderer import Ending
from tinsmith.renderers.vocabulary import Control

CALL, CALL_END = "<tool_call>", "</tool_call>"
THINK, THINK_END = "<think>", "</think>"


def plain_text(pieces: Iterable[str | Control], ending: Ending) -> tuple[str, Ending]:
    """The text of pieces, and how it ended: a control token in its midst is malformed."""
    found = list(pieces)
    if any(isinstance(piece, Control) for piece in found):
        ending = Ending.MALFORMED
    return "".join(_text(piece) for piece in found), ending


@dataclass
class Reply:
    """What was read so far of a message that may think first and call tools at its end."""

    thinking: str = ""
    text: str = ""
    calls: list[dict[str, Any]] = field(default_factory=list)
    unread: list[dict[str, str]] = field(default_factory=list)
    is_malformed: bool = False

    def message(self, marks: Iterable[str]) -> dict[str, Any]:
        """The message in the form that renderers take; a text that holds marks becomes a part."""
        literal = any(mark in self.text for mark in marks)
        content = [{"type": "text", "text": self.text}] if literal else self.text
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if self.thinking:
            message["reasoning_content"] = self.thinking
        if self.calls:
            message["tool_calls"] = self.calls
        if self.unread:
            message[UNREAD] = self.unread
        return message


def read_reply(
    pieces: Iterable[str | Control], marks: Sequence[str], loose: str, has_line_ends: bool = True
) -> Reply:
    """A message of thinking between ``<think>`` and ``</think>``, text, and ``<tool_call>``s.

    Args:
        pieces: of the message, without its end.
        marks: those of the four that the family has.
        loose: a pattern of those that are no tokens of the tokenizer's, but letters.
        has_line_ends: whether line ends around thinking are the family's, and no text.
    """
    reply = Reply()
    inside, held, has_thought = "", "", False
    for piece in _marked(pieces, loose):
        mark = piece.text if isinstance(piece, Control) else None
        if mark not in marks:
            reply.is_malformed |= mark is not None
            held += _text(piece)
        elif mark == THINK and not inside and not has_thought and not (reply.text + held).strip():
            inside, held = THINK, ""
        elif mark == THINK_END and inside == THINK:
            reply.thinking = held.strip("\n") if has_line_ends else held
            inside, held, has_thought = "", "", True
        elif mark == CALL and not inside:
            reply.text += held.removesuffix("\n")
            inside, held = CALL, ""
        elif mark == CALL_END and inside == CALL:
            _read_call(reply, held)
            inside, held = "", ""
        else:
            reply.is_malformed = True
            held += _text(piece)
    if inside == THINK:
        reply.thinking = held.strip("\n") if has_line_ends else held
    elif inside == CALL:
        reply.unread.append({"text": CALL + held, "error": f"no {CALL_END} after it"})
    else:
        reply.text += held
    reply.is_malformed |= bool(inside)
    if has_thought and has_line_ends:
        reply.text = reply.text.lstrip("\n")
    return reply


def _read_call(reply: Reply, text: str) -> None:
    try:
        call = json.loads(text)
        name, arguments = call["name"], call["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"no JSON object with name and arguments: {type(error).__name__}: {error}"
        reply.unread.append({"text": f"{CALL}{text}{CALL_END}", "error": why})
        return
    if not isinstance(name, str) or not isinstance(arguments, dict):
        why = "name must be text, and arguments an object"
        reply.unread.append({"text": f"{CALL}{text}{CALL_END}", "error": why})
        return
    written = json.dumps(arguments, ensure_ascii=False)
    reply.calls.append({"type": "function", "function": {"name": name, "arguments": written}})


def _marked(pieces: Iterable[str | Control], loose: str) -> Iterator[str | Control]:
    """Pieces with marks taken out of texts, where they are no tokens of their own."""
    for piece in pieces:
        if isinstance(piece, Control):
            yield piece
            continue
        for place, part in enumerate(re.split(f"({loose})", piece)):
            if part:
                yield Control(part) if place % 2 else part


def _text(piece: str | Control) -> str:
    return piece.text if isinstance(piece, Control) else piece
