"""From a chat as OpenAI's clients write it to the prompt that the model's template makes of it.

What a template would ignore is refused by name: a model that was never shown a tool does not call
it, and nobody sees why.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import msgspec

from openai_api import families, schemas
from openai_api.doors import Chosen
from openai_api.errors import Refused
from openai_api.families import Written
from openai_api.templates import BadChat, ChatTemplate
from openai_api.vocabulary import Vocabulary
from tinsmith.renderers import FAMILIES

Messages = list[dict[str, Any]]
# what renderers call the places of a chat
_PLACE = re.compile(r"messages\[\d+\]|tools(\[\d+\])?")
# roles of which some templates know nothing
_RARE_ROLES = ("system", "tool")
# stands where something may be ignored: a template that shows it shows what it stands for
_PROBE = "tinsmith probe"


def write(words: Vocabulary, chosen: Chosen, wanted: schemas.Chat) -> Written:
    """The chat as the renderer of its family writes it, or the model's own template.

    The template also writes what a family's renderer has no form for, such as tools with Llama 3,
    unless the checkpoint was trained with that renderer.

    Raises:
        Refused: neither can; the message names what is in the way.
    """
    renderer = families.renderer_of(words, chosen, wanted.chat_template_kwargs or {})
    if renderer is None:
        return Written(prompt_of(words, wanted))
    messages = [_for_renderer(number, message) for number, message in enumerate(wanted.messages)]
    try:
        return families.write(renderer, messages, _tools(wanted))
    except RecursionError:
        raise Refused("the chat is nested too deeply", "messages") from None
    except (TypeError, ValueError) as error:
        if words.has_template and chosen.renderer_name not in FAMILIES:
            return Written(prompt_of(words, wanted))
        place = _PLACE.search(str(error))
        raise Refused(str(error), place[0] if place else "messages") from None


def prompt_of(words: Vocabulary, wanted: schemas.Chat) -> list[int]:
    """The chat as the model's template writes it, in tokens.

    Raises:
        Refused: the template refuses it, or ignores a part of it; the message names that.
    """
    try:
        return _prompt_of(words, wanted)
    except BadChat as error:
        raise Refused(f"the model's chat template refuses this: {error}", "messages") from None
    except RecursionError:
        raise Refused("the chat is nested too deeply", "messages") from None


def _prompt_of(words: Vocabulary, wanted: schemas.Chat) -> list[int]:
    messages = [_message(number, message) for number, message in enumerate(wanted.messages)]
    tools = _tools(wanted)
    options = wanted.chat_template_kwargs or {}
    template = words.template(tools)
    _check_options(template, options)
    tokens = words.chat(messages, tools, options)
    _Ignored(template, messages, tools, options).check()
    return tokens


def _check_options(template: ChatTemplate, options: dict[str, Any]) -> None:
    unknown = sorted(options.keys() - template.options)
    if unknown:
        known = ", ".join(sorted(template.options)) or "nothing"
        raise Refused(
            f"chat_template_kwargs has {unknown[0]!r}, which this model's chat template does not "
            f"read; it reads {known}",
            "chat_template_kwargs",
        )


class _Ignored:
    """Looks whether the prompt would be the same without some part of a chat, or with another text.

    Without it alone would not do: a system message may be the template's own default, and of words
    beside a call a template may drop the thoughts only.
    """

    def __init__(
        self,
        template: ChatTemplate,
        messages: Messages,
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> None:
        self._template = template
        self._messages, self._tools, self._options = messages, tools, options
        self._whole = template.render(messages, tools, options)

    def check(self) -> None:
        """Refuse what is ignored, by name."""
        if self._tools and self._is_same(self._messages, None):
            raise Refused(
                "this model's chat template does not show tools to the model; leave tools out",
                "tools",
            )
        self._check_read("reasoning_content", "tool_calls", "name")
        for role in _RARE_ROLES:
            self._check_messages(role)
        for role in dict.fromkeys(message["role"] for message in self._messages):
            self._check_field("name", role, _with_other_name)
        self._check_field("tool_calls", "assistant", _without_calls)
        self._check_field("tool_calls", "assistant", _without_last_call)
        self._check_field("content", "assistant", _with_other_content_of_call)

    def _check_read(self, *fields: str) -> None:
        """Refuse fields of which the template knows nothing, in whatever message."""
        for field in fields:
            for number, message in enumerate(self._messages):
                if field in message and not self._template.reads(field):
                    raise _refusal(number, field)

    def _check_messages(self, role: str) -> None:
        numbers = [n for n, message in enumerate(self._messages) if message["role"] == role]
        changed = [m | {"content": _PROBE} if m["role"] == role else m for m in self._messages]
        if numbers and self._is_same(changed, self._tools):
            raise Refused(
                f"this model's chat template does not show messages of the role {role!r} to the "
                "model; leave them out",
                f"messages[{numbers[0]}]",
            )

    def _check_field(
        self, field: str, role: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        """Refuse a field of the messages of a role if changing it there changes nothing."""
        changed = [change(m) if m["role"] == role else m for m in self._messages]
        numbers = [
            number
            for number, (old, new) in enumerate(zip(self._messages, changed, strict=True))
            if old != new
        ]
        if numbers and self._is_same(changed, self._tools):
            raise _refusal(numbers[0], field)

    def _is_same(self, messages: Messages, tools: list[dict[str, Any]] | None) -> bool:
        try:
            return self._template.render(messages, tools, self._options) == self._whole
        except BadChat:
            return False


def _refusal(number: int, field: str) -> Refused:
    return Refused(
        f"messages[{number}] has {field}, which this model's chat template does not show to the "
        f"model; leave {field} out",
        f"messages[{number}].{field}",
    )


def _with_other_name(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"name": _PROBE} if "name" in message else message


def _without_calls(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "tool_calls"}


def _without_last_call(message: dict[str, Any]) -> dict[str, Any]:
    calls = message.get("tool_calls", [])
    return message | {"tool_calls": calls[:-1]} if len(calls) > 1 else message


def _with_other_content_of_call(message: dict[str, Any]) -> dict[str, Any]:
    has_words = message.get("tool_calls") and message["content"].strip()
    return message | {"content": _PROBE} if has_words else message


def _message(number: int, message: schemas.Message) -> dict[str, Any]:
    """A message as templates know it: plain text, arguments of tool calls as objects."""
    if message.role not in schemas.ROLES:
        raise Refused(
            f"messages[{number}] has the role {message.role!r}; "
            f"allowed: {', '.join(schemas.ROLES)}",
            f"messages[{number}].role",
        )
    for name in ("refusal", "annotations", "audio", "function_call"):
        if getattr(message, name) not in (None, []):
            raise _refusal(number, name)
    role = "system" if message.role == "developer" else message.role
    result: dict[str, Any] = {"role": role, "content": _content(number, message)}
    # an id says which call a result belongs to, which their order says, too
    for name in ("name", "tool_call_id", "reasoning_content"):
        # an empty one says nothing that could be ignored
        if value := getattr(message, name):
            result[name] = value
    if message.tool_calls:
        if role != "assistant":
            raise _refusal(number, "tool_calls")
        result["tool_calls"] = [_tool_call(call) for call in message.tool_calls]
    return result


def _for_renderer(number: int, message: schemas.Message) -> dict[str, Any]:
    """A message as renderers know it: arguments as they were written, parts as parts."""
    result = _message(number, message)
    if message.tool_calls:
        result["tool_calls"] = msgspec.to_builtins(message.tool_calls)
    if isinstance(message.content, list):
        result["content"] = [{"type": "text", "text": result["content"]}]
    return result


def _content(number: int, message: schemas.Message) -> str:
    if isinstance(message.content, list):
        return "".join(_text_of(number, part) for part in message.content)
    if message.content is None and message.role != "assistant":
        raise Refused(f"messages[{number}] has no content", f"messages[{number}].content")
    return message.content or ""


def _text_of(number: int, part: dict[str, Any]) -> str:
    where = f"messages[{number}].content"
    kind, text = part.get("type"), part.get("text")
    if kind != "text" or not isinstance(text, str):
        raise Refused(
            f"messages[{number}] has content of type {kind!r}; allowed: text, with its text", where
        )
    given = {name for name, value in part.items() if value is not None}
    unknown = sorted(given - {"type", "text"})
    if unknown:
        raise Refused(
            f"messages[{number}] has content with {unknown[0]!r}; allowed: type, text", where
        )
    return text


def _tools(wanted: schemas.Chat) -> list[dict[str, Any]] | None:
    """The tools that the model is to be shown."""
    offered = [_tool(number, tool) for number, tool in enumerate(wanted.tools or [])]
    return offered if offered and wanted.tool_choice != "none" else None


def _tool(number: int, tool: schemas.Tool) -> dict[str, Any]:
    if tool.type != "function":
        raise Refused(
            f"tools[{number}] has the type {tool.type!r}; allowed: function", f"tools[{number}]"
        )
    if tool.function.strict:
        raise Refused(
            f"tools[{number}].function.strict is not offered: arguments are what the model writes; "
            "leave it out or use false",
            f"tools[{number}].function.strict",
        )
    tool.function.strict = None
    return msgspec.to_builtins(tool)


def _tool_call(call: schemas.ToolCall) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(call)
    arguments = call.function.arguments
    if isinstance(arguments, str):
        # what a model wrote need not be JSON
        with contextlib.suppress(msgspec.DecodeError):
            given["function"]["arguments"] = msgspec.json.decode(arguments)
    return given
