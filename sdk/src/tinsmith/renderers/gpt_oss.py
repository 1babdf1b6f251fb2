"""``gpt_oss_low``, ``_medium`` and ``_high``: gpt-oss, by how much it is asked to reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import ClassVar

from tinsmith.renderers.messages import Chat, arguments_text
from tinsmith.renderers.reading import Reply
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.typescript import namespace
from tinsmith.renderers.vocabulary import CUT, Control, Piece

_START, _END = Control("<|start|>"), Control("<|end|>")
_MESSAGE, _CHANNEL = Control("<|message|>"), Control("<|channel|>")
_RETURN, _CALL = Control("<|return|>"), Control("<|call|>")
_CONSTRAIN = Control("<|constrain|>")
_FORM = (_START, _END, _MESSAGE, _CHANNEL, _RETURN, _CALL, _CONSTRAIN)
_NEXT: tuple[Piece, ...] = (_END, _START, "assistant", CUT)
_RECIPIENT = re.compile(r"\bto=([^\s<]+)")
_NAME = re.compile(r"[\w.-]+")
# Analysis, then an answer, or a preamble and calls
_WHOLE = re.compile("a?(f|c?t+)")

_WHO = "You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n\n"
_CHANNELS = (
    "# Valid channels: analysis, commentary, final. Channel must be included for every message."
)
_CALLS_GO = "\nCalls to these tools must go to the commentary channel: 'functions'."


class GptOss(Renderer):
    """gpt-oss (OpenAI's harmony): thinking in the channel ``analysis``, calls and what is said
    before them in ``commentary``, the answer in ``final``. The system's message stands among the
    developer's instructions. No date is told, so that a prompt is the same tomorrow.

    What it drops: thinking up to the last message of the assistant's that calls nothing; ids of
    calls and results. What it refuses: a system's message that is not the first; a result without
    its tool's name; names of tools that are more than letters, digits, ``_``, ``-`` and dots.
    """

    name = "gpt_oss_medium"
    proof = "OpenAI's own openai-harmony, on its own vocabulary"
    needs = tuple(control.text for control in _FORM)
    marks = needs
    extends = False
    effort: ClassVar[str] = "medium"

    def beginning(self, chat: Chat) -> Pieces:
        """The system's message; and the tools, where no message holds them."""
        calls = _CALLS_GO if chat.tools else ""
        words = f"{_WHO}Reasoning: {self.effort}\n\n{_CHANNELS}{calls}"
        system: Pieces = (_START, "system", _MESSAGE, words, _END)
        if not chat.tools or (chat.messages[:1] and chat.messages[0].role == "system"):
            return system
        return (*system, _START, "developer", _MESSAGE, _tools(chat), _END)

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        if message.role == "assistant":
            return Turn(self.opening(chat), tuple(_said(chat, index)))
        if message.role == "tool":
            header: Pieces = (_START, f"functions.{message.name} to=assistant", _CHANNEL)
            return Turn((*header, "commentary", _MESSAGE), (message.text, _END))
        if message.role == "user":
            return Turn((_START, "user", _MESSAGE), (message.text, _END))
        tools = ("\n\n", _tools(chat)) if chat.tools else ()
        header = (_START, "developer", _MESSAGE, "# Instructions\n\n")
        return Turn(header, (message.text, *tools, _END))

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (_START, "assistant")

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's turn: an answer's end, or a call's."""
        found = (self.vocabulary.number(end.text) for end in (_RETURN, _CALL))
        return [number for number in found if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        start, end, call = (self.vocabulary.number(one.text) for one in (_START, _END, _CALL))
        # A call that another message follows ends no turn
        going_on = [
            end if (token, after) == (call, start) else token
            for token, after in zip_longest(tokens, tokens[1:])
        ]
        turn = [one for one in going_on if one is not None]
        kept, ending = self.end_of(turn, [_RETURN.text, _CALL.text], ["<|endoftext|>"])
        segments = list(_segments(self.vocabulary.pieces(kept)))
        reply = _reply(segments)
        if ending is not Ending.CUT_OFF and (
            reply.is_malformed or not _WHOLE.fullmatch("".join(one.letter for one in segments))
        ):
            ending = Ending.MALFORMED
        return Parsed(reply.message(self.marks), ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        for index, message in enumerate(chat.messages):
            if message.role == "system" and index:
                raise self.refuse(index, "has the system's message first, and only there")
            if message.role == "tool" and not message.name:
                raise self.refuse(index, "names the tool of a result: give its name")
            for name in (message.name, *(call.name for call in message.tool_calls)):
                if name and not _NAME.fullmatch(name):
                    raise self.refuse(index, f"cannot call {name!r}: letters, digits, _ - . alone")
        if chat.tools:
            namespace("functions", chat.tools)

    def _prefill(self, prefill: str) -> list[int]:
        """A prefill is how the answer begins, so it stands in its channel."""
        found = super()._prefill(prefill)
        if not found:
            return found
        return [*self.encode([((0, True), (_CHANNEL, "final", _MESSAGE))]).tokens, *found]


class GptOssLow(GptOss):
    """gpt-oss that is to reason little. What it drops and refuses: as ``gpt_oss_medium``."""

    name = "gpt_oss_low"
    effort = "low"


class GptOssHigh(GptOss):
    """gpt-oss that is to reason much. What it drops and refuses: as ``gpt_oss_medium``."""

    name = "gpt_oss_high"
    effort = "high"


def _tools(chat: Chat) -> str:
    return f"# Tools\n\n{namespace('functions', chat.tools)}"


def _said(chat: Chat, index: int) -> Iterator[Piece]:
    """What the assistant writes after ``<|start|>assistant``."""
    message = chat.messages[index]
    if message.thinking and index > chat.last_plain_answer:
        yield from (_CHANNEL, "analysis", _MESSAGE, message.thinking, *_NEXT)
    if not message.tool_calls:
        is_last = index + 1 == len(chat.messages)
        yield from (_CHANNEL, "final", _MESSAGE, message.text, _RETURN if is_last else _END)
        return
    if message.text:
        yield from (_CHANNEL, "commentary", _MESSAGE, message.text, *_NEXT)
    for place, call in enumerate(message.tool_calls):
        if place:
            yield from _NEXT[1:]
        yield from (f" to=functions.{call.name}", _CHANNEL, "commentary ", _CONSTRAIN, "json")
        yield from (_MESSAGE, call.arguments, _CALL)


@dataclass
class _Segment:
    """One message of a turn: what stands before ``<|message|>``, and what after it."""

    header: str = ""
    text: str = ""
    is_open: bool = False
    is_malformed: bool = False

    @property
    def recipient(self) -> str:
        """Whom it calls."""
        found = _RECIPIENT.search(self.header)
        return found[1] if found else ""

    @property
    def letter(self) -> str:
        """What it is: analysis, commentary, a call (t), final, or nothing of these (x)."""
        if not self.is_open:
            return "x"
        if self.recipient:
            return "t"
        channel = self.header.partition(_CHANNEL.text)[2].strip()
        return {"analysis": "a", "commentary": "c", "final": "f"}.get(channel, "x")


def _segments(pieces: Iterable[str | Control]) -> Iterator[_Segment]:
    """The messages of a turn, of pieces after the first ``<|start|>assistant``."""
    segment: _Segment | None = _Segment()
    for piece in pieces:
        if segment is None:
            if piece == _START:
                segment = _Segment()
                continue
            segment = _Segment(is_malformed=True)
        if piece == _END and segment.is_open:
            yield segment
            segment = None
        elif segment.is_open:
            segment.is_malformed |= isinstance(piece, Control)
            segment.text += piece.text if isinstance(piece, Control) else piece
        elif piece == _MESSAGE:
            segment.is_open = True
            segment.header = segment.header.removeprefix("assistant")
        else:
            segment.header += piece.text if isinstance(piece, Control) else piece
    if segment is not None and (segment.header or segment.is_open):
        yield segment


def _reply(segments: Iterable[_Segment]) -> Reply:
    reply = Reply()
    for segment in segments:
        letter = segment.letter
        reply.is_malformed |= segment.is_malformed or letter == "x"
        if letter == "a":
            reply.thinking += segment.text
        elif letter == "t":
            _add_call(reply, segment)
        else:
            reply.text += segment.text if segment.is_open else segment.header
    return reply


def _add_call(reply: Reply, segment: _Segment) -> None:
    owner, _, name = segment.recipient.partition(".")
    try:
        if owner != "functions" or not _NAME.fullmatch(name):
            raise ValueError(f"there is no tool {segment.recipient!r}")
        arguments = arguments_text("the arguments", segment.text)
    except ValueError as error:
        reply.unread.append({"text": f"{segment.header} {segment.text}", "error": str(error)})
        return
    function = {"name": name, "arguments": arguments}
    reply.calls.append({"type": "function", "function": function})
