"""Signing in to the admin: Django's own page behind `accounts.sign_in`, every try audited."""

from __future__ import annotations

import logging

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache

from accounts.models import User
from accounts.sign_in import checking, checking_known, throttle
from audit import services as audit
from core.errors import TooManyRequests

log = logging.getLogger(__name__)

# holds, signed, who has signed in with this browser
KNOWN_COOKIE = "tinsmith_known"
KNOWN_FOR_S = 180 * 24 * 3600
_SALT = "tinsmith.known"


@never_cache
async def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page; a try too many is refused with 429 before its password is looked at."""
    if request.method != "POST":
        return await sync_to_async(admin.site.login)(request)
    address = request.META.get("REMOTE_ADDR") or "nowhere"
    name = request.POST.get("username", "")
    known = _is_known(request, name)
    try:
        throttle.require(address, name, known=known)
        async with (checking_known if known else checking).turn():
            # others may have failed while this one waited
            throttle.require(address, name, known=known)
            return await sync_to_async(_try)(request, address, name, known=known)
    except TooManyRequests as error:
        if throttle.is_news(address):
            log.warning("sign-ins from %s are refused: %s", address, error.detail)
        response = HttpResponse(error.detail, content_type="text/plain", status=error.status)
        response._has_been_logged = True  # type: ignore[attr-defined]  # Django would, each time
        for header, value in error.headers.items():
            response.headers[header] = value
        return response


def _try(request: HttpRequest, address: str, name: str, *, known: bool) -> HttpResponse:
    """Have Django look at name and password, and note what came of it."""
    response = admin.site.login(request)
    if response.status_code == 302:
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
