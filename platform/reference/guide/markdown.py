"""Markdown as the site shows it: no HTML of the text's own, headings to link to, coloured code."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# (address, whether it is a picture) to where it leads on the site; None for nowhere
Link = Callable[[str, bool], str | None]

_COMMENT = re.compile(r"<!--.*?-->\n*", re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^]\\]|\\.)*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```.*?^```$)", re.MULTILINE | re.DOTALL)
_IN_CONTENTS = ("h2", "h3")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading below the page's title."""

    level: int
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """What stands below one heading, as plain text; the title's has no id."""

    id: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A page's HTML, the headings in it, and its text for the search."""

    html: str
    headings: list[Heading]
    passages: list[Passage]


def without_comments(text: str) -> str:
    """The text without what is there for its writers only."""
    return _COMMENT.sub("", text)


def relinked(text: str, link: Link) -> str:
    """The Markdown with every link led through `link`; a link to nowhere becomes its text."""

    def replace(match: re.Match[str]) -> str:
        picture, words, address = match.groups()
        found = link(address, bool(picture))
        return words if found is None else f"{picture}[{words}]({found})"

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(replace, part) for part in parts)


def render(text: str) -> Rendered:
    """A page as HTML."""
    parser = _parser()
    tokens = parser.parse(text)
    headings = list(_mark_headings(tokens))
    passages = _passages(tokens)
    return Rendered(parser.renderer.render(tokens, parser.options, {}), headings, passages)


def slug(heading: str) -> str:
    """A heading's anchor, as forges make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def coloured(code: str, language: str, _attributes: str = "") -> str:
    """Code with its words marked by classes."""
    name = language or "text"
    try:
        lexer = get_lexer_by_name(name, stripnl=False)
        shown = highlight(code, lexer, HtmlFormatter(nowrap=True))
    except ClassNotFound:
        shown = escape(code)
    return f'<pre class="code" data-language="{escape(name)}"><code>{shown}</code></pre>\n'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": coloured}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="wide"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("code_block", _code_block)
    return parser


def _code_block(_self: object, tokens: Sequence[Token], place: int, *_: object) -> str:
    return coloured(tokens[place].content, "text")


def _mark_headings(tokens: list[Token]) -> list[Heading]:
    """Give headings ids and links to themselves; returns those of the page's contents."""
    found, seen = [], Counter[str]()
    for place, token in enumerate(tokens):
        if token.type != "heading_open" or token.tag == "h1":
            continue
        inline = tokens[place + 1]
        text = _plain(inline)
        anchor = slug(text)
        seen[anchor] += 1
        if seen[anchor] > 1:
            anchor += f"-{seen[anchor] - 1}"
        token.attrSet("id", anchor)
        link = Token("html_inline", "", 0)
        label = "Link to this section"
        link.content = f' <a class="anchor" href="#{anchor}" aria-label="{label}">#</a>'
        inline.children = [*(inline.children or []), link]
        if token.tag in _IN_CONTENTS:
            found.append(Heading(int(token.tag[1]), anchor, text))
    return found


def _passages(tokens: Sequence[Token]) -> list[Passage]:
    """The text of a page, cut at its headings."""
    found, anchor, heading, words = [], "", "", list[str]()
    for place, token in enumerate(tokens):
        if token.type == "heading_open":
            found.append(Passage(anchor, heading, " ".join(words)))
            anchor, heading = str(token.attrGet("id") or ""), _plain(tokens[place + 1])
            words = []
        elif token.type in ("fence", "code_block"):
            words.append(token.content)
        elif token.type == "inline" and tokens[place - 1].type != "heading_open":
            words.append(_plain(token))
    found.append(Passage(anchor, heading, " ".join(words)))
    return [passage for passage in found if passage.heading or passage.text]


def _plain(inline: Token) -> str:
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for child in inline.children or []
        if child.type != "html_inline"
    )
