"""OpenAPI 3.1 from the URL table, the handlers' docstrings and the Structs of bodies and answers.

An API declares a `Route` for each of its methods and paths; everything else is read from the code
that serves it, so that the description cannot say what the server does not do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict, TypeVar, Unpack, get_type_hints

import msgspec
from django.urls import URLPattern
from django.urls.resolvers import RoutePattern

JSON = "application/json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PART = re.compile(r"<(?:\w+:)?(\w+)>")
_REF = "#/components/schemas/{name}"

Schema = dict[str, Any]
H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Raw:
    """A body or an answer that is not JSON."""

    media: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Given:
    """A query parameter or a header of a request; `kind` is its type as msgspec knows it."""

    name: str
    kind: Any
    description: str
    place: str = "query"
    required: bool = False


class Said(TypedDict, total=False):
    """The attributes of a `Route`."""

    takes: Any
    gives: Any
    given: Sequence[Given]
    also: Mapping[int, tuple[Any, str]]
    summary: str
    more: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a method of a path takes and gives.

    Attributes:
        takes: the Structs that its body may be; none when it reads no body.
        gives: what a 200 holds: types (shown as JSON), Raw, or several of them.
        also: other statuses that are part of its use, with what they hold and why.
        summary: instead of the handler's docstring.
    """

    takes: Any = ()
    gives: Any = ()
    given: Sequence[Given] = ()
    also: Mapping[int, tuple[Any, str]] = field(default_factory=dict)
    summary: str = ""
    more: str = ""


def says(**said: Unpack[Said]) -> Callable[[H], H]:
    """What the description says of a handler, beyond its docstring and what it returns."""

    def decorate(handler: H) -> H:
        handler.said = Route(**said)  # type: ignore[attr-defined]
        return handler

    return decorate


def route_of(handler: Callable[..., Any]) -> Route:
    """What is said of a handler; a Struct that it returns is what it gives."""
    said: Route = getattr(handler, "said", Route())
    given = get_type_hints(handler)["return"]
    if not said.gives and isinstance(given, type) and issubclass(given, msgspec.Struct):
        return replace(said, gives=given)
    return said


@dataclass(frozen=True, slots=True)
class Api:
    """One API: its addresses, what is said about them, and its manners."""

    prefix: str
    patterns: Sequence[Any]
    routes: Mapping[str, Mapping[str, Route]]  # by tag, then by "METHOD path"
    parts: Mapping[str, str]  # of paths: what they are
    security: Mapping[str, Any]  # the scheme's name and object
    refusal: Any
    # what fields are that do not say so themselves: by Struct, and by name anywhere
    fields: Mapping[type, Mapping[str, str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """A method of a path as the URL table has it."""

    method: str
    path: str
    view: Any

    @property
    def key(self) -> str:
        """How descriptions name it."""
        return f"{self.method} {self.path}"

    @property
    def parts(self) -> list[str]:
        """The names of the path's variable parts."""
        return re.findall(r"{(\w+)}", self.path)


def served(patterns: Iterable[Any]) -> Iterator[Served]:
    """Every method of every path; what catches the rest is no route."""
    for pattern in patterns:
        if isinstance(pattern, URLPattern) and isinstance(pattern.pattern, RoutePattern):
            path = _PART.sub(r"{\1}", str(pattern.pattern))
            for method in getattr(pattern.callback, "methods", ()):
                yield Served(method, path, pattern.callback)


def describe(apis: Sequence[Api], *, info: Mapping[str, Any], tags: Mapping[str, str]) -> Schema:
    """The whole document. `tags` says what each group of routes is about, in its order."""
    kinds = list(dict.fromkeys(kind for api in apis for kind in _kinds_of(api)))
    shown, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip(kinds, shown, strict=True))
    for api in apis:
        _explain(api, schemas, components)
    paths: dict[str, dict[str, Any]] = {}
    for api in apis:
        for route in served(api.patterns):
            operation = _operation(api, route, schemas)
            paths.setdefault(api.prefix + route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.1",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": dict(info),
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {name: s for api in apis for name, s in api.security.items()},
        },
    }


def _operation(api: Api, route: Served, schemas: Mapping[Any, Schema]) -> Schema:
    tag, said = next(
        ((tag, routes[route.key]) for tag, routes in api.routes.items() if route.key in routes),
        ("other", Route()),
    )
    documented = inspect.getdoc(route.view.handlers[route.method]) or ""
    summary, _, rest = (said.summary or documented).partition("\n")
    description = "\n\n".join(text for text in (rest.strip(), said.more) if text)
    shown: Schema = {
        "operationId": _slug(f"{route.method.lower()} {api.prefix}{route.path}"),
        "tags": [tag],
        "summary": summary.rstrip("."),
    }
    if description:
        shown["description"] = description
    parameters = [_path_part(api, name) for name in route.parts]
    parameters += [_parameter(given, schemas[given.kind]) for given in said.given]
    if parameters:
        shown["parameters"] = parameters
    if takes := _several(said.takes):
        needed = any(isinstance(kind, Raw) or _needs_something(kind) for kind in takes)
        shown["requestBody"] = {"required": needed, "content": _content(takes, schemas)}
    shown["responses"] = _responses(api, route, said, schemas)
    if route.view.open_to_all:
        shown["security"] = []
    else:
        shown["security"] = [{name: []} for name in api.security]
        if route.view.scope:
            shown["x-scope"] = str(route.view.scope)
    return shown


def _responses(
    api: Api, route: Served, said: Route, schemas: Mapping[Any, Schema]
) -> dict[str, Any]:
    refusal = _content((api.refusal,), schemas)
    responses: dict[str, Any] = {"200": {"description": "Done."}}
    if said.gives:
        responses["200"]["content"] = _content(_several(said.gives), schemas)
    raws = [kind.description for kind in _several(said.gives) if isinstance(kind, Raw)]
    if raws:
        responses["200"]["description"] = " ".join(raws)
    reasons: dict[int, str] = {}
    if said.takes or said.given:
        reasons[400] = "The request is at fault; the message names what is allowed."
    if not route.view.open_to_all:
        reasons[401] = "No valid API key came with the request."
    if route.view.scope:
        reasons[403] = f"The API key may not {route.view.scope}, or its role does not suffice."
    if said.takes or route.parts:
        reasons[404] = "There is no such thing, or it belongs to another team."
    for status, reason in reasons.items():
        responses[str(status)] = {"description": reason, "content": refusal}
    for status, (kinds, reason) in said.also.items():
        content = _content(_several(kinds), schemas) if kinds else refusal
        responses[str(status)] = {"description": reason, "content": content}
    responses["default"] = {"description": "Any other refusal.", "content": refusal}
    return responses


def _content(kinds: Iterable[Any], schemas: Mapping[Any, Schema]) -> Schema:
    """The `content` object: JSON of some types, and what is not JSON."""
    kinds = list(kinds)
    content: Schema = {}
    json = [schemas[kind] for kind in kinds if not isinstance(kind, Raw)]
    if json:
        content[JSON] = {"schema": json[0] if len(json) == 1 else {"anyOf": json}}
    for raw in kinds:
        if isinstance(raw, Raw):
            content[raw.media] = {"schema": dict(raw.schema)}
    return content


def _parameter(given: Given, schema: Schema) -> Schema:
    shown = {
        "name": given.name,
        "in": given.place,
        "description": given.description,
        "schema": schema,
    }
    return shown | {"required": True} if given.required else shown


def _path_part(api: Api, name: str) -> Schema:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": api.parts.get(name, ""),
        "schema": {"type": "string", "minLength": 1},
    }


def _kinds_of(api: Api) -> Iterator[Any]:
    """Every type that the API's routes speak of."""
    yield api.refusal
    for routes in api.routes.values():
        for route in routes.values():
            for kind in (*_several(route.takes), *_several(route.gives)):
                if not isinstance(kind, Raw):
                    yield kind
            for kinds, _ in route.also.values():
                yield from (kind for kind in _several(kinds) if not isinstance(kind, Raw))
            yield from (given.kind for given in route.given)


def _explain(api: Api, schemas: Mapping[Any, Schema], components: Mapping[str, Schema]) -> None:
    """Say what the fields of the API's Structs are."""
    own = {kind.__name__: texts for kind, texts in api.fields.items()}
    names = reachable([schemas[kind] for kind in _kinds_of(api)], components)
    for name in names:
        texts = own.get(components[name].get("title", name), {})
        for field_name, schema in components[name].get("properties", {}).items():
            text = texts.get(field_name) or api.words.get(field_name)
            if text and "description" not in schema:
                schema["description"] = text


def reachable(found: Iterable[Any], components: Mapping[str, Schema]) -> list[str]:
    """The names of the components that some schemas refer to, directly or not."""
    names: list[str] = []
    left = list(found)
    while left:
        item = left.pop()
        if isinstance(item, Mapping):
            name = str(item.get("$ref", "")).rpartition("/")[2]
            if name and name not in names:
                names.append(name)
                left.append(components[name])
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return names


def _several(kinds: Any) -> tuple[Any, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _needs_something(kind: Any) -> bool:
    """Whether an empty object is no valid body."""
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return True
    return any(item.required for item in msgspec.structs.fields(kind))


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_")
