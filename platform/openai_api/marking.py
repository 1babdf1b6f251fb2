"""Chat templates that mark their own text, so that it can be told from the text they are given.

A control token in a prompt must come from the template: whoever writes `<|im_end|>` into a message
wrote characters. So every character of the template's own text that control tokens are made of is
exchanged for a stand-in, a lone surrogate, which no text from outside can hold. What is printed
then says of each character whose it is, however a template trims, splits or joins what it is given,
and with the characters back in place it must be what the template prints unmarked.

Where a template compares texts, or looks into them, it sees the characters themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import nodes

MARK_ROLE, PLAIN = "tinsmith_mark_role", "tinsmith_plain"
# roles are not users' text: only these come so far
ROLES = ("system", "developer", "user", "assistant", "tool")

_FIRST_STAND_IN = 0xD800
_MOST_STAND_INS = 0xE000 - _FIRST_STAND_IN
# functions that read their texts, rather than print them
_READING_FUNCTIONS = {"raise_exception", "strftime_now", "range"}
# methods and filters that print what they are called on as it is, up to its ends
_KEEPING_METHODS = {"strip", "lstrip", "rstrip", "join", "append", "extend", "items", "values"}
_KEEPING_METHODS |= {"get", "keys", "update"}
_CHANGING_FILTERS = {"upper", "lower", "title", "capitalize", "int", "float", "length", "count"}
_CHANGING_FILTERS |= {"replace", "format", "escape", "e", "urlencode", "wordcount", "indent"}
# what they are given is printed
_PRINTED_ARGUMENTS = {"join", "append", "extend", "update", "default", "d"}


class Alphabet:
    """Stand-ins for the characters that some texts are made of, white space excepted."""

    def __init__(self, texts: Iterable[str]) -> None:
        characters = sorted({character for text in texts for character in text})
        characters = [character for character in characters if not character.isspace()]
        if len(characters) > _MOST_STAND_INS:
            raise ValueError(f"control tokens of {len(characters)} different characters")
        self._marks = {ord(c): _FIRST_STAND_IN + n for n, c in enumerate(characters)}
        self._plain = {mark: character for character, mark in self._marks.items()}

    def mark(self, text: str) -> str:
        """The text as the template's own."""
        return text.translate(self._marks)

    def plain(self, text: str) -> str:
        """The text with its characters back in place."""
        return text.translate(self._plain)

    def mark_role(self, value: Any) -> Any:
        """A role is as good as the template's own text."""
        return self.mark(value) if isinstance(value, str) and value in ROLES else value

    def plain_value(self, value: Any) -> Any:
        """A value as it is compared; what is no text, nor a list of texts, is as it was."""
        if isinstance(value, str):
            return self.plain(value)
        if isinstance(value, list | tuple):
            return type(value)(map(self.plain_value, value))
        return value


def mark_template(tree: nodes.Template, alphabet: Alphabet) -> nodes.Template:
    """The template with its own text marked; `tree` itself is changed."""
    marker = _Marker(alphabet)
    for field, value in tree.iter_fields():
        setattr(tree, field, marker.printed(value))
    # Parts that were put in have no environment yet, without which none can be compiled
    assert tree.environment is not None
    tree.set_environment(tree.environment)
    return tree


class _Marker:
    """Rewrites expressions: `printed` where they become text, `read` where they are looked at."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet

    def printed(self, value: Any) -> Any:
        """A part of the tree whose texts are printed."""
        if isinstance(value, list):
            return [self.printed(item) for item in value]
        if not isinstance(value, nodes.Node):
            return value
        handler = getattr(self, f"_{type(value).__name__.lower()}", None)
        return self._inside(value) if handler is None else handler(value)

    def read(self, value: Any) -> Any:
        """A part of the tree whose texts are compared or looked into."""
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if not isinstance(value, nodes.Node) or isinstance(value, nodes.Const | nodes.Slice):
            return value
        if isinstance(value, nodes.Keyword):
            value.value = self.read(value.value)
            return value
        if isinstance(value, nodes.Getattr | nodes.Getitem):
            return _filtered(self._part(value), PLAIN)
        return _filtered(self.printed(value), PLAIN)

    def _inside(self, node: nodes.Node) -> nodes.Node:
        for field, value in node.iter_fields():
            setattr(node, field, self.printed(value))
        return node

    def _templatedata(self, node: nodes.TemplateData) -> nodes.Node:
        node.data = self._alphabet.mark(node.data)
        return node

    def _const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, str):
            node.value = self._alphabet.mark(node.value)
        return node

    def _getattr(self, node: nodes.Getattr) -> nodes.Node:
        found = self._part(node)
        return _filtered(found, MARK_ROLE) if node.attr == "role" else found

    def _getitem(self, node: nodes.Getitem) -> nodes.Node:
        is_role = isinstance(node.arg, nodes.Const) and node.arg.value == "role"
        found = self._part(node)
        return _filtered(found, MARK_ROLE) if is_role else found

    def _part(self, node: nodes.Getattr | nodes.Getitem) -> nodes.Node:
        """A part of a value, which a name or a place says."""
        node.node = self.printed(node.node)
        if isinstance(node, nodes.Getitem):
            node.arg = self.read(node.arg)
        return node

    def _slice(self, node: nodes.Slice) -> nodes.Node:
        return node

    def _pair(self, node: nodes.Pair) -> nodes.Node:
        node.key, node.value = self.read(node.key), self.printed(node.value)
        return node

    def _compare(self, node: nodes.Compare) -> nodes.Node:
        node.expr = self.read(node.expr)
        for operand in node.ops:
            operand.expr = self.read(operand.expr)
        return node

    def _mod(self, node: nodes.Mod) -> nodes.Node:
        node.left, node.right = self.read(node.left), self.printed(node.right)
        return node

    def _test(self, node: nodes.Test) -> nodes.Node:
        node.node = self.read(node.node)
        self._arguments(node, printed=False)
        return node

    def _filter(self, node: nodes.Filter) -> nodes.Node:
        changes = node.name in _CHANGING_FILTERS
        if node.node is not None:  # none in a filter block
            node.node = self.read(node.node) if changes else self.printed(node.node)
        self._arguments(node, printed=node.name in _PRINTED_ARGUMENTS)
        return node

    def _call(self, node: nodes.Call) -> nodes.Node:
        called = node.node
        if isinstance(called, nodes.Getattr):
            keeps = called.attr in _KEEPING_METHODS
            called.node = self.printed(called.node) if keeps else self.read(called.node)
            self._arguments(node, printed=called.attr in _PRINTED_ARGUMENTS)
        else:
            reads = isinstance(called, nodes.Name) and called.name in _READING_FUNCTIONS
            self._arguments(node, printed=not reads)
        return node

    def _arguments(self, node: nodes.Call | nodes.Filter | nodes.Test, *, printed: bool) -> None:
        treat = self.printed if printed else self.read
        node.args = treat(node.args)
        node.kwargs = [treat(item) for item in node.kwargs]
        node.dyn_args, node.dyn_kwargs = self.printed(node.dyn_args), self.printed(node.dyn_kwargs)


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
