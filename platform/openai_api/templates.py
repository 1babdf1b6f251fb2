"""Chat templates: from messages to the text that a model was trained to go on from.

Templates are Jinja, as they lie beside tokenizers, with the names that templates count on. They
come with models, so they run in a sandbox and see nothing but plain data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jinja2 import Template, TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from openai_api.marking import MARK_ROLE, PLAIN, Alphabet, mark_template
from tinsmith.renderers.chat_template import TODAY

# longest text that a template may make; the longest context is far shorter
MOST_CHARACTERS = 16 * 2**20


INSEPARABLE = (
    "it mixes its own text with that of the messages in a way that does not let control tokens be "
    "told from written ones; use /v1/completions with a prompt of your own"
)
# what templates are given without anybody's asking
_GIVEN = ("messages", "tools")


class BadChat(ValueError):
    """The template refuses the messages; the message says why."""


class BadTemplate(ValueError):
    """A template that cannot be compiled."""


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
    """The day that training tells templates, so that a prompt is the same tomorrow."""
    return TODAY.strftime(form)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered chat; in `marked` the template's own text is written in stand-ins."""

    text: str
    marked: str


class ChatTemplate:
    """A compiled template with the special tokens that it may name.

    Args:
        control: the texts that no message may forge; the template's own are marked.

    Raises:
        BadTemplate: it cannot be compiled.
    """

    def __init__(
        self, source: str, special_tokens: dict[str, str], control: Iterable[str] = ()
    ) -> None:
        self.alphabet = Alphabet(control)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.filters[MARK_ROLE] = self.alphabet.mark_role
        environment.filters[PLAIN] = self.alphabet.plain_value
        environment.globals.update(raise_exception=_raise, strftime_now=_now)
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(source)
            self._marked = environment.from_string(
                mark_template(environment.parse(source), self.alphabet)
            )
            asked = meta.find_undeclared_variables(tree)
        except TemplateError as error:
            raise BadTemplate(str(error)) from error
        self._special_tokens = special_tokens
        self._marked_tokens = {
            name: self.alphabet.mark(text) for name, text in special_tokens.items()
        }
        self.options = frozenset(asked - {*_GIVEN, *special_tokens})
        self._reads_tools = "tools" in asked
        self._words = _words(tree)

    def reads(self, name: str) -> bool:
        """Whether the template looks anywhere at what is called so: `tools`, a message's field."""
        return self._reads_tools if name == "tools" else name in self._words

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
        given = {**options, "messages": messages, "tools": tools, **self._special_tokens}
        return _print(self._template, given)

    def render_marked(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> Prompt:
        """The same with the template's own text marked.

        Raises:
            BadChat: also a template that works on its own text in a way that loses the marks.
        """
        text = self.render(messages, tools, options)
        given = {**options, "messages": messages, "tools": tools, **self._marked_tokens}
        marked = _print(self._marked, given)
        if self.alphabet.plain(marked) != text:
            raise BadChat(INSEPARABLE)
        return Prompt(text, marked)


def _print(template: Template, given: dict[str, Any]) -> str:
    names = {"documents": None, "add_generation_prompt": True, **given}
    parts: list[str] = []
    size = 0
    try:
        for part in template.generate(names):
            parts.append(part)
            size += len(part)
            if size > MOST_CHARACTERS:
                raise BadChat(f"the chat has more than {MOST_CHARACTERS} characters")
    except Exception as error:  # a template is foreign code on a user's data: anything may fail
        raise BadChat(str(error) or type(error).__name__) from error
    return "".join(parts)


def _words(tree: nodes.Template) -> frozenset[str]:
    """What the template calls anything by: attributes, and texts, which may be names of some."""
    attributes = {node.attr for node in tree.find_all(nodes.Getattr)}
    texts = {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return frozenset(attributes | texts)
