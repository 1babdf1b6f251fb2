"""From the text of an API key, or a token for one, to the team: one indexed lookup.

What was found is remembered for a moment, and forgotten as soon as PostgreSQL announces that the
key, or the role of the person whose it is, has changed. Should the connection that hears it be
down, the moment is all that a revoked key or an old role has left.
"""

from __future__ import annotations

import time

from accounts import rights, tokens
from accounts.actors import Actor, Forbidden
from accounts.models import Role
from accounts.rights import Right
from accounts.services import KEY_PREFIX, hash_key, key_revoked
from audit import services as audit
from core import hub
from core.database import connection
from core.errors import Unauthorized
from events import services as events

# the number of an API key that may do less, or more, now; triggers on the tables say so
KEYS = hub.Topic("tinsmith_keys")
REMEMBER_S = 2.0  # how long a revoked key may still be taken when no news of it comes
REMEMBER_KEYS = 4096
KEY_LENGTH = len(KEY_PREFIX) + 43
LAST_USED_GRAIN_S = 60

_MISSING = "Missing API key: send it in the X-API-Key header"
_INVALID = "Invalid API key"
_LOOKUP = """
    SELECT k.id, k.team_id, t.name, k.scopes,
           k.last_used_at IS NULL OR k.last_used_at < now() - make_interval(secs => %s),
           extract(epoch FROM k.expires_at - now())::float8,
           coalesce(k.role, m.role), k.user_id
    FROM accounts_apikey k JOIN accounts_team t ON t.id = k.team_id
    LEFT JOIN accounts_user u ON u.id = k.user_id AND u.is_active
    LEFT JOIN accounts_membership m ON m.user_id = u.id AND m.team_id = k.team_id
    WHERE {which} AND k.revoked_at IS NULL AND coalesce(k.role, m.role) IS NOT NULL
      AND (k.expires_at IS NULL OR k.expires_at > now())
"""
_BY_HASH = _LOOKUP.format(which="k.sha256 = %s")
_BY_ID = _LOOKUP.format(which="k.id = %s")
_TOUCH = """
    UPDATE accounts_apikey SET last_used_at = now()
    WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - make_interval(secs => %s))
"""


_remembered: dict[str, tuple[float, Actor]] = {}
_changes = 0  # how often anything had to be forgotten


async def authenticate(raw_key: str) -> Actor:
    """Whoever acts with this key; answers may be `REMEMBER_S` seconds old.

    Args:
        raw_key: an API key, or a token that was exchanged for one.

    Raises:
        Unauthorized: missing, malformed, unknown, expired or revoked key, or one of somebody who
            has left the team.
        InvalidToken: a token that is forged or expired, or whose key is no longer good.
    """
    if not raw_key:
        raise Unauthorized(_MISSING)
    is_token = raw_key.startswith(tokens.PREFIX) and len(raw_key) <= tokens.MAX_LENGTH
    if not is_token and not _looks_like_a_key(raw_key):
        raise Unauthorized(_INVALID)
    digest = hash_key(raw_key)
    now = time.monotonic()
    remembered = _remembered.get(digest)
    if remembered is not None and now < remembered[0]:
        return remembered[1]
    _remembered.pop(digest, None)
    age, statement, which = REMEMBER_S, _BY_HASH, digest
    if is_token:
        claims = tokens.read(raw_key)
        age, statement, which = min(age, claims.exp - time.time()), _BY_ID, str(claims.key_id)
    changes = _changes
    async with connection() as conn:
        row = await (await conn.execute(statement, (LAST_USED_GRAIN_S, which))).fetchone()
        if row is None:
            raise tokens.InvalidToken(_INVALID) if is_token else Unauthorized(_INVALID)
        key_id, team_id, team_name, scopes, touch, expires_in, role, user_id = row
        if touch:
            await conn.execute(_TOUCH, (key_id, LAST_USED_GRAIN_S))
    actor = Actor(team_id, team_name, frozenset(scopes), key_id, user_id, Role(role))
    if changes != _changes:
        return actor  # the row may have been read before the change that was just heard of
    if len(_remembered) >= REMEMBER_KEYS:
        _remembered.clear()
    if expires_in is not None:
        age = min(age, expires_in)
    _remembered[digest] = (now + age, actor)
    return actor


def _looks_like_a_key(text: str) -> bool:
    return len(text) == KEY_LENGTH and text.startswith(KEY_PREFIX) and text.isascii()


async def exchange(*, actor: Actor, presented: str) -> str:
    """A token for the actor's key. One that was exchanged for a token lasts no longer than it.

    Raises:
        Forbidden: the actor is a person.
    """
    if actor.key_id is None:
        raise Forbidden("only an API key can be exchanged for a token")
    lasts_s: float = tokens.LIFETIME_S
    if presented.startswith(tokens.PREFIX):
        lasts_s = tokens.read(presented).exp - time.time()
    return tokens.issue(team_id=actor.team_id, key_id=actor.key_id, lasts_s=lasts_s)


async def key_name(*, actor: Actor) -> str:
    """What the actor's key is called."""
    async with connection() as conn:
        row = await (
            await conn.execute("SELECT name FROM accounts_apikey WHERE id = %s", (actor.key_id,))
        ).fetchone()
    return row[0] if row else ""


async def revoke_own(*, actor: Actor) -> None:
    """End the key that the actor came with, and its tokens."""
    rights.require(actor, Right.REVOKE_OWN_API_KEY)
    async with events.transaction() as conn:
        done = await (
            await conn.execute(
                """
                UPDATE accounts_apikey SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL
                RETURNING id, revoked_at
                """,
                (actor.key_id,),
            )
        ).fetchone()
        if done is not None:
            await audit.record(conn, actor, "api_key.revoked", str(actor.key_id))
            told = key_revoked(done[0], team_id=actor.team_id, revoked_at=done[1])
            await events.write(conn, told)
    forget(str(actor.key_id))


def forget(key_id: str | None = None) -> None:
    """Drop what is remembered of a key, given its number as text, or of all."""
    global _changes
    _changes += 1
    if key_id is None:
        _remembered.clear()
        return
    for digest in [d for d, (_, actor) in _remembered.items() if str(actor.key_id) == key_id]:
        del _remembered[digest]


KEYS.on_news(forget)
