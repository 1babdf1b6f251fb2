"""From the text of an API key to the team behind it: one indexed lookup on the raw pool."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from accounts.models import ALL_SCOPES
from accounts.services import KEY_PREFIX, hash_key
from core.database import connection
from core.errors import ApiError, Unauthorized

REMEMBER_S = 2.0  # how long a revoked key may still be taken
REMEMBER_KEYS = 4096
KEY_LENGTH = len(KEY_PREFIX) + 43
LAST_USED_GRAIN_S = 60

_MISSING = "Missing API key: send it in the X-API-Key header"
_INVALID = "Invalid API key"
_LOOKUP = """
    SELECT k.id, k.team_id, t.name, k.scopes,
           k.last_used_at IS NULL OR k.last_used_at < now() - make_interval(secs => %s),
           extract(epoch FROM k.expires_at - now())::float8
    FROM accounts_apikey k JOIN accounts_team t ON t.id = k.team_id
    WHERE k.sha256 = %s AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
"""
_TOUCH = """
    UPDATE accounts_apikey SET last_used_at = now()
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => %s))
"""


class Forbidden(ApiError):
    """The key is good, but not for this."""

    status = 403


@dataclass(frozen=True, slots=True)
class Caller:
    """The team on whose behalf a request is made, and the key that said so."""

    team_id: int
    key_id: int
    team_name: str
    scopes: frozenset[str] = field(default=frozenset(ALL_SCOPES))

    def require(self, scope: str) -> None:
        """Refuse a key that lacks the scope.

        Raises:
            Forbidden: the key's scopes do not hold it.
        """
        if scope not in self.scopes:
            has = ", ".join(sorted(self.scopes))
            raise Forbidden(f"This API key may not {scope}; its scopes are: {has}")


_remembered: dict[str, tuple[float, Caller]] = {}


async def authenticate(raw_key: str) -> Caller:
    """The caller whose key this is; answers may be `REMEMBER_S` seconds old.

    Raises:
        Unauthorized: missing, malformed, unknown, expired or revoked key.
    """
    if not raw_key:
        raise Unauthorized(_MISSING)
    if len(raw_key) != KEY_LENGTH or not raw_key.startswith(KEY_PREFIX) or not raw_key.isascii():
        raise Unauthorized(_INVALID)
    digest = hash_key(raw_key)
    now = time.monotonic()
    remembered = _remembered.get(digest)
    if remembered is not None and now < remembered[0]:
        return remembered[1]
    _remembered.pop(digest, None)
    async with connection() as conn:
        row = await (await conn.execute(_LOOKUP, (LAST_USED_GRAIN_S, digest))).fetchone()
        if row is None:
            raise Unauthorized(_INVALID)
        key_id, team_id, team_name, scopes, touch, expires_in = row
        if touch:
            await conn.execute(_TOUCH, (key_id, LAST_USED_GRAIN_S))
    caller = Caller(team_id, key_id, team_name, frozenset(scopes))
    if len(_remembered) >= REMEMBER_KEYS:
        _remembered.clear()
    age = REMEMBER_S if expires_in is None else min(REMEMBER_S, expires_in)
    _remembered[digest] = (now + age, caller)
    return caller


def forget() -> None:
    """Drop what is remembered (for tests and after a revocation in this process)."""
    _remembered.clear()
