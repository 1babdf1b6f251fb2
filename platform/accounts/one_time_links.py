"""Links that sign somebody in once: `manage.py demo` ends with one.

A link holds, signed, when its person last signed in. Using it, or signing in in any other way,
makes that another moment, so no link works twice and nothing needs to be kept of them.
"""

from __future__ import annotations

from datetime import datetime

from django.core import signing
from django.utils import timezone

from accounts.models import User
from core.errors import Gone, NotFound

LASTS_S = 3600
_SALT = "tinsmith.one_time_link"
_NEVER = "never"


def make(user: User) -> str:
    """The secret part of a link for a person."""
    return signing.dumps({"user": user.pk, "last": _moment(user.last_login)}, salt=_SALT)


def use(token: str) -> User:
    """The person whose link it is; it works no more.

    Raises:
        NotFound: nobody has signed this. Gone: it has been used, or is too old.
    """
    try:
        claims = signing.loads(token, salt=_SALT, max_age=LASTS_S)
    except signing.SignatureExpired:
        raise Gone("this link is too old") from None
    except signing.BadSignature:
        raise NotFound("there is no such link") from None
    user = User.objects.filter(pk=claims["user"], is_active=True).first()
    if user is None or _moment(user.last_login) != claims["last"]:
        raise Gone("this link has been used")
    # of two who come at once, one finds the moment changed
    unused = User.objects.filter(pk=user.pk, last_login=user.last_login)
    if not unused.update(last_login=timezone.now()):
        raise Gone("this link has been used")
    return user


def _moment(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.isoformat()
