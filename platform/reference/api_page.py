"""The OpenAPI document as the page of the API shows it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.html import escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from reference.text import inline

Schema = Mapping[str, Any]
_JSON = "application/json"
# What PostgreSQL's bigint holds is a limit that no reader has to know
_HUGE = 2**53


@dataclass(frozen=True, slots=True)
class Row:
    """A field of a body, or a parameter."""

    name: str
    kind: SafeString
    required: bool
    text: SafeString
    place: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """One form that a body or an answer has."""

    name: str
    media: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reply:
    """One status that a route answers with."""

    status: str
    text: SafeString
    kinds: SafeString


@dataclass(frozen=True, slots=True)
class Shown:
    """A method of a path."""

    id: str
    method: str
    path: SafeString
    plain_path: str
    summary: str
    text: list[SafeString]
    scope: str
    is_open: bool
    parameters: list[Row]
    bodies: list[Form]
    replies: list[Reply]

    @property
    def short_path(self) -> str:
        """The path without what all have in common."""
        return self.plain_path.removeprefix("/api/v1/").removeprefix("/")


@dataclass(frozen=True, slots=True)
class Group:
    """Routes that belong together."""

    name: str
    text: SafeString
    routes: list[Shown]

    @property
    def id(self) -> str:
        """Its anchor."""
        return "group-" + re.sub(r"\W+", "-", self.name.lower())


@dataclass(frozen=True, slots=True)
class Component:
    """A message."""

    name: str
    text: SafeString
    rows: list[Row]


def groups(document: Schema) -> list[Group]:
    """The routes by their groups."""
    found: dict[str, list[Shown]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            shown = _route(document, path, method, operation)
            found.setdefault(operation["tags"][0], []).append(shown)
    texts = {tag["name"]: tag["description"] for tag in document["tags"]}
    return [Group(name, inline(texts.get(name, "")), shown) for name, shown in found.items()]


def components(document: Schema) -> list[Component]:
    """The messages, in the order of their names."""
    return [
        Component(name, inline(schema.get("description", "")), rows(schema))
        for name, schema in sorted(document["components"]["schemas"].items())
    ]


def protobuf_routes(document: Schema) -> list[tuple[Shown, str]]:
    """Routes with a binary body or answer, and which of them it is."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            takes = operation.get("requestBody", {}).get("content", {})
            gives = operation["responses"]["200"].get("content", {})
            for content, word in ((takes, "takes"), (gives, "gives")):
                if "application/x-protobuf" in content:
                    found.append((_route(document, path, method, operation), word))
    return found


def _route(document: Schema, path: str, method: str, operation: Schema) -> Shown:
    parts = re.split(r"({\w+})", path)
    marked = "".join(f"<i>{part}</i>" if part[:1] == "{" else escape(part) for part in parts)
    return Shown(
        id=operation["operationId"],
        method=method.upper(),
        path=mark_safe(marked),
        plain_path=path,
        summary=operation["summary"],
        text=[inline(text) for text in operation.get("description", "").split("\n\n") if text],
        scope=operation.get("x-scope", ""),
        is_open=operation["security"] == [],
        parameters=[_parameter(item) for item in operation.get("parameters", [])],
        bodies=list(_forms(document, operation.get("requestBody", {}).get("content", {}))),
        replies=[_reply(*item) for item in operation["responses"].items()],
    )


def _parameter(item: Schema) -> Row:
    required = item.get("required", False)
    text = inline(item["description"])
    return Row(item["name"], kind_of(item["schema"]), required, text, item["in"])


def _forms(document: Schema, content: Schema) -> Iterator[Form]:
    for media, holder in content.items():
        for schema in holder["schema"].get("anyOf", [holder["schema"]]):
            name = _name_of(schema)
            known = document["components"]["schemas"].get(name, {})
            yield Form(name, media, rows(known))


def _reply(status: str, response: Schema) -> Reply:
    kinds = []
    for media, holder in response.get("content", {}).items():
        if media == _JSON:
            kinds += [kind_of(part) for part in holder["schema"].get("anyOf", [holder["schema"]])]
        else:
            kinds.append(format_html("<code>{}</code>", media))
    shown = format_html_join(", ", "{}", ((kind,) for kind in kinds))
    return Reply(status, inline(response["description"]), shown)


def rows(schema: Schema) -> list[Row]:
    """The fields of a message."""
    required = schema.get("required", [])
    return [
        Row(name, kind_of(part), name in required, inline(part.get("description", "")))
        for name, part in schema.get("properties", {}).items()
    ]


def kind_of(schema: Schema) -> SafeString:
    """A type in words, with links to messages."""
    if name := _name_of(schema):
        return format_html('<a href="#message-{}">{}</a>', name, name)
    if "anyOf" in schema:
        return mark_safe(" or ".join(kind_of(part) for part in schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return format_html_join(", ", "<code>{}</code>", ((value,) for value in values))
    kind = schema.get("type")
    if kind == "array":
        if "prefixItems" in schema:
            inner = mark_safe(" and ".join(kind_of(part) for part in schema["prefixItems"]))
        else:
            inner = kind_of(schema.get("items") or {})
        return format_html("list of {}{}", inner, _limits(schema, "Items", "items"))
    if kind == "object":
        values = schema.get("additionalProperties") or {}
        return format_html("object of {}", kind_of(values)) if values else escape("object")
    if kind in ("integer", "number"):
        return format_html("{}{}", kind, _range(schema))
    if kind == "string":
        return format_html(
            "{}{}", schema.get("format", "string"), _limits(schema, "Length", "characters")
        )
    return escape(kind or "anything")


def _limits(schema: Schema, what: str, unit: str) -> str:
    low, high = schema.get(f"min{what}"), schema.get(f"max{what}")
    if high is not None:
        return f", {low} to {high} {unit}" if low else f", up to {high} {unit}"
    return f", at least {low} {unit}" if low and low > 1 else ""


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    texts = []
    if above is not None:
        texts.append(f"above {above:g}")
    if low is not None and abs(low) < _HUGE:
        texts.append(f"from {low}")
    if high is not None and abs(high) < _HUGE:
        texts.append(f"to {high}")
    return "".join(f" {text}" for text in texts)


def _name_of(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]
