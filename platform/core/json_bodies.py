"""JSON bodies and answers as msgspec Structs, and mistakes in bodies in our words."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar, get_args

import msgspec
from msgspec import Meta

from core.errors import BadRequest
from core.words import did_you_mean

_PLACE = r"(?: - at `\$(?P<at>.*)`)?"
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`" + _PLACE, re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*?)`" + _PLACE, re.DOTALL)
_WRONG_KIND = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`")
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "a time",
}
_INDEX = re.compile(r"\[[^]]*\]")
_OTHER = re.compile(r".*?" + _PLACE, re.DOTALL)

Id = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=20_000)]
# What PostgreSQL's bigint holds
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]

T = TypeVar("T")


def told(text: str) -> Meta:
    """What the API's description says of a field: `name: Annotated[str, told("…")]`."""
    return Meta(description=text)


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A direct request: unknown fields are refused."""

    type: str | None = None


class Answer(msgspec.Struct, kw_only=True):
    """An answer."""


class BadField(BadRequest):
    """A body that cannot be taken; `field` is the dotted place of the field at fault, if any."""

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


def decode(body: bytes, schema: type[T], *, nul_allowed: bool = False) -> T:
    """`body` as a `schema`; an empty body is an empty object.

    Args:
        nul_allowed: texts may hold NUL characters, because none of them goes into the database.

    Raises:
        BadField: says what is wrong and what is allowed.
    """
    decoder = _decoders.get(schema)
    if decoder is None:
        decoder = _decoders[schema] = msgspec.json.Decoder(schema)
    try:
        if not nul_allowed and holds_nul(body):
            raise BadField("the body holds a NUL character, which no field may contain")
        decoded: T = decoder.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise _explain(str(error), schema) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadField(f"the body is not valid JSON: {error}") from None
    return decoded


def holds_nul(body: bytes) -> bool:
    """Whether a text in a JSON body holds a NUL character; JSON has no other way to write it."""
    # a pair of backslashes is one backslash: what follows it, `u0000` too, is text
    return b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b"--")


def _explain(message: str, schema: type[Any]) -> BadField:
    """msgspec's message in our words, with the allowed names when a name is unknown."""
    unknown = _UNKNOWN.fullmatch(message)
    if unknown is not None:
        place = (unknown["at"] or "").removeprefix(".")
        names = _field_names(schema, place)
        where = f" in {place}" if place else ""
        near = did_you_mean(unknown["name"], names)
        detail = f"unknown field `{unknown['name']}`{where}{near}; allowed: {', '.join(names)}"
        return BadField(detail, f"{place}.{unknown['name']}".removeprefix("."))
    detail = message.replace("Object missing", "missing").replace("$.", "").replace("$", "body")
    match = _MISSING.fullmatch(message) or _OTHER.fullmatch(message)
    found = match.groupdict() if match is not None else {}
    parts = [(found.get("at") or "").removeprefix("."), found.get("name") or ""]
    place = ".".join(filter(None, parts))
    wrong = _WRONG_KIND.match(message)
    if wrong is not None:
        wanted, given = (_in_words(wrong[name]) for name in ("wanted", "given"))
        detail = f"{place or 'the body'} must be {wanted}, not {given}"
    return BadField(detail, place or None)


def _in_words(kinds: str) -> str:
    """msgspec's names of JSON's kinds as people call them."""
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds.split(" | "))


def _field_names(schema: type[Any], place: str) -> tuple[str, ...]:
    """The names of the fields of the Struct at a dotted `place` inside `schema`."""
    for name in filter(None, _INDEX.sub("", place).split(".")):
        fields = {field.encode_name: field.type for field in msgspec.structs.fields(schema)}
        schema = next(kind for kind in _kinds(fields[name]))
    return tuple(field.encode_name for field in msgspec.structs.fields(schema))


def _kinds(annotation: Any) -> list[type[Any]]:
    """The Structs that a type speaks of, whatever it wraps them in."""
    if isinstance(annotation, msgspec.StructMeta):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]
