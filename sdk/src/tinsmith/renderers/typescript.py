"""Tools as gpt-oss is told of them: a namespace of TypeScript functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_STEP = "    "
_PLAIN = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean"}


def namespace(name: str, tools: Sequence[str]) -> str:
    """Functions, given as texts of tools in OpenAI's form.

    Raises:
        ValueError: a schema that has ``oneOf``.
    """
    written = [_function(json.loads(tool)["function"]) for tool in tools]
    return f"## {name}\n\nnamespace {name} {{\n\n" + "".join(written) + f"}} // namespace {name}"


def _function(function: Mapping[str, Any]) -> str:
    lines = (function.get("description") or "").splitlines()
    comment = "".join(f"// {line}\n" for line in lines)
    parameters = function.get("parameters")
    takes = "()" if parameters is None else f"(_: {_kind(parameters, '')})"
    return f"{comment}type {function['name']} = {takes} => any;\n\n"


def _kind(schema: Any, indent: str) -> str:
    """The type of a schema; what TypeScript has no word for is ``any``."""
    if not isinstance(schema, Mapping):  # true and false are schemas, too
        return "any"
    if "oneOf" in schema:
        raise ValueError("a tool's schema has oneOf, which has no proven form; use anyOf")
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_PLAIN.get(str(item), str(item)) for item in kind)
    if kind == "object":
        return _object(schema, indent)
    if kind == "array":
        return f"{_kind(schema['items'], indent)}[]" if "items" in schema else "Array<any>"
    values = [value for value in schema.get("enum", ()) if isinstance(value, str)]
    if kind == "string" and values:
        return " | ".join(f'"{value}"' for value in values)
    return _PLAIN.get(str(kind), "any")


def _object(schema: Mapping[str, Any], indent: str) -> str:
    about = schema.get("description")
    comment = "" if about is None else f"{indent}// {about}\n"
    required = set(schema.get("required", ()))
    lines = [
        line
        for name, value in schema.get("properties", {}).items()
        for line in _property(f"{name}{'' if name in required else '?'}", value, indent)
    ]
    return f"{comment}{{\n{''.join(lines)}{indent}}}"


def _property(name: str, given: Any, indent: str) -> Iterator[str]:
    schema = given if isinstance(given, Mapping) else {}
    if "title" in schema:
        yield f"{indent}// {schema['title']}\n{indent}//\n"
    if "description" in schema:
        yield f"{indent}// {schema['description']}\n"
    examples = [value for value in schema.get("examples", ()) if isinstance(value, str)]
    if schema.get("examples"):
        yield f"{indent}// Examples:\n"
    yield from (f'{indent}// - "{value}"\n' for value in examples)
    kind = _kind(schema, indent + _STEP)
    if schema.get("nullable") is True and "null" not in kind:
        kind += " | null"
    default = f" // default: {_default(schema)}" if "default" in schema else ""
    yield f"{indent}{name}: {kind},{default}\n"


def _default(schema: Mapping[str, Any]) -> str:
    value = schema["default"]
    if isinstance(value, str):
        return value if schema.get("enum") else f'"{value}"'
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
