"""What the pages' templates do with docstrings and signatures."""

from __future__ import annotations

import re

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from reference.sdk import Item, Member
from reference.text import block, inline

register = template.Library()
register.filter("docstring", block)
register.filter("inline", inline)


@register.simple_tag(takes_context=True)
def sign(context: template.Context, shown: Item | Member) -> SafeString:
    """A signature with its name marked, and links to the SDK's other things."""
    head, name, tail = shown.signature.partition(shown.name)
    known = context["names"]

    def link(match: re.Match[str]) -> str:
        word = match[0]
        return f'<a href="#{word}">{word}</a>' if word in known and word != shown.name else word

    linked = re.sub(r"\b[A-Z]\w+\b", link, escape(tail))
    return mark_safe(f"{escape(head)}<b>{escape(name)}</b>{linked}")


@register.filter
def linked(word: str, names: dict[str, str]) -> SafeString:
    """A name of a message as a link to it."""
    if word not in names:
        return mark_safe(escape(word))
    return mark_safe(f'<a href="#{names[word]}">{escape(word)}</a>')
