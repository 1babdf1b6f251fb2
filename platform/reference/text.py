"""Texts of docstrings and descriptions as HTML: paragraphs, lists, examples, sections."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_CODE = re.compile(r"``(.+?)``|`(.+?)`", re.DOTALL)
_SECTION = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Example|Examples|Note):$")
_ENTRY = re.compile(r"(\*{0,2}\w[\w., *]*):\s+(.*)")
_BULLET = "- "


def inline(text: str) -> SafeString:
    """One line: what stands in backticks is code."""
    parts, end = [], 0
    for match in _CODE.finditer(text):
        parts += [escape(text[end : match.start()]), "<code>"]
        parts += [escape(match[1] or match[2]), "</code>"]
        end = match.end()
    parts.append(escape(text[end:]))
    return mark_safe("".join(parts))


def block(docstring: str | None) -> SafeString:
    """A whole docstring."""
    parts: list[str] = []
    for title, lines in _sections(inspect.cleandoc(docstring or "").splitlines()):
        if not title:
            parts += _flow(lines)
            continue
        lines = inspect.cleandoc("\n".join(["", *lines])).splitlines()
        shown = _entries(lines) if title in ("Args", "Attributes", "Raises") else _flow(lines)
        parts += [f'<div class="part"><h5>{title}</h5>', *shown, "</div>"]
    return mark_safe("\n".join(parts))


def _sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """(title, lines); the text outside of sections has no title."""
    title, found = "", list[str]()
    for line in lines:
        match = _SECTION.fullmatch(line)
        ended = title and line and not line.startswith(" ")
        if match or ended:
            yield title, found
            title, found = (match[1] if match else ""), ([] if match else [line])
        else:
            found.append(line)
    yield title, found


def _entries(lines: list[str]) -> list[str]:
    """`name: text`, with the text's further lines indented."""
    parts: list[str] = []
    left = list(lines)
    while left:
        line = left.pop(0)
        match = _ENTRY.fullmatch(line)
        if match is None:
            parts += [f"<dd>{inline(line)}</dd>"] if line.strip() else []
            continue
        texts = [match[2]]
        while left and (not left[0].strip() or left[0].startswith(" ")):
            texts.append(left.pop(0).strip())
        parts.append(f"<dt><code>{escape(match[1])}</code></dt>")
        parts.append(f"<dd>{inline(' '.join(filter(None, texts)))}</dd>")
    return ["<dl>", *parts, "</dl>"]


def _flow(lines: list[str]) -> list[str]:
    """Paragraphs, lists and examples."""
    parts: list[str] = []
    for lump in _lumps(lines):
        if lump[0].startswith(">>>"):
            parts.append(f"<pre><code>{_example(lump)}</code></pre>")
        elif lump[0].startswith(_BULLET):
            items = re.split(r"^- ", "\n".join(lump), flags=re.MULTILINE)[1:]
            shown = "".join(f"<li>{inline(' '.join(item.split()))}</li>" for item in items)
            parts.append(f"<ul>{shown}</ul>")
        elif all(line.startswith("    ") for line in lump):
            parts.append(f"<pre><code>{escape(inspect.cleandoc(chr(10).join(lump)))}</code></pre>")
        else:
            parts.append(f"<p>{inline(' '.join(lump))}</p>")
    return parts


def _lumps(lines: list[str]) -> Iterator[list[str]]:
    """Lines that belong together; an example begins a lump of its own."""
    lump: list[str] = []
    for line in [*lines, ""]:
        begins = line.startswith((">>>", _BULLET)) and lump and not lump[0].startswith(line[:2])
        if lump and (not line.strip() or begins):
            yield lump
            lump = []
        if line.strip():
            lump.append(line)


def _example(lines: list[str]) -> str:
    shown = []
    for line in lines:
        if line.startswith((">>> ", "... ")):
            shown.append(f'<span class="prompt">{escape(line[:4])}</span>{escape(line[4:])}')
        else:
            shown.append(f'<span class="output">{escape(line)}</span>')
    return "\n".join(shown)
