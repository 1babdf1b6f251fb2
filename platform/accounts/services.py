"""What is done to teams and keys."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts.models import ALL_SCOPES, ApiKey, Membership, Team, User
from audit import services as audit

KEY_PREFIX = "tml-"  # public clients refuse keys that begin otherwise
KEY_RANDOM_BYTES = 32  # 43 characters of URL-safe base64


@dataclass(frozen=True)
class NewApiKey:
    """A key just made: the only moment at which its text is known."""

    key: ApiKey
    text: str


def hash_key(text: str) -> str:
    """What the database knows of a key."""
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def create_team(*, name: str, owner: User | None = None) -> Team:
    """Make a team under a free slug, with its first owner."""
    base = slugify(name)[:50] or "team"
    slug, number = base, 1
    while Team.objects.filter(slug=slug).exists():
        number += 1
        slug = f"{base}-{number}"
    team = Team.objects.create(name=name.strip(), slug=slug)
    if owner:
        add_member(team=team, user=owner, role=Membership.Role.OWNER)
    return team


def add_member(
    *, team: Team, user: User, role: Membership.Role = Membership.Role.MEMBER
) -> Membership:
    """Put a user in a team, or give a member another role."""
    return Membership.objects.update_or_create(team=team, user=user, defaults={"role": role})[0]


@transaction.atomic
def create_api_key(
    *,
    team: Team,
    name: str,
    scopes: Iterable[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    by: User | None = None,
) -> NewApiKey:
    """Make a key for the team; its text is in the answer and nowhere else.

    Args:
        by: who makes it; None: the platform itself.

    Raises:
        ValueError: no name, or a scope that does not exist.
    """
    wanted = list(dict.fromkeys(scopes))
    unknown = sorted(set(wanted) - set(ALL_SCOPES))
    if unknown or not wanted:
        raise ValueError(f"scopes {unknown or '[]'}: choose from {', '.join(ALL_SCOPES)}")
    if not name.strip():
        raise ValueError("an API key needs a name")
    text = KEY_PREFIX + secrets.token_urlsafe(KEY_RANDOM_BYTES)
    key = ApiKey.objects.create(
        team=team,
        name=name.strip(),
        prefix=text[:8],
        last_four=text[-4:],
        sha256=hash_key(text),
        scopes=wanted,
        expires_at=expires_at,
    )
    audit.record_with_orm(
        team_id=team.pk,
        user_id=by.pk if by else None,
        event="api_key.created",
        target=str(key.pk),
        name=key.name,
        scopes=wanted,
    )
    return NewApiKey(key, text)


@transaction.atomic
def revoke_api_key(*, key: ApiKey, by: User | None = None) -> None:
    """End a key; revoking again keeps the first date. `by`: as of `create_api_key`."""
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record_with_orm(
            team_id=key.team_id,
            user_id=by.pk if by else None,
            event="api_key.revoked",
            target=str(key.pk),
        )
    key.refresh_from_db(fields=["revoked_at"])
