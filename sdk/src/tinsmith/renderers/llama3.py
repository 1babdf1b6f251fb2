"""``llama3``: the instruct models of Llama 3, 3.1, 3.2 and 3.3."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith.renderers.messages import Chat
from tinsmith.renderers.reading import plain_text
from tinsmith.renderers.renderer import Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.vocabulary import Control

_BEGIN = Control("<|begin_of_text|>")
_HEADER = Control("<|start_header_id|>")
_HEADER_END = Control("<|end_header_id|>")
_END = Control("<|eot_id|>")


class Llama3(Renderer):
    """Llama 3's chat. The templates of 3.1 and later put two dates before the system's text; here
    they are only where messages have them.

    What it drops, as its template does: white space around a text. What it refuses: thinking, tools
    and their calls, which are bare JSON and cannot be told from an answer that is JSON.
    """

    name = "llama3"
    proof = "Llama 3's chat template as trl ships it; the public cookbook's Llama3Renderer"
    needs = (_BEGIN.text, _HEADER.text, _HEADER_END.text, _END.text)

    def beginning(self, chat: Chat) -> Pieces:
        """What stands before the first message."""
        return (_BEGIN,)

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        return Turn(_header(message.role), (message.text.strip(), _END))

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return _header("assistant")

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(_END.text),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [_END.text], ["<|end_of_text|>"])
        text, ending = plain_text(self.vocabulary.pieces(kept), ending)
        return Parsed({"role": "assistant", "content": text}, ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        if chat.tools:
            raise ValueError(f"{self.name} has no form for tools that can be read back")
        for index, message in enumerate(chat.messages):
            if message.role == "tool" or message.tool_calls:
                raise self.refuse(index, "has no form for tools that can be read back")
            if message.thinking:
                raise self.refuse(index, "has no form for thinking; take it out")


def _header(role: str) -> Pieces:
    return (_HEADER, role, _HEADER_END, "\n\n")
