"""The pages that belong to no app: the front page, our picture, and what did not work."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import get_script_prefix
from django.views.decorators.http import require_safe

from core.words import misplaced

_ICON = Path(settings.FRONTEND_DIR) / "favicon.svg"
_NAME_SHOWN = 100
_TITLES = {
    400: "That request cannot be read",
    403: "That is not for you",
    404: "There is nothing here",
    500: "Something broke",
}
_WORDS = {
    400: "The server did not understand it. If a link led here, tell whoever made it.",
    403: "You are not signed in as somebody who may do this, or the page was open for too long: "
    "go back, load it again and send it once more.",
    404: "The address leads nowhere. It may be misspelt, or what was there is gone.",
    500: "The mistake is the server's, and its log says which. Try again in a moment.",
}


def front_page(request: HttpRequest) -> HttpResponse:
    """Say what this server is and how to use it."""
    url = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return render(request, "index.html", {"url": url})


@cache
def _icon() -> bytes:
    return _ICON.read_bytes()


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """The picture on a browser's tab."""
    response = HttpResponse(_icon(), content_type="image/svg+xml")
    response.headers["Cache-Control"] = "public, max-age=86400"
    return response


# ---- what did not work: pages for browsers, JSON for programs


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400."""
    if not isinstance(exception, DisallowedHost):
        return _refusal(request, 400)
    name = split_domain_port(request.headers.get("Host", ""))[0][:_NAME_SHOWN]
    words = (
        f"This server does not answer to the name {name!r}; who runs it can allow it with "
        "TINSMITH_ALLOWED_HOSTS."
    )
    return _refusal(request, 400, words=words)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403."""
    return _refusal(request, 403)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 of a form that does not come from a page of ours."""
    return _refusal(request, 403)


def page_not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404."""
    return _refusal(request, 404, misplaced(request.path))


def server_error(request: HttpRequest) -> HttpResponse:
    """500."""
    return _refusal(request, 500)


def _sentence(hint: str) -> str:
    return f"{hint[0].upper()}{hint[1:]}." if hint else ""


def _refusal(
    request: HttpRequest, status: int, hint: str = "", words: str | None = None
) -> HttpResponse:
    """A page where one was asked for, else the same as ``{"detail": …}``."""
    words = words or _WORDS[status]
    if "text/html" not in request.headers.get("Accept", ""):
        detail = f"there is no {request.path}" if status == 404 else words
        return JsonResponse({"detail": f"{detail}; {hint}" if hint else detail}, status=status)
    about: dict[str, Any] = {
        "status": status,
        "title": _TITLES[status],
        "words": f"{words} {_sentence(hint)}",
        "path": request.path[:200],
        "home": get_script_prefix(),
    }
    return HttpResponse(render_to_string("error.html", about), status=status)
