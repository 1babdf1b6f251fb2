"""Chat templates: from messages to the text that a model was trained to go on from.

Templates are Jinja, as they lie beside tokenizers, with the names that templates count on. They
come with models, so they run in a sandbox and see nothing but plain data.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

# longest text that a template may make; the longest context is far shorter
MOST_CHARACTERS = 16 * 2**20


class BadChat(ValueError):
    """The template refuses the messages; the message says why."""


class _Generation(Extension):
    """`{% generation %}` marks what to train on; rendering just goes through."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The statements between the tags."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise BadChat(message)


def _to_json(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
    """Plain JSON: Jinja's own filter would escape what is special in HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, **options)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)


class ChatTemplate:
    """A compiled template with the special tokens that it may name."""

    def __init__(self, source: str, special_tokens: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise, strftime_now=_now)
        self._template = environment.from_string(source)
        self._special_tokens = special_tokens

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> str:
        """The prompt, up to where the assistant's answer begins.

        Args:
            options: further names for the template, such as enable_thinking.

        Raises:
            BadChat: the template refuses the messages, or fails on them.
        """
        names = {
            **self._special_tokens,
            "documents": None,
            "add_generation_prompt": True,
            **options,
            "messages": messages,
            "tools": tools,
        }
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate(names):
                parts.append(part)
                size += len(part)
                if size > MOST_CHARACTERS:
                    raise BadChat(f"the chat has more than {MOST_CHARACTERS} characters")
        except Exception as error:  # a template is foreign code on a user's data: anything may fail
            raise BadChat(str(error) or type(error).__name__) from error
        return "".join(parts)
