"""Calls in a section at a message's end, each a head and arguments between control tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tinsmith.renderers.messages import arguments_text
from tinsmith.renderers.reading import Reply
from tinsmith.renderers.vocabulary import Control

Head = Callable[[str], dict[str, str]]


@dataclass(frozen=True)
class Section:
    """The control tokens of a section of calls."""

    begin: Control
    call: Control
    arguments: Control
    call_end: Control
    end: Control

    @property
    def texts(self) -> tuple[str, ...]:
        """Their texts."""
        tokens = (self.begin, self.call, self.arguments, self.call_end, self.end)
        return tuple(token.text for token in tokens)

    def read(self, pieces: Iterable[str | Control], reply: Reply, head: Head) -> Reply:
        """Add to a reply what pieces say: text, and calls after it.

        Args:
            pieces: of the message, without its end.
            reply: what was read before them.
            head: the ``name`` of a call, and its ``id`` where it has one, by what stands before its
                arguments.
        """
        call: list[str] = []
        inside: Control | None = None
        follows = {
            self.begin: None,
            self.call: self.begin,
            self.arguments: self.call,
            self.call_end: self.arguments,
            self.end: self.begin,
        }
        for piece in pieces:
            if isinstance(piece, Control) and piece in follows and follows[piece] == inside:
                if piece == self.call_end:
                    _add(reply, call, head)
                    call = []
                inside = {self.call_end: self.begin, self.end: None}.get(piece, piece)
                continue
            text = piece.text if isinstance(piece, Control) else piece
            reply.is_malformed |= isinstance(piece, Control) or inside == self.begin
            if inside in (self.call, self.arguments):
                call += [""] * (1 + (inside == self.arguments) - len(call))
                call[-1] += text
            else:
                reply.text += text
        if call:
            reply.unread.append({"text": " ".join(call), "error": "the call has no end"})
        reply.is_malformed |= inside is not None
        return reply


def _add(reply: Reply, call: Sequence[str], head: Head) -> None:
    before, arguments = [*call, "", ""][:2]
    try:
        said = head(before)
        name = said.pop("name")
        if json.dumps(name, ensure_ascii=False) != f'"{name}"' or not name:
            raise ValueError(f"the name {name!r} is none")
        written = arguments_text("the arguments", arguments)
    except ValueError as error:
        reply.unread.append({"text": f"{before} {arguments}", "error": str(error)})
        return
    found: dict[str, Any] = {**said, "type": "function"}
    found["function"] = {"name": name, "arguments": written}
    reply.calls.append(found)
