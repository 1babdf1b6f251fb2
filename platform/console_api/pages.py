"""The dashboard itself: one page of HTML for all its addresses, from the build in frontend/dist.

Whoever is not signed in finds at `/` what this server is; every other page of the dashboard lets
them sign in first.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from core import views

# no code and no style inside the page, and nothing from elsewhere; charts set sizes by script,
# which this allows
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_NOT_BUILT = (
    "The dashboard is not built. `python3 manage.py up` builds it where Node.js 20.19, or "
    "22.12 or newer is installed; so do `npm ci` and `npm run build` in the folder frontend."
)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The runs of whoever is signed in; for others, what this server is."""
    return dashboard(request) if request.user.is_authenticated else views.front_page(request)


@require_safe
@ensure_csrf_cookie
def dashboard(request: HttpRequest, **_: str) -> HttpResponse:
    """The page that all of the dashboard runs in."""
    file = Path(settings.DASHBOARD_DIR) / "index.html"
    try:
        body, status = _read(file, file.stat().st_mtime_ns), 200
    except FileNotFoundError:
        return HttpResponse(_NOT_BUILT, content_type="text/plain; charset=utf-8", status=503)
    response = HttpResponse(body, status=status)
    # its scripts have names of their own in every build, so this page must not be an old one
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@lru_cache(maxsize=4)
def _read(file: Path, changed_ns: int) -> bytes:
    return file.read_bytes()
