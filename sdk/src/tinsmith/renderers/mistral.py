"""``mistral_v3``, ``_v7``, ``_v11``, ``_v13``: Mistral's chats, by the version of its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from typing import Any

from tinsmith.renderers.messages import Chat, Message, ToolCall, arguments_text
from tinsmith.renderers.reading import Reply
from tinsmith.renderers.renderer import Ending, Parsed, Pieces, Renderer, Turn
from tinsmith.renderers.vocabulary import Control, Piece

_BEGIN, _END = Control("<s>"), Control("</s>")
_INST, _INST_END = Control("[INST]"), Control("[/INST]")
_SYSTEM, _SYSTEM_END = Control("[SYSTEM_PROMPT]"), Control("[/SYSTEM_PROMPT]")
_TOOLS, _TOOLS_END = Control("[AVAILABLE_TOOLS]"), Control("[/AVAILABLE_TOOLS]")
_RESULT, _RESULT_END = Control("[TOOL_RESULTS]"), Control("[/TOOL_RESULTS]")
_CONTENT = Control("[TOOL_CONTENT]")
_CALLS, _CALL_ID, _ARGUMENTS = Control("[TOOL_CALLS]"), Control("[CALL_ID]"), Control("[ARGS]")
_THINK, _THINK_END = Control("[THINK]"), Control("[/THINK]")
_ALWAYS = tuple(
    control.text
    for control in (
        *(_BEGIN, _END, _INST, _INST_END, _TOOLS, _TOOLS_END, _RESULT, _RESULT_END, _CALLS),
    )
)
_PROOF = "Mistral's own mistral-common, on the tekken vocabulary that it ships"


class MistralV7(Renderer):
    """Mistral Small 3 and 3.1.

    What it drops, as mistral-common does: blanks at an answer's end; how JSON of arguments is
    spaced; names of results. What it refuses: thinking; a system's message that is not the first;
    an answer to nothing; two messages of the user's side by side; a result without its call's id.
    """

    name = "mistral_v7"
    proof = _PROOF
    needs = (*_ALWAYS, _SYSTEM.text, _SYSTEM_END.text, _CONTENT.text)
    marks: tuple[str, ...] = (_CALLS.text,)
    extends = False

    def beginning(self, chat: Chat) -> Pieces:
        """What stands before the first message."""
        return (_BEGIN,)

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message = chat.messages[index]
        if message.role == "system":
            return Turn((_SYSTEM,), (message.text, _SYSTEM_END))
        if message.role == "user":
            return Turn((*self._tools(chat, index), _INST), (message.text, _INST_END))
        if message.role == "tool":
            return self._result(message)
        said = (*self._thinking(message), message.text.rstrip(" "), *self._calls(message), _END)
        return Turn((), said)

    def opening(self, chat: Chat) -> Pieces:
        """Nothing: the end of the last message is what the assistant answers to."""
        if chat.messages[-1].role == "system":
            raise self.refuse(len(chat.messages) - 1, "answers users and tools alone")
        return ()

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(_END.text),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [_END.text])
        reply = Reply()
        pieces = self._read_thinking(list(self.vocabulary.pieces(kept)), reply)
        before = list(takewhile(lambda piece: piece != _CALLS, pieces))
        reply.text += _text(before, reply)
        self._read_calls(pieces[len(before) :], reply)
        if reply.is_malformed and ending is not Ending.CUT_OFF:
            ending = Ending.MALFORMED
        return Parsed(reply.message(self.marks), ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        for index, message in enumerate(chat.messages):
            before = chat.messages[index - 1].role if index else None
            if message.role == "system" and index:
                raise self.refuse(index, "has the system's message first, and only there")
            if message.role == "assistant" and before not in ("user", "tool"):
                raise self.refuse(index, "answers users and tools alone")
            if message.role == before == "user":
                raise self.refuse(index, "joins messages of the user's: make one of them")
            if message.role == "tool" and not message.tool_call_id:
                raise self.refuse(index, "names the call of a result: give its tool_call_id")
            if message.thinking and _THINK.text not in self.marks:
                raise self.refuse(index, "has no form for thinking; take it out")

    # ---- what the versions differ in

    def _tools(self, chat: Chat, index: int) -> Iterator[Piece]:
        """The tools, which stand before one message of the user's."""
        if chat.tools and index == self._tools_place(chat):
            listed = [_tool(json.loads(tool)) for tool in chat.tools]
            yield from (_TOOLS, json.dumps(listed, ensure_ascii=False), _TOOLS_END)

    def _tools_place(self, chat: Chat) -> int:
        return chat.last_index("user")

    def _result(self, message: Message) -> Turn:
        header = (_RESULT, message.tool_call_id or "", _CONTENT)
        return Turn(header, (message.text, _RESULT_END))

    def _calls(self, message: Message) -> Iterator[Piece]:
        if message.tool_calls:
            found = [
                {"name": call.name, "arguments": json.loads(call.arguments)}
                | ({"id": call.id} if call.id else {})
                for call in message.tool_calls
            ]
            yield from (_CALLS, json.dumps(found, ensure_ascii=False))

    def _read_calls(self, pieces: Sequence[str | Control], reply: Reply) -> None:
        if not pieces:
            return
        text = _text(pieces[1:], reply)
        try:
            found = json.loads(text)
            for call in found if isinstance(found, list) else [found]:
                _add(reply, call["name"], call["arguments"], call.get("id"))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"no list of names and arguments: {type(error).__name__}: {error}"
            reply.unread.append({"text": text, "error": why})

    def _thinking(self, message: Message) -> Iterator[Piece]:
        yield from ()

    def _read_thinking(
        self, pieces: Sequence[str | Control], reply: Reply
    ) -> Sequence[str | Control]:
        """What stands after the thinking."""
        return pieces


class MistralV3(MistralV7):
    """Mistral Nemo and Ministral 8B (2410): the system's text begins the last user message.

    What it drops, as mistral-common does: blanks at an answer's end; how JSON of arguments and
    results is spaced; names of results. What it refuses: text beside calls; and as ``mistral_v7``.
    """

    name = "mistral_v3"
    needs = _ALWAYS

    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""
        message, first = chat.messages[index], chat.messages[0]
        if message.role == "system":
            return Turn((), ())
        turn = super().turn(chat, index)
        if first.role == "system" and first.text and index == chat.last_index("user"):
            return Turn(turn.header, (f"{first.text}\n\n", *turn.body))
        return turn

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        super().check(chat)
        for index, message in enumerate(chat.messages):
            if message.tool_calls and message.text:
                raise self.refuse(index, "says nothing beside its calls; take the text out")

    def _result(self, message: Message) -> Turn:
        try:
            content: Any = json.loads(message.text or "{}")
        except (ValueError, RecursionError):
            content = message.text
        found = {"content": content, "call_id": message.tool_call_id}
        return Turn((_RESULT,), (json.dumps(found, ensure_ascii=False), _RESULT_END))


class MistralV11(MistralV7):
    """Mistral Small 3.2: each call has its own control tokens.

    What it drops and refuses: as ``mistral_v7``.
    """

    name = "mistral_v11"
    needs = (*MistralV7.needs, _CALL_ID.text, _ARGUMENTS.text)
    marks: tuple[str, ...] = (_CALLS.text, _CALL_ID.text, _ARGUMENTS.text)

    def _calls(self, message: Message) -> Iterator[Piece]:
        for call in message.tool_calls:
            yield from (_CALLS, call.name, *self._id(call), _ARGUMENTS)
            yield json.dumps(json.loads(call.arguments), ensure_ascii=False)

    def _id(self, call: ToolCall) -> Pieces:
        return (_CALL_ID, call.id) if call.id else ()

    def _read_calls(self, pieces: Sequence[str | Control], reply: Reply) -> None:
        starts = [place for place, piece in enumerate(pieces) if piece == _CALLS]
        for start, end in pairwise([*starts, len(pieces)]):
            parts = {_CALLS: "", _CALL_ID: "", _ARGUMENTS: ""}
            inside = _CALLS
            for piece in pieces[start + 1 : end]:
                if isinstance(piece, Control) and piece in parts:
                    inside = piece
                else:
                    parts[inside] += _text([piece], reply)
            _add(reply, parts[_CALLS], parts[_ARGUMENTS], parts[_CALL_ID])


class MistralV13(MistralV11):
    """What Mistral has made since Magistral and Devstral of July 2025: it may think, tools stand
    before the first message of the user's, and ids are not written.

    What it drops, as mistral-common does: ids of calls and results; and as ``mistral_v7``. What it
    refuses: results in another order than their calls; and as ``mistral_v7``, but for thinking.
    """

    name = "mistral_v13"
    needs = (
        *(*_ALWAYS, _SYSTEM.text, _SYSTEM_END.text, _ARGUMENTS.text),
        *(_THINK.text, _THINK_END.text),
    )
    marks = (_CALLS.text, _ARGUMENTS.text, _THINK.text, _THINK_END.text)
    extends = True

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""
        super().check(chat)
        waiting: list[str | None] = []
        for index, message in enumerate(chat.messages):
            if message.role == "assistant":
                waiting = [call.id for call in message.tool_calls]
            elif message.role == "tool" and message.tool_call_id in waiting:
                if waiting[0] != message.tool_call_id:
                    raise self.refuse(index, "writes no ids: put results in their calls' order")
                waiting.pop(0)

    def _tools_place(self, chat: Chat) -> int:
        roles = [message.role for message in chat.messages]
        return roles.index("user") if "user" in roles else -1

    def _result(self, message: Message) -> Turn:
        return Turn((_RESULT,), (message.text, _RESULT_END))

    def _id(self, call: ToolCall) -> Pieces:
        return ()

    def _thinking(self, message: Message) -> Iterator[Piece]:
        if message.thinking:
            yield from (_THINK, message.thinking, _THINK_END)

    def _read_thinking(
        self, pieces: Sequence[str | Control], reply: Reply
    ) -> Sequence[str | Control]:
        if pieces[:1] != [_THINK]:
            return pieces
        inside = list(takewhile(lambda piece: piece != _THINK_END, pieces[1:]))
        reply.thinking = _text(inside, reply)
        reply.is_malformed |= len(inside) + 1 == len(pieces)
        return pieces[len(inside) + 2 :]


def _tool(given: dict[str, Any]) -> dict[str, Any]:
    """A tool as Mistral declares it."""
    function = given["function"]
    return {
        "type": "function",
        "function": {
            "name": function["name"],
            "description": function.get("description") or "",
            "parameters": function.get("parameters") or {},
        },
    }


def _text(pieces: Sequence[str | Control], reply: Reply) -> str:
    """The text of pieces; a control token among them is malformed."""
    reply.is_malformed |= any(isinstance(piece, Control) for piece in pieces)
    return "".join(piece.text if isinstance(piece, Control) else piece for piece in pieces)


def _add(reply: Reply, name: object, arguments: object, number: object) -> None:
    """Add a call, or what stands there if it is none."""
    try:
        if (
            not isinstance(name, str)
            or not name
            or json.dumps(name, ensure_ascii=False)[1:-1] != name
        ):
            raise ValueError(f"the name {name!r} is none")
        found: dict[str, Any] = {"id": number} if isinstance(number, str) and number else {}
        found |= {"type": "function", "function": {"name": name}}
        found["function"]["arguments"] = arguments_text("the arguments", arguments)
        reply.calls.append(found)
    except ValueError as error:
        reply.unread.append({"text": f"{name} {arguments}", "error": str(error)})
