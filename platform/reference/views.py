"""The documentation, and the OpenAPI document. Each is made once a process and needs no key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import condition, require_safe

from reference.document import as_json
from reference.guide import site
from tinker_api.endpoint import Call, endpoint

_CACHE = "public, max-age=300"
_HTML = "text/html; charset=utf-8"
_MARKDOWN = "text/markdown; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
# A page holds no script and no style of its own, and loads nothing from elsewhere
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# (bytes, content type) of what a name stands for; KeyError if it stands for nothing
Make = Callable[..., tuple[bytes, str]]


def _served(make: Make) -> Callable[..., HttpResponse]:
    """A view of bytes that stay the same while the process lives, one for each name."""

    @cache  # of names that there are: an error is not kept
    def made(*name: str) -> tuple[bytes, str, str]:
        body, content_type = make(*name)
        return body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"'

    def etag(request: HttpRequest, *name: str) -> str | None:
        try:
            return made(*name)[2]
        except KeyError:
            return None

    @require_safe
    @condition(etag_func=etag)
    def view(request: HttpRequest, *name: str) -> HttpResponse:
        try:
            body, content_type, _ = made(*name)
        except KeyError:
            raise Http404(f"there is no page {name[0]!r}") from None
        response = HttpResponse(body, content_type=content_type)
        response.headers["Cache-Control"] = "no-cache" if settings.DEBUG else _CACHE
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    return view


show_index = _served(lambda: (site.as_html(site.INDEX), _HTML))
show_page = _served(lambda slug: (site.as_html(slug), _HTML))
show_markdown = _served(lambda slug: (site.as_markdown(slug), _MARKDOWN))
show_script = _served(lambda slug: (site.script(slug), _TEXT))
show_picture = _served(site.picture)
show_search = _served(lambda: (site.search_index(), "application/json"))
show_llms_full = _served(lambda: (site.llms_full(), _TEXT))
_show_document = _served(lambda: (as_json(), "application/json"))


@require_safe
def show_llms(request: HttpRequest) -> HttpResponse:
    """What there is to read, for programs that read: with whole addresses."""
    base = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return HttpResponse(site.llms(base), content_type=_TEXT)


async def _openapi(call: Call) -> HttpResponse:
    """This description of the API."""
    response = _show_document(call.request)
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Content-Length"] = str(len(response.content))
    return response


openapi = endpoint(get=_openapi, open_to_all=True)
