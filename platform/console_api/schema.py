"""The description of the dashboard's API, from which the dashboard's own types are made.

Answers are dataclasses of the services; `answers` has msgspec describe them, so that nothing is
declared twice and the description cannot say what is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, extend_schema

F = TypeVar("F", bound=Callable[..., Any])
_REF = "#/components/schemas/{name}"
_described: dict[str, Any] = {}


class SessionCookie(OpenApiAuthenticationExtension):
    """How the document says that a browser's session is needed."""

    target_class = "console_api.base.BrowserSession"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """The cookie."""
        return {"type": "apiKey", "in": "cookie", "name": settings.SESSION_COOKIE_NAME}


class Error(msgspec.Struct):
    """What went wrong: in words, and which kind of error it is."""

    detail: str
    code: str


def answers(
    kind: Any,
    *,
    given: Sequence[OpenApiParameter] = (),
    takes: type | None = None,
    refuses: Sequence[int] = (401, 404),
) -> Callable[[F], F]:
    """Declare what a view gives (None: no body), takes as its body, and takes as parameters."""
    responses = {status: _reference(Error) for status in refuses}
    responses |= {204: None} if kind is None else {200: _reference(kind)}  # type: ignore[dict-item]
    request = None if takes is None else {"application/json": _reference(takes)}

    def decorate(view: F) -> F:
        return extend_schema(
            operation_id=view.__qualname__.replace("ViewSet.", ".").replace("View.", "."),
            responses=responses,
            request=request,
            parameters=list(given),
        )(view)

    return decorate


def query(name: str, kind: Any, words: str, *, many: bool = False) -> OpenApiParameter:
    """A query parameter."""
    schema, _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return OpenApiParameter(name, schema[0], "query", description=words, many=many, explode=many)


def _reference(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    _described[repr(kind)] = kind
    return schema


def add_components(result: dict[str, Any], generator: Any, request: Any, public: bool) -> Any:
    """Put the descriptions of all answers into the document (a hook of drf-spectacular)."""
    _, components = msgspec.json.schema_components(_described.values(), ref_template=_REF)
    for component in components.values():
        # a field with a default is sent all the same
        if "properties" in component:
            component["required"] = list(component["properties"])
    schemas = result.setdefault("components", {}).setdefault("schemas", {})
    schemas.update(dict(sorted(components.items())))
    return result
