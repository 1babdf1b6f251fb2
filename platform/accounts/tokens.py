"""Short-lived tokens (JWT, HS256) that stand for an API key: clients exchange the key for one.

A token names its key and nothing is kept about it: each use looks the key up again, so that a
revoked key ends its tokens too. Signature and expiry are checked before that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import msgspec
from django.conf import settings

from core.errors import Unauthorized

PREFIX = "eyJ"  # of every JWT
LIFETIME_S = 900
MAX_LENGTH = 2048
ISSUER = "tinsmith"


class InvalidToken(Unauthorized):
    """The token is forged, or its time is over: the client should exchange its key again."""

    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says: whose it is (`key_id`), and from when to when (Unix seconds)."""

    iss: str
    sub: str
    org_id: str
    email: str
    key_id: int
    iat: int
    exp: int


def team_urn(team_id: int) -> str:
    """How the wire names the owner of sessions and runs."""
    return f"tinsmith:team:{team_id}"


def issue(*, team_id: int, key_id: int, lasts_s: float = LIFETIME_S) -> str:
    """A token for a key, good for `lasts_s` seconds but never longer than `LIFETIME_S`."""
    now = int(time.time())
    claims = Claims(
        iss=ISSUER,
        sub=team_urn(team_id),
        org_id=str(team_id),
        email="",
        key_id=key_id,
        iat=now,
        exp=now + max(1, int(min(lasts_s, LIFETIME_S))),
    )
    signed = f"{_HEADER}.{_encode(msgspec.json.encode(claims))}"
    return f"{signed}.{_signature(signed)}"


def read(token: str) -> Claims:
    """What a token says.

    Raises:
        InvalidToken: not one of ours, changed, or expired.
    """
    signed, _, signature = token.rpartition(".")
    header, _, payload = signed.partition(".")
    good = token.isascii() and len(token) <= MAX_LENGTH and header == _HEADER
    if not good or not hmac.compare_digest(signature, _signature(signed)):
        raise InvalidToken("the token is not valid")
    claims = _decoder.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    if claims.exp <= time.time():
        raise InvalidToken("the token has expired")
    return claims


_decoder = msgspec.json.Decoder(Claims)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(signed: str) -> str:
    key = hashlib.sha256(b"tinsmith.jwt:" + settings.SECRET_KEY.encode()).digest()
    return _encode(hmac.digest(key, signed.encode(), "sha256"))


_HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')
