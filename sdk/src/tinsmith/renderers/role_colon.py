"""``role_colon``: ``User: …`` and ``Assistant: …``, for models that know no chats."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith.renderers.messages import Chat
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.vocabulary import CUT, Control

_STOP = "\n\nUser:"
_END = "\n\n"


class RoleColon(Renderer):
    """Plain text, one paragraph a message; a model of any tokenizer reads it.

    What it drops: nothing. What it refuses: tools, thinking, and the assistant's text that holds
    ``\\n\\nUser:``, where sampling would have stopped.
    """

    name = "role_colon"
    proof = "the public cookbook's RoleColonRenderer"
    lead = " "

    def beginning(self, chat: Chat) -> Pieces:
        """What stands before the first message."""
        begin = self.vocabulary.begin
        return () if begin is None else (Control(self.vocabulary.decode([begin])),)

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        header = (CUT, f"{message.role.capitalize()}:", CUT)
        return Turn(header, (f"{self.lead}{message.text}{_END}",))

    def ending(self, chat: Chat) -> Pieces:
        """The rest of what stops the assistant."""
        return (CUT, "User:") if chat.messages[-1].role == "assistant" else ()

    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""
        return (CUT, "Assistant:", CUT)

    @property
    def stop(self) -> list[str]:
        """What ends the assistant's message."""
        return [_STOP]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, ())
        text, stop, rest = self.vocabulary.decode(kept).partition(_STOP)
        if stop:
            ending = Ending.MALFORMED if rest or ending is not Ending.CUT_OFF else Ending.STOP
        text = text.removeprefix(self.lead)
        if not stop:
            text = text.removesuffix(_END)
        return Parsed({"role": "assistant", "content": text}, ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        if chat.tools:
            raise ValueError(f"{self.name} has no form for tools")
        for index, message in enumerate(chat.messages):
            if message.role == "tool" or message.tool_calls:
                raise self.refuse(index, "has no form for tools and their calls")
            if message.thinking:
                raise self.refuse(index, "has no form for thinking; take it out")
            if message.role == "assistant" and _STOP in f"{message.text}{_END}":
                raise self.refuse(index, f"stops at {_STOP!r}, which this text holds")
