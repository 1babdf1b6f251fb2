"""The pages, and the OpenAPI document. Each is made once a process and needs no key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.http import condition, require_safe

from reference import api_page, cli, protobuf, sdk
from reference.document import as_json, document
from tinker_api.endpoint import Call, endpoint

_CACHE = "public, max-age=300"


@cache
def _api_page() -> bytes:
    shown = document()
    context = {
        "page": "api",
        "info": shown["info"],
        "about": shown["info"]["description"],
        "groups": api_page.groups(shown),
        "components": api_page.components(shown),
        "schemes": shown["components"]["securitySchemes"],
    }
    return render_to_string("reference/api.html", context).encode()


@cache
def _protobuf_page() -> bytes:
    protocol = protobuf.protocol()
    context = {
        "page": "protobuf",
        "protocol": protocol,
        "names": {message.name.rpartition(".")[2]: message.name for message in protocol.messages},
        "routes": api_page.protobuf_routes(document()),
    }
    return render_to_string("reference/protobuf.html", context).encode()


@cache
def _sdk_page() -> bytes:
    shown = sdk.reference()
    names = {item.name for section in shown.sections for item in section.items}
    context = {"page": "sdk", "reference": shown, "names": names}
    return render_to_string("reference/sdk.html", context).encode()


@cache
def _cli_page() -> bytes:
    context = {"page": "cli", "reference": cli.reference()}
    return render_to_string("reference/cli.html", context).encode()


def _served(make: Callable[[], bytes], content_type: str) -> Callable[..., HttpResponse]:
    """A view of bytes that stay the same while the process lives."""

    @cache
    def etag() -> str:
        return f'"{hashlib.sha256(make()).hexdigest()[:32]}"'

    @require_safe
    @condition(etag_func=lambda request: etag())
    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(make(), content_type=content_type)
        response.headers["Cache-Control"] = "no-cache" if settings.DEBUG else _CACHE
        return response

    return view


_HTML = "text/html; charset=utf-8"
show_api = _served(_api_page, _HTML)
show_protobuf = _served(_protobuf_page, _HTML)
show_sdk = _served(_sdk_page, _HTML)
show_cli = _served(_cli_page, _HTML)
_show_document = _served(as_json, "application/json")


async def _openapi(call: Call) -> HttpResponse:
    """This description of the API."""
    response = _show_document(call.request)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Content-Length"] = str(len(response.content))
    return response


openapi = endpoint(get=_openapi, open_to_all=True)
