"""``deepseekv3`` and ``deepseekv3_thinking``: DeepSeek-V3.1, without and with thinking."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from tinsmith.renderers.messages import Chat, Message
from tinsmith.renderers.reading import THINK, THINK_END, Reply, read_reply
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.sections import Section
from tinsmith.renderers.vocabulary import Control, Piece


def _control(*words: str) -> Control:
    """A control token of DeepSeek's, whose bars and blanks are no ASCII."""
    return Control(f"<\uff5c{chr(0x2581).join(words)}\uff5c>")


_BEGIN = _control("begin", "of", "sentence")
_END = _control("end", "of", "sentence")
_USER, _ASSISTANT = _control("User"), _control("Assistant")
_CALLS, _CALLS_END = _control("tool", "calls", "begin"), _control("tool", "calls", "end")
_CALL, _CALL_END = _control("tool", "call", "begin"), _control("tool", "call", "end")
_ARGUMENTS = _control("tool", "sep")
_RESULT, _RESULT_END = _control("tool", "output", "begin"), _control("tool", "output", "end")
_SECTION = Section(_CALLS, _CALL, _ARGUMENTS, _CALL_END, _CALLS_END)
_OPEN, _CLOSED = Control(THINK), Control(THINK_END)

_BEFORE_CALLS = "\n\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n"
_AFTER_CALLS = (
    "\n\nWhere:\n"
    "- `tool_call_name` must be an exact match to one of the available tools\n"
    "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters "
    "Schema\n"
    "- For multiple tool calls, chain them directly without separators or spaces"
)
_HOW_TO_CALL: tuple[Piece, ...] = (
    _BEFORE_CALLS,
    *(_CALLS, _CALL, "tool_call_name", _ARGUMENTS, "tool_call_arguments", _CALL_END, _CALLS_END),
    _AFTER_CALLS,
)


class DeepSeekV3(Renderer):
    """DeepSeek-V3.1 without thinking.

    What it drops: a result's name and id, as its template does. What it refuses: thinking; a
    system's message that is not the first; an answer to nothing.
    """

    name = "deepseekv3"
    proof = "the public cookbook's DeepSeekV3DisableThinkingRenderer"
    marks = (_CALLS.text, _CALL.text, THINK, THINK_END)
    needs = (
        *(_BEGIN.text, _END.text, _USER.text, _ASSISTANT.text, _CALLS.text, _CALLS_END.text),
        *(_CALL.text, _CALL_END.text, _ARGUMENTS.text, _RESULT.text, _RESULT_END.text),
        *(THINK, THINK_END),
    )

    def beginning(self, chat: Chat) -> Pieces:
        """What stands before the first message."""
        has_system = bool(chat.messages) and chat.messages[0].role == "system"
        return (_BEGIN,) if has_system else (_BEGIN, *_tools(chat))

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        if message.role == "system":
            return Turn((), (message.text, *_tools(chat)))
        if message.role == "user":
            return Turn((_USER,), (message.text,))
        if message.role == "tool":
            return Turn((_RESULT,), (message.text, _RESULT_END))
        return Turn(self._header(chat, index), (*self._said(chat, index), *_calls(message), _END))

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message; after a result, nothing."""
        if chat.messages[-1].role == "system":
            raise self.refuse(len(chat.messages) - 1, "answers users and tools alone")
        return () if chat.messages[-1].role == "tool" else (_ASSISTANT, _CLOSED)

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(_END.text),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [_END.text])
        reply = _SECTION.read(self.vocabulary.pieces(kept), Reply(), lambda head: {"name": head})
        return self._parsed(reply, ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        for index, message in enumerate(chat.messages):
            if message.role == "system" and index:
                raise self.refuse(index, "has the system's message first, and only there")
            before = chat.messages[index - 1].role if index else None
            if message.role == "assistant" and before not in ("user", "tool"):
                raise self.refuse(index, "answers users and tools alone")
            self._check_thinking(chat, index)

    def _check_thinking(self, chat: Chat, index: int) -> None:
        if chat.messages[index].thinking:
            raise self.refuse(index, "has no form for thinking; take it out")

    def _header(self, chat: Chat, index: int) -> Pieces:
        return self.opening(chat.up_to(index))

    def _said(self, chat: Chat, index: int) -> Pieces:
        return (chat.messages[index].text,)

    def _parsed(self, reply: Reply, ending: Ending) -> Parsed:
        if reply.is_malformed and ending is not Ending.CUT_OFF:
            ending = Ending.MALFORMED
        return Parsed(reply.message(self.marks), ending)


class DeepSeekV3Thinking(DeepSeekV3):
    """DeepSeek-V3.1 with thinking: the prompt opens it.

    What it drops, as its template does: thinking of earlier messages. What it refuses: tools, which
    the model calls without thinking alone; a system's message that is not the first; an answer to
    nothing.
    """

    name = "deepseekv3_thinking"
    proof = "the public cookbook's DeepSeekV3ThinkingRenderer"
    extends = False

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (*super().opening(chat)[:1], _OPEN)

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are; the prompt has opened its thinking."""
        kept, ending = self.end_of(tokens, [_END.text])
        pieces = [_OPEN, *self.vocabulary.pieces(kept)]
        reply = read_reply(pieces, (THINK, THINK_END), self.loose(), has_line_ends=False)
        return self._parsed(reply, ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        super().check(chat)
        if chat.tools:
            raise ValueError(f"{self.name} calls no tools: use deepseekv3")
        for index, message in enumerate(chat.messages):
            if message.tool_calls or message.role == "tool":
                raise self.refuse(index, "calls no tools: use deepseekv3")

    def _check_thinking(self, chat: Chat, index: int) -> None:
        """Nothing: it thinks."""

    def _header(self, chat: Chat, index: int) -> Pieces:
        is_last = index + 1 == len(chat.messages)
        return self.opening(chat.up_to(index)) if is_last else (_ASSISTANT, _CLOSED)

    def _said(self, chat: Chat, index: int) -> Pieces:
        message = chat.messages[index]
        is_last = index + 1 == len(chat.messages)
        return (message.thinking, _CLOSED, message.text) if is_last else (message.text,)


def _tools(chat: Chat) -> Iterator[Piece]:
    """What stands below the system's text of the tools."""
    if not chat.tools:
        return
    yield "\n\n## Tools\nYou have access to the following tools:\n\n"
    listed = []
    for text in chat.tools:
        tool = json.loads(text)["function"]
        parameters = json.dumps(tool.get("parameters", {}))
        listed.append(
            f"### {tool['name']}\nDescription: {tool.get('description', '')}\n\n"
            f"Parameters: {parameters}"
        )
    yield "\n".join(listed)
    yield from _HOW_TO_CALL


def _calls(message: Message) -> Iterator[Piece]:
    if message.tool_calls:
        yield _CALLS
        for call in message.tool_calls:
            yield from (_CALL, call.name, _ARGUMENTS, call.arguments, _CALL_END)
        yield _CALLS_END
