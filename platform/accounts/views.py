"""Signing in: throttled by `accounts.sign_in`, every try audited; by a page, by a link.

The admin has Django's own page; the dashboard sends name and password itself. Both go through
`attempt`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib import admin
from django.contrib.auth import authenticate, login
from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts import one_time_links
from accounts.models import User
from accounts.sign_in import checking, checking_known, throttle
from audit import services as audit
from core.errors import ApiError, TooManyRequests

log = logging.getLogger(__name__)

# holds, signed, who has signed in with this browser
KNOWN_COOKIE = "tinsmith_known"
KNOWN_FOR_S = 180 * 24 * 3600
_SALT = "tinsmith.known"


class Tried(NamedTuple):
    """What came of a try."""

    succeeded: bool
    response: HttpResponse


@never_cache
async def sign_in(request: HttpRequest) -> HttpResponse:
    """The admin's page; a try too many is refused with 429 before its password is looked at."""
    if request.method != "POST":
        return await sync_to_async(admin.site.login)(request)
    try:
        return await attempt(request, request.POST.get("username", ""), lambda: _by_form(request))
    except TooManyRequests as error:
        response = HttpResponse(error.detail, content_type="text/plain", status=error.status)
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django would, each time
        for header, value in error.headers.items():
            response.headers[header] = value
        return response


async def attempt(request: HttpRequest, name: str, check: Callable[[], Tried]) -> HttpResponse:
    """Let `check` look at a password in its turn, and note what came of it.

    Raises:
        TooManyRequests: there were too many failures, or too many wait.
    """
    address = request.META.get("REMOTE_ADDR") or "nowhere"
    known = _is_known(request, name)
    try:
        throttle.require(address, name, known=known)
        async with (checking_known if known else checking).turn():
            # others may have failed while this one waited
            throttle.require(address, name, known=known)
            return await sync_to_async(_try)(request, address, name, check, known=known)
    except TooManyRequests as error:
        if throttle.is_news(address):
            log.warning("sign-ins from %s are refused: %s", address, error.detail)
        raise


def by_password(request: HttpRequest, name: str, password: str) -> Tried:
    """Sign somebody in who may use the dashboard: 204, or 400 with nothing told of why."""
    user = authenticate(request, username=name, password=password) if "\0" not in name else None
    if user is None:
        return Tried(False, HttpResponse(status=400))
    login(request, user)
    return Tried(True, HttpResponse(status=204))


@never_cache
@require_safe
def sign_in_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in whom a one-time link was made for, and go where it leads."""
    address = request.META.get("REMOTE_ADDR") or "nowhere"
    following = request.GET.get("next", "/")
    if not url_has_allowed_host_and_scheme(following, allowed_hosts=None):
        following = "/"
    try:
        user = one_time_links.use(token)
    except ApiError:
        return HttpResponseRedirect(f"{settings.LOGIN_PAGE}?used=1")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    audit.record_of_installation(event="user.signed_in", target=user.username, address=address)
    return HttpResponseRedirect(following)


def _by_form(request: HttpRequest) -> Tried:
    """Have Django's page look at name and password."""
    response = admin.site.login(request)
    return Tried(response.status_code == 302, response)


def _try(
    request: HttpRequest, address: str, name: str, check: Callable[[], Tried], *, known: bool
) -> HttpResponse:
    succeeded, response = check()
    if succeeded:
        audit.record_of_installation(event="user.signed_in", target=name, address=address)
        response.set_cookie(
            KNOWN_COOKIE,
            signing.dumps(name, salt=_SALT),
            max_age=KNOWN_FOR_S,
            path=request.path,
            secure=request.is_secure(),
            httponly=True,
            samesite="Lax",
        )
        return response
    throttle.note_failure(address, name, known=known)
    # what is nobody's name may be a password in the wrong field
    found = User.objects.filter(username=name).exists() if "\0" not in name else False
    target = name if found else "(an unknown name)"
    audit.record_of_installation(event="user.sign_in_failed", target=target, address=address)
    return response


def _is_known(request: HttpRequest, name: str) -> bool:
    try:
        cookie = request.COOKIES.get(KNOWN_COOKIE, "")
        return bool(signing.loads(cookie, salt=_SALT, max_age=KNOWN_FOR_S) == name)
    except signing.BadSignature:
        return False
