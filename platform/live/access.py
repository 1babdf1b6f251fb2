"""Who may open a socket, to whom it belongs, and whether that is still so."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any, NamedTuple

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from core import database
from core.bodies import Scope, header

# of a page whose socket it is; a proxy says itself what pages have
_SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}


class Seat(NamedTuple):
    """Whose socket it is, and of what: checked again and again as a whole."""

    session_key: str
    user_id: int
    password: str
    team_id: int


def is_from_here(scope: Scope) -> bool:
    """Whether a page of ours opens the socket, as Django's CSRF check has it.

    Browsers send cookies with sockets that other pages open, and no rule of theirs keeps those from
    reading. Hosts alone would not do: with TINSMITH_ALLOWED_HOSTS=* every page would be ours.
    """
    origin = header(scope, b"origin")
    host = header(scope, b"host")
    allowed = settings.ALLOWED_HOSTS
    if not origin or not validate_host(split_domain_port(host)[0], allowed):
        return False
    here = f"{_SCHEMES[scope['scheme']]}://{host}"
    return origin == here or origin in settings.CSRF_TRUSTED_ORIGINS


def fingerprint(password: str) -> str:
    """What is remembered of a password's hash: changing the password ends the sockets."""
    return hashlib.sha256(password.encode()).hexdigest()


_TEAM = """
SELECT m.team_id FROM accounts_membership m JOIN accounts_team t ON t.id = m.team_id
WHERE m.user_id = %(user)s AND t.slug = %(name)s
"""
_RUN = """
SELECT m.team_id FROM accounts_membership m JOIN runs_trainingrun r ON r.team_id = m.team_id
WHERE m.user_id = %(user)s AND r.id = %(name)s
"""


async def team_of(*, user_id: int, run_id: str | None, slug: str | None) -> int | None:
    """The team that a run or a slug leads to, if the person is in it."""
    statement, name = (_TEAM, slug) if run_id is None else (_RUN, run_id)
    if name is None or "\0" in name:
        return None
    async with database.connection() as conn:
        row = await (await conn.execute(statement, {"user": user_id, "name": name})).fetchone()
    return row[0] if row else None


_STILL = """
SELECT given.place, s.session_key IS NOT NULL AND u.is_active, m.id IS NOT NULL, u.password
FROM unnest(%(sessions)s::text[], %(users)s::bigint[], %(teams)s::bigint[])
     WITH ORDINALITY AS given(session, who, team, place)
LEFT JOIN accounts_user u ON u.id = given.who
LEFT JOIN django_session s ON s.session_key = given.session AND s.expire_date > now()
LEFT JOIN accounts_membership m ON m.user_id = given.who AND m.team_id = given.team
"""


async def lost(seats: Collection[Seat]) -> dict[Seat, str]:
    """Of these seats those that are not good any more, with what is gone: `session`, `team`."""
    given = list(seats)
    values: dict[str, Any] = {
        "sessions": [seat.session_key for seat in given],
        "users": [seat.user_id for seat in given],
        "teams": [seat.team_id for seat in given],
    }
    async with database.connection() as conn:
        rows = await (await conn.execute(_STILL, values)).fetchall()
    gone: dict[Seat, str] = {}
    for place, is_signed_in, is_member, password in rows:
        seat = given[place - 1]
        if not is_signed_in or fingerprint(password or "") != seat.password:
            gone[seat] = "session"
        elif not is_member:
            gone[seat] = "team"
    return gone
