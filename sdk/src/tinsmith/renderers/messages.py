"""Messages of a chat as people have them, checked once and made one form.

A message is a mapping: ``role``, ``content`` (text, or parts of type ``text`` and ``thinking``),
and where they apply ``reasoning_content``, ``tool_calls``, ``tool_call_id``, ``name`` and
``trainable``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tinsmith._words.mistakes import did_you_mean, title_of

ROLES = ("system", "user", "assistant", "tool")
_KEYS = (
    "role",
    "content",
    "reasoning_content",
    "tool_calls",
    "tool_call_id",
    "name",
    "trainable",
)
# What a reader of a broken reply leaves in a message
UNREAD = "unparsed_tool_calls"


@dataclass(frozen=True)
class ToolCall:
    """A call of a function; ``arguments`` is the text of a JSON object."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True)
class Message:
    """One checked message.

    ``is_literal``: the text was given as a part, so it is text whatever it looks like.
    """

    role: str
    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    tool_call_id: str | None = None
    trainable: bool | None = None
    is_literal: bool = False


@dataclass(frozen=True)
class Chat:
    """Checked messages, and the tools that the assistant may call, as texts of JSON objects."""

    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()

    def last_index(self, role: str) -> int:
        """Where the last message of a role stands; -1 where none does."""
        return self._last.get(role, -1)

    @cached_property
    def last_plain_answer(self) -> int:
        """Where the assistant last called nothing, the last message left out; -1 where nowhere."""
        before = self.messages[:-1]
        found = [n for n, m in enumerate(before) if m.role == "assistant" and not m.tool_calls]
        return found[-1] if found else -1

    @cached_property
    def _last(self) -> dict[str, int]:
        # Families ask of each message: looked for anew each time, long chats would take minutes
        return {message.role: index for index, message in enumerate(self.messages)}

    def up_to(self, count: int) -> Chat:
        """The chat when it had so many messages."""
        return Chat(self.messages[:count], self.tools)


def check(messages: object, tools: object = None) -> Chat:
    """The chat that was given.

    Raises:
        TypeError: what are no messages at all.
        ValueError: a message that no renderer can express; the text says which and why.
    """
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise TypeError(
            "messages must be a list of them, e.g. [{'role': 'user', 'content': 'Hello'}], "
            f"not {title_of(messages)}"
        )
    if not messages:
        raise ValueError("messages is empty; a chat begins with a message")
    checked = tuple(_message(f"messages[{n}]", item) for n, item in enumerate(messages))
    for n, message in enumerate(checked[1:], 1):
        if message.role == checked[n - 1].role == "assistant":
            raise ValueError(
                f"messages[{n}] is the assistant's like the one before it; make one of them"
            )
    return Chat(checked, _tools(tools))


def _message(where: str, given: object) -> Message:
    if not isinstance(given, Mapping):
        raise TypeError(f"{where} must be a mapping with role and content, not {title_of(given)}")
    item = {key: value for key, value in given.items() if value is not None}
    if item.get(UNREAD):
        raise ValueError(f"{where} has calls that could not be read; mend or drop {UNREAD}")
    item.pop(UNREAD, None)
    for key in item:
        if key not in _KEYS:
            raise ValueError(f"{where} has {key!r}{did_you_mean(str(key), _KEYS)}{_only(_KEYS)}")
    role = item.get("role")
    if role not in ROLES:
        meant = did_you_mean(str(role), ROLES)
        raise ValueError(f"{where} has the role {role!r}{meant}{_only(ROLES)}")
    text, thinking, is_literal = _content(where, item.get("content", ""))
    if "reasoning_content" in item:
        if thinking:
            raise ValueError(f"{where} has thinking parts and reasoning_content; give one of them")
        thinking = _text(f"{where}['reasoning_content']", item["reasoning_content"])
    calls = tuple(
        _call(f"{where}['tool_calls'][{n}]", call)
        for n, call in enumerate(_list(f"{where}['tool_calls']", item.get("tool_calls", ())))
    )
    _check_place(where, role, bool(thinking), bool(calls), item)
    return Message(
        role=role,
        text=text,
        thinking=thinking,
        tool_calls=calls,
        name=item.get("name"),
        tool_call_id=item.get("tool_call_id"),
        trainable=_flag(f"{where}['trainable']", item.get("trainable")),
        is_literal=is_literal,
    )


def _check_place(where: str, role: str, thinks: bool, calls: bool, item: Mapping[str, Any]) -> None:
    """Refuse what does not belong to a message of this role."""
    wrong = {
        "thinking": thinks and role != "assistant",
        "tool_calls": calls and role != "assistant",
        "tool_call_id": "tool_call_id" in item and role != "tool",
        "name": "name" in item and role != "tool",
    }
    for key, is_wrong in wrong.items():
        if is_wrong:
            owner = "a tool's result" if key in ("tool_call_id", "name") else "the assistant"
            raise ValueError(f"{where} is of the role {role!r}, and only {owner} has {key}")
    for key in ("tool_call_id", "name"):
        if key in item:
            _text(f"{where}[{key!r}]", item[key])


def _content(where: str, content: object) -> tuple[str, str, bool]:
    """(text, thinking, whether the text was a part)."""
    if isinstance(content, str):
        return _text(f"{where}['content']", content), "", False
    text, thinking = "", ""
    for n, part in enumerate(_list(f"{where}['content']", content)):
        what = f"{where}['content'][{n}]"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in ("text", "thinking"):
            meant = did_you_mean(str(kind), ("text", "thinking"))
            raise ValueError(f"{what} is of the type {kind!r}{meant}{_only(('text', 'thinking'))}")
        if set(part) != {"type", kind}:
            raise ValueError(f"{what} must have 'type' and {kind!r} alone, not {sorted(part)}")
        if kind == "text":
            text += _text(what, part["text"])
        elif text:
            raise ValueError(f"{what} is thinking after text; thinking comes first")
        else:
            thinking += _text(what, part["thinking"])
    return text, thinking, True


def _call(where: str, call: object) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(
            f"{where} must be {{'type': 'function', 'function': {{'name': …, 'arguments': …}}}}"
        )
    assert isinstance(call, Mapping)
    name = _text(f"{where} name", function["name"])
    if _json(where, name) != f'"{name}"':
        raise ValueError(f"{where} has the name {name!r}, and no name has such characters")
    return ToolCall(
        name,
        arguments_text(f"{where} arguments", function.get("arguments", {})),
        None if call.get("id") is None else _text(f"{where} id", call["id"]),
    )


def arguments_text(where: str, arguments: object) -> str:
    """Arguments as the text of a JSON object; a text is kept as it is.

    Raises:
        ValueError: what is no JSON object.
    """
    if isinstance(arguments, Mapping):
        return _text(where, _json(where, dict(arguments)))
    try:
        if isinstance(arguments, str) and isinstance(json.loads(arguments), dict):
            return _text(where, arguments)
    except (ValueError, RecursionError):
        pass
    raise ValueError(f"{where} must be an object, or the text of a JSON object")


def _tools(tools: object) -> tuple[str, ...]:
    found = []
    for n, tool in enumerate(_list("tools", () if tools is None else tools)):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ValueError(
                f"tools[{n}] must be {{'type': 'function', 'function': {{'name': …, …}}}}"
            )
        found.append(_text(f"tools[{n}]", _json(f"tools[{n}]", tool)))
    return tuple(found)


def _json(where: str, value: object) -> str:
    """JSON as chat templates write it."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} cannot be written as JSON: {error}") from None


def _text(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{where} must be text, not {title_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} holds half a character at {error.start}: no text") from None
    return value


def _list(where: str, value: object) -> Sequence[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise TypeError(f"{where} must be a list, not {title_of(value)}")
    return value


def _flag(where: str, value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise TypeError(f"{where} must be True or False, not {title_of(value)}")


def _only(names: Sequence[str]) -> str:
    return f" It may be {', '.join(map(repr, names))}"
