"""``chat_template``: a family that is not known, by the template that its tokenizer has.

The template writes the chat as text. What a message's text might turn into a control token there is
hidden from it behind a stand-in, and put back as letters.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from tinsmith.renderers.messages import Chat, Message
from tinsmith.renderers.reading import CALL, CALL_END, THINK, THINK_END, read_reply
from tinsmith.renderers.renderer import (
    NOBODY,
    Ending,
    Example,
    Owned,
    Parsed,
    Pieces,
    Renderer,
    Turn,
)
from tinsmith.renderers.vocabulary import CUT, Control

# What templates that ask for today are told, so that a prompt is the same tomorrow
TODAY = date(2024, 7, 26)
_DIRECTIVES = ("%Y", "%y", "%m", "%d", "%B", "%b", "%A", "%a", "%H", "%M", "%S", "%j")
_FIXED = "".join(f"|replace('{each}', '{TODAY.strftime(each)}')" for each in _DIRECTIVES)
_CLOCK = "{% macro strftime_now(form) %}{{ form" + _FIXED + " }}{% endmacro %}\n"
_SAID = "Zq1"
_PROBE = Chat((Message("user", "Hello"), Message("assistant", _SAID)))


class ChatTemplate(Renderer):
    """The tokenizer's own chat template, for families that are not known here.

    What it drops: what the template drops of earlier messages. What it refuses: a template whose
    prompt is not the beginning of its example; what the template would ignore; weights of messages
    that are not the assistant's, for a template does not tell where they are.
    """

    name = "chat_template"
    proof = "the renderers of four families, on the templates of these that trl ships"
    extends = False

    def __init__(self, tokenizer: Any) -> None:
        super().__init__(tokenizer)
        template = getattr(tokenizer, "chat_template", None)
        if not isinstance(template, str):
            raise ValueError(
                "the tokenizer has no chat template; give one of transformers that has one, or "
                "choose a renderer by its name"
            )
        self._template = (_CLOCK if "strftime_now" in template else "") + template
        self._render: Callable[..., str] = tokenizer.apply_chat_template
        self._stand_in = f"\ue000{secrets.token_hex(4)}."
        self.marks = tuple(mark for mark in (THINK, THINK_END, CALL, CALL_END) if mark in template)
        self._end = ""
        prompt, said = self._said(_PROBE)
        self._opens_thinking = prompt.rstrip().endswith(THINK)
        before, _, rest = said.rpartition(_SAID)
        after, end = [*self.vocabulary.parts(rest), None, None][:2]
        if isinstance(after, Control):
            after, end = "", after
        if not isinstance(after, str) or not isinstance(end, Control):
            raise ValueError("the tokenizer's chat template ends a turn with no control token")
        self._end = end.text
        self._edges = ("" if before.strip() else before, after)

    @property
    def stop(self) -> list[int]:
        """What ends the assistant's message."""
        return [number for number in (self.vocabulary.number(self._end),) if number is not None]

    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""
        kept, ending = self.end_of(tokens, [self._end])
        pieces: Iterable[str | Control] = self.vocabulary.pieces(kept)
        if self._opens_thinking:
            pieces = [Control(THINK), *pieces]
        reply = read_reply(pieces, self.marks, self.loose())
        if reply.is_malformed and ending is not Ending.CUT_OFF:
            ending = Ending.MALFORMED
        before, after = self._edges
        reply.text = reply.text.removeprefix(before)
        if ending is not Ending.CUT_OFF:
            reply.text = reply.text.removesuffix(after)
        return Parsed(reply.message(self.marks), ending)

    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the template would ignore."""
        text = self._text(chat, False)
        if chat.tools and self._text(replace(chat, tools=()), False) == text:
            raise ValueError("the tokenizer's chat template ignores tools")
        for index, message in enumerate(chat.messages):
            shown = self._guard(message.text).strip()
            if shown not in text and json.dumps(shown, ensure_ascii=False)[1:-1] not in text:
                raise self.refuse(index, "has a template that drops its text")
            if message.tool_calls and self._without(chat, index, tool_calls=()) == text:
                raise self.refuse(index, "has a template that ignores tool_calls")
        last = len(chat.messages) - 1
        if chat.messages[last].thinking and self._without(chat, last, thinking="") == text:
            raise self.refuse(last, "has a template that ignores thinking")

    def turn(self, chat: Chat, index: int) -> Turn:
        """Not to be told of one message: the template writes a whole chat."""
        raise NotImplementedError

    def opening(self, chat: Chat) -> Pieces:
        """Not to be told alone: the template writes a whole chat."""
        raise NotImplementedError

    def _begun(self, chat: Chat) -> Owned:
        return self.encode([((NOBODY, False), self._pieces(self._text(chat, True)))])

    def _example(self, chat: Chat, chosen: Sequence[int], is_everything: bool) -> Example:
        last = len(chat.messages) - 1
        if not is_everything and (
            list(chosen) != [last] or chat.messages[last].role != "assistant"
        ):
            raise ValueError(
                "of a tokenizer's own chat template only the assistant's messages can have weight, "
                "or all_tokens"
            )
        prompt, said = self._said(chat)
        owned = self.encode(
            [((NOBODY, False), [*self._pieces(prompt), CUT]), ((last, True), self._pieces(said))]
        )
        return Example(
            owned.tokens, [float(is_everything or is_body) for _, is_body in owned.owners]
        )

    def _said(self, chat: Chat) -> tuple[str, str]:
        """The prompt before the last message, and what the assistant writes after it, as texts."""
        last = len(chat.messages) - 1
        if chat.messages[last].role != "assistant":
            raise self.refuse(
                last, "can make an example only of a chat that ends with the assistant"
            )
        prompt = self._text(chat.up_to(last), True)
        whole = self._text(chat, False)
        if not whole.startswith(prompt):
            raise self.refuse(
                last, "has a template that writes a chat in another way than the prompt for it"
            )
        if not self._end:
            return prompt, whole[len(prompt) :]
        said, end, _ = whole[len(prompt) :].rpartition(self._end)
        if not end:
            raise self.refuse(last, f"has a template that ends this turn without {self._end}")
        return prompt, said + end

    def _pieces(self, text: str) -> list[str | Control]:
        return [
            part if isinstance(part, Control) else self._shown(part)
            for part in self.vocabulary.parts(text)
        ]

    def _guard(self, text: str) -> str:
        return self.vocabulary.guard(text, self._stand_in)

    def _guard_all(self, value: Any) -> Any:
        """A value of JSON whose texts are guarded."""
        if isinstance(value, str):
            return self._guard(value)
        if isinstance(value, list):
            return [self._guard_all(item) for item in value]
        if isinstance(value, dict):
            return {self._guard(key): self._guard_all(item) for key, item in value.items()}
        return value

    def _shown(self, text: str) -> str:
        """A text with its stand-ins put back."""
        hidden = re.escape(self._stand_in) + r"(\d+);"
        return re.sub(hidden, lambda found: chr(int(found[1])), text)

    def _without(self, chat: Chat, index: int, **fields: Any) -> str:
        messages = list(chat.messages)
        messages[index] = replace(messages[index], **fields)
        return self._text(replace(chat, messages=tuple(messages)), False)

    def _text(self, chat: Chat, is_prompt: bool) -> str:
        """What the template writes.

        Raises:
            ValueError: it refuses the chat; the text is its own.
        """
        try:
            text = self._render(
                [self._plain(message) for message in chat.messages],
                tools=[self._guard_all(json.loads(tool)) for tool in chat.tools] or None,
                add_generation_prompt=is_prompt,
                tokenize=False,
                chat_template=self._template,
            )
        except Exception as error:  # jinja2's, which the SDK does not import
            raise ValueError(f"the tokenizer's chat template refuses this chat: {error}") from error
        return str(text)

    def _plain(self, message: Message) -> dict[str, Any]:
        """A message as templates take it."""
        found: dict[str, Any] = {"role": message.role, "content": self._guard(message.text)}
        if message.thinking:
            found["reasoning_content"] = self._guard(message.thinking)
        if message.tool_calls:
            found["tool_calls"] = [
                {
                    "type": "function",
                    **({"id": self._guard(call.id)} if call.id else {}),
                    "function": {
                        "name": self._guard(call.name),
                        "arguments": self._guard_all(json.loads(call.arguments)),
                    },
                }
                for call in message.tool_calls
            ]
        for key in ("name", "tool_call_id"):
            value = getattr(message, key)
            if value is not None:
                found[key] = self._guard(value)
        return found
