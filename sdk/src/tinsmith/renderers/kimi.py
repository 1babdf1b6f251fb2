"""``kimi_k2``: Kimi-K2-Thinking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import takewhile

from tinsmith.renderers.messages import Chat, Message
from tinsmith.renderers.reading import THINK, THINK_END, read_reply
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.sections import Section
from tinsmith.renderers.vocabulary import Control, Piece

_SYSTEM, _USER = Control("<|im_system|>"), Control("<|im_user|>")
_ASSISTANT, _MIDDLE = Control("<|im_assistant|>"), Control("<|im_middle|>")
_END = Control("<|im_end|>")
_SECTION = Section(
    Control("<|tool_calls_section_begin|>"),
    Control("<|tool_call_begin|>"),
    Control("<|tool_call_argument_begin|>"),
    Control("<|tool_call_end|>"),
    Control("<|tool_calls_section_end|>"),
)
_OWN_SYSTEM = "You are Kimi, an AI assistant created by Moonshot AI."


class KimiK2(Renderer):
    """Kimi-K2-Thinking.

    What it drops, as its template does: thinking up to the last message of the assistant's that
    calls nothing. What it refuses: a result without the id of its call.
    """

    name = "kimi_k2"
    proof = "the public cookbook's KimiK2Renderer"
    needs = (
        *(_SYSTEM.text, _USER.text, _ASSISTANT.text, _MIDDLE.text, _END.text),
        *_SECTION.texts,
        *(THINK, THINK_END),
    )
    marks = (THINK, THINK_END, *_SECTION.texts)
    extends = False

    def beginning(self, chat: Chat) -> Pieces:
        """The tools; and a system's message, where the chat has none."""
        tools: tuple[Piece, ...] = ()
        if chat.tools:
            declared = json.dumps(
                [json.loads(tool) for tool in chat.tools],
                ensure_ascii=False,
                separators=(",", ":"),
                sort_keys=True,
            )
            tools = (_SYSTEM, "tool_declare", _MIDDLE, declared, _END)
        if chat.messages and chat.messages[0].role == "system":
            return tools
        return (*tools, _SYSTEM, "system", _MIDDLE, _OWN_SYSTEM, _END)

    def turn(self, chat: Chat, index: int) -> Turn:
        """A message between its role's control tokens and ``<|im_end|>``."""
        message = chat.messages[index]
        if message.role == "assistant":
            return Turn(self.opening(chat), (*self._said(chat, index), _END))
        if message.role == "tool":
            header = (_SYSTEM, message.name or "tool", _MIDDLE)
            return Turn((*header, f"## Return of {message.tool_call_id}\n"), (message.text, _END))
        opens = _USER if message.role == "user" else _SYSTEM
        return Turn((opens, message.role, _MIDDLE), (message.text, _END))

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (_ASSISTANT, "assistant", _MIDDLE)

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(_END.text),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [_END.text])
        pieces = list(self.vocabulary.pieces(kept))
        before = list(takewhile(lambda piece: piece != _SECTION.begin, pieces))
        reply = read_reply(before, (THINK, THINK_END), self.loose(), has_line_ends=False)
        reply = _SECTION.read(pieces[len(before) :], reply, _head)
        if reply.is_malformed and ending is not Ending.CUT_OFF:
            ending = Ending.MALFORMED
        return Parsed(reply.message(self.marks), ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        for index, message in enumerate(chat.messages):
            if message.role == "tool" and not message.tool_call_id:
                raise self.refuse(index, "names the call of a result: give its tool_call_id")

    def _said(self, chat: Chat, index: int) -> Pieces:
        message = chat.messages[index]
        thinking = message.thinking if index > chat.last_plain_answer else ""
        return (Control(THINK), thinking, Control(THINK_END), message.text, *_calls(message))


def _calls(message: Message) -> Iterator[Piece]:
    if message.tool_calls:
        yield _SECTION.begin
        for place, call in enumerate(message.tool_calls):
            yield from (_SECTION.call, call.id or f"functions.{call.name}:{place}")
            yield from (_SECTION.arguments, call.arguments, _SECTION.call_end)
        yield _SECTION.end


def _head(text: str) -> dict[str, str]:
    """The name and the id in ``functions.NAME:0``."""
    number = text.strip()
    name = number.partition(":")[0]
    return {"id": number, "name": name.partition(".")[2] or name}
