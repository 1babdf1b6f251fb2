"""The pages that are made from the code: API, binary messages, SDK, command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from html import unescape
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import strip_tags

from reference import api_page, cli, protobuf, sdk
from reference.document import document
from reference.guide.markdown import Passage, without_comments


@dataclass(frozen=True, slots=True)
class Generated:
    """How one of these pages is made: its template's context, its Markdown, what search finds."""

    context: Callable[[], dict[str, Any]]
    markdown: Callable[[], str]
    passages: Callable[[], Iterator[Passage]]


@cache
def _api() -> dict[str, Any]:
    shown = document()
    return {
        "info": shown["info"],
        "about": shown["info"]["description"],
        "groups": api_page.groups(shown),
        "components": api_page.components(shown),
        "schemes": shown["components"]["securitySchemes"],
    }


@cache
def _protobuf() -> dict[str, Any]:
    protocol = protobuf.protocol()
    return {
        "protocol": protocol,
        "names": {message.name.rpartition(".")[2]: message.name for message in protocol.messages},
        "routes": api_page.protobuf_routes(document()),
    }


@cache
def _sdk() -> dict[str, Any]:
    shown = sdk.reference()
    names = {item.name for section in shown.sections for item in section.items}
    return {"reference": shown, "names": names}


@cache
def _cli() -> dict[str, Any]:
    return {"reference": cli.reference()}


# ---- as Markdown


def _api_markdown() -> str:
    lines = ["# API", "", _api()["info"]["summary"], "", _api()["about"]]
    for group in _api()["groups"]:
        lines += ["", f"## {group.name}", "", _text(group.text)]
        for route in group.routes:
            lines += ["", f"### {route.method} {route.plain_path}", "", f"{route.summary}."]
            lines += [f"\n{_text(text)}" for text in route.text]
            lines += _rows("Parameters", route.parameters)
            for body in route.bodies:
                lines += _rows(f"Body: {body.name or 'binary'}, {body.media}", body.rows)
            lines += ["", "Answers:", ""]
            for reply in route.replies:
                lines.append(f"- {reply.status} {_text(reply.kinds)}: {_text(reply.text)}")
    lines += ["", "## Messages"]
    for message in _api()["components"]:
        lines += ["", f"### {message.name}", "", _text(message.text)]
        lines += _rows("Fields", message.rows)
    return "\n".join([*lines, ""])


def _rows(title: str, rows: list[api_page.Row]) -> list[str]:
    if not rows:
        return ["", f"{title}."]
    lines = ["", f"{title}:", ""]
    for row in rows:
        name = f"`{row.name}`" + (" (required)" if row.required else "")
        lines.append(f"- {name}, {_text(row.kind)}: {_text(row.text)}")
    return lines


def _protobuf_markdown() -> str:
    protocol = protobuf.protocol()
    routes = [
        f"- `{route.method} {route.plain_path}` {word} one" for route, word in _protobuf()["routes"]
    ]
    lines = ["# Binary messages", "", protocol.about, ""]
    lines += ["Their content type is `application/x-protobuf`. Routes:", "", *routes]
    return "\n".join([*lines, "", "```proto", protocol.source.rstrip(), "```", ""])


def _sdk_markdown() -> str:
    shown = sdk.reference()
    lines = ["# Python SDK", "", inspect.cleandoc(shown.doc)]
    for section in shown.sections:
        lines += ["", f"## {section.title}"]
        for item in section.items:
            lines += ["", f"### {item.kind} {item.name}", ""]
            fields = [field.signature for field in item.fields]
            lines += _code([item.signature, *fields] if item.signature else fields)
            lines += [inspect.cleandoc(item.doc)] if item.doc else []
            for member in item.members:
                twin = [member.twin.signature] if member.twin else []
                lines += ["", f"#### {item.name}.{member.name}", ""]
                lines += [*_code([member.signature, *twin]), inspect.cleandoc(member.doc)]
    return "\n".join([*lines, ""])


def _code(lines: list[str]) -> list[str]:
    return ["```python", *lines, "```", ""] if lines else []


def _text(shown: str) -> str:
    """HTML of one of these pages as plain text."""
    return unescape(strip_tags(shown))


# ---- for the search


def _api_passages() -> Iterator[Passage]:
    for group in _api()["groups"]:
        for route in group.routes:
            yield Passage(route.id, f"{route.method} {route.plain_path}", route.summary)
    for message in _api()["components"]:
        yield Passage(f"message-{message.name}", message.name, _text(message.text))


def _protobuf_passages() -> Iterator[Passage]:
    for message in protobuf.protocol().messages:
        yield Passage(message.name, message.name, message.comment)


def _sdk_passages() -> Iterator[Passage]:
    for section in sdk.reference().sections:
        for item in section.items:
            yield Passage(item.name, item.name, _first_line(item.doc))
            for member in item.members:
                name = f"{item.name}.{member.name}"
                yield Passage(name, name, _first_line(member.doc))


def _cli_passages() -> Iterator[Passage]:
    shown = cli.reference()
    for section in shown.sections:
        for command in section.commands:
            told = [f"{argument.name} {argument.text}" for argument in command.arguments]
            text = " ".join([command.text, *told])
            yield Passage(f"command-{command.id}", f"{shown.name} {command.name}", text)


def _first_line(docstring: str) -> str:
    return docstring.strip().partition("\n")[0]


def _cli_markdown() -> str:
    return without_comments(cli.as_markdown(cli.reference()))


PAGES = {
    "sdk": Generated(_sdk, _sdk_markdown, _sdk_passages),
    "cli": Generated(_cli, _cli_markdown, _cli_passages),
    "api": Generated(_api, _api_markdown, _api_passages),
    "protobuf": Generated(_protobuf, _protobuf_markdown, _protobuf_passages),
}


def html(slug: str, context: dict[str, Any]) -> str:
    """One of the pages, within the site's frame."""
    return render_to_string(f"reference/{slug}.html", {**PAGES[slug].context(), **context})
