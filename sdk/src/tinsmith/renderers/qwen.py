"""The families of Qwen2.5 and Qwen3: ChatML, with thinking, and with calls as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from tinsmith.renderers.messages import Chat, Message
from tinsmith.renderers.reading import CALL, CALL_END, THINK, THINK_END, read_reply
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.vocabulary import Control, Piece

_START = Control("<|im_start|>")
_END = Control("<|im_end|>")
_RESULT, _RESULT_END = "<tool_response>", "</tool_response>"
_TOOLS = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_FOR_EACH = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within "
)
_HOW_TO_CALL: tuple[Piece, ...] = (
    _FOR_EACH,
    Control(CALL),
    Control(CALL_END),
    " XML tags:\n",
    Control(CALL),
    '\n{"name": <function-name>, "arguments": <args-json-object>}\n',
    Control(CALL_END),
)


class Qwen3Instruct(Renderer):
    """Qwen3's instruct models (2507): no thinking.

    What it drops: a tool result's name and id, as its template does. What it refuses: thinking.
    """

    name = "qwen3_instruct"
    proof = "its chat template as trl ships it; the public cookbook's Qwen3InstructRenderer"
    needs = (_START.text, _END.text)
    marks: tuple[str, ...] = (CALL, CALL_END)
    default_system: ClassVar[str] = ""

    def beginning(self, chat: Chat) -> Pieces:
        """A system's message, where the chat has none and there is something to say in it."""
        own = self.default_system
        if _begins_with_system(chat) or not (own or chat.tools):
            return ()
        above = f"{own}\n\n" if own and chat.tools else own
        return (_START, f"system\n{above}", *_tools(chat), _END)

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        if message.role == "tool":
            return self._result(chat, index)
        if message.role == "assistant":
            return Turn(self.opening(chat.up_to(index)), (*self._said(chat, index), _END))
        header = (*self._header(chat, index, message.role), "\n")
        if index == 0 and message.role == "system" and chat.tools:
            return Turn(header, (f"{message.text}\n\n", *_tools(chat), _END))
        return Turn(header, (message.text, _END))

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (*self._header(chat, len(chat.messages), "assistant"), "\n")

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(_END.text),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [_END.text], ["<|endoftext|>"])
        reply = read_reply(self.vocabulary.pieces(kept), self.marks, self.loose())
        if reply.is_malformed and ending is not Ending.CUT_OFF:
            ending = Ending.MALFORMED
        return Parsed(reply.message(self.marks), ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        for index, message in enumerate(chat.messages):
            if message.thinking:
                raise self.refuse(index, "has no form for thinking; take it out")

    def _said(self, chat: Chat, index: int) -> Pieces:
        """What the assistant writes, without its end."""
        message = chat.messages[index]
        return (message.text, *_calls(message))

    def _header(self, chat: Chat, index: int, role: str) -> Pieces:
        is_first = index == 0 and not self.beginning(chat)
        return (*(() if is_first else ("\n",)), _START, role)

    def _result(self, chat: Chat, index: int) -> Turn:
        """A tool's result: results in a row are one message of the user's."""
        is_first = index == 0 or chat.messages[index - 1].role != "tool"
        is_last = index + 1 == len(chat.messages) or chat.messages[index + 1].role != "tool"
        body: tuple[Piece, ...] = (
            Control(_RESULT),
            f"\n{chat.messages[index].text}\n",
            Control(_RESULT_END),
        )
        header = self._header(chat, index, "user") if is_first else ()
        return Turn((*header, "\n"), (*body, _END) if is_last else body)


class Qwen2Dot5(Qwen3Instruct):
    """Qwen2.5's instruct models: as Qwen3's, with a system's text of their own where none is given.

    What it drops: a tool result's name and id, as its template does. What it refuses: thinking.
    """

    name = "qwen2_5"
    proof = "its chat template as trl ships it"
    default_system = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


class Qwen3(Qwen3Instruct):
    """Qwen3's first models, which think before they answer.

    What it drops, as its template does: thinking before the last user message; line ends around
    thinking and before the text that follows it; a tool result's name and id.
    """

    name = "qwen3"
    proof = "its chat template as trl ships it; the public cookbook's Qwen3Renderer"
    marks = (THINK, THINK_END, CALL, CALL_END)
    extends = False

    def check(self, chat: Chat) -> None:
        """Nothing: it expresses whatever messages can hold."""

    def _said(self, chat: Chat, index: int) -> Pieces:
        message = chat.messages[index]
        if not self._shows_thinking(chat, index):
            return super()._said(chat, index)
        return (*self._thought(message.thinking), message.text.lstrip("\n"), *_calls(message))

    def _shows_thinking(self, chat: Chat, index: int) -> bool:
        """Whether a message stands after the last question, and is the last or has thinking."""
        last = len(chat.messages) - 1
        question = chat.last_index("user")
        is_answer = index > (last if question < 0 else question)
        return is_answer and (index == last or bool(chat.messages[index].thinking))

    def _thought(self, thinking: str) -> Pieces:
        inner = thinking.strip("\n")
        return (Control(THINK), f"\n{inner}\n", Control(THINK_END), "\n\n")


class Qwen3DisableThinking(Qwen3):
    """Qwen3's first models with thinking off: the prompt ends with an empty block of thinking.

    What it drops: as ``qwen3``. What it refuses: thinking in the message that is to be learnt, and
    chats without a user's message, of which the template makes another prompt than example.
    """

    name = "qwen3_disable_thinking"
    proof = "its chat template as trl ships it; the public cookbook's renderer of that name"

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (*super().opening(chat), *self._thought(""))

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        turn = super().turn(chat, index)
        if chat.messages[index].role != "assistant":
            return turn
        if self._shows_thinking(chat, index):
            return Turn(turn.header, turn.body[len(self._thought("")) :])
        return Turn(Qwen3Instruct.opening(self, chat.up_to(index)), turn.body)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        question = chat.last_index("user")
        if question < 0:
            raise ValueError(f"{self.name} needs a user's message, and the chat has none")
        for index, message in enumerate(chat.messages):
            if message.thinking and index > question:
                raise self.refuse(index, "thinks nothing: take the thinking out, or use qwen3")


def _tools(chat: Chat) -> Iterator[Piece]:
    """What a system's message says of the tools."""
    if chat.tools:
        yield _TOOLS + "".join(f"\n{tool}" for tool in chat.tools)
        yield from _HOW_TO_CALL


def _begins_with_system(chat: Chat) -> bool:
    return bool(chat.messages) and chat.messages[0].role == "system"


def _calls(message: Message) -> Iterator[Piece]:
    for place, call in enumerate(message.tool_calls):
        if place or message.text:
            yield "\n"
        yield Control(CALL)
        yield f'\n{{"name": "{call.name}", "arguments": {call.arguments}}}\n'
        yield Control(CALL_END)
