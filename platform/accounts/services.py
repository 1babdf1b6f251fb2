"""What is done to teams, memberships and keys.

`by` says who does it, and their role is asked for. None is the platform itself: commands of whoever
has the machine, and the first start.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import rights
from accounts.actors import Actor, Forbidden
from accounts.models import ALL_SCOPES, ApiKey, Membership, Role, Team, User
from accounts.rights import Right
from audit import services as audit
from core.errors import Conflict, NotFound
from events import services as events
from events.models import Kind

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
        set_role(team=team, user=owner, role=Role.OWNER)
    return team


@transaction.atomic
def set_role(
    *, team: Team, user: User, role: Role = Role.MEMBER, by: Actor | None = None
) -> Membership:
    """Put a user in a team, or give a member another role. Doing so twice is fine.

    Raises:
        NotFound: `by` acts for another team. Forbidden: their role does not suffice.
        Conflict: the team's last owner would be none any more.
    """
    before = _lock_membership(team, user)
    if before is not None and before.role == role:
        return before
    _require_to_manage(by, team, role, *([Role(before.role)] if before else []))
    if before is None:
        membership = Membership.objects.create(team=team, user=user, role=role)
        _note(by, team, "membership.added", user.username, role=role)
        _tell(Kind.MEMBER_ADDED, team, user.username, role=role)
        return membership
    _require_another_owner(before)
    _note(by, team, "membership.role_changed", user.username, before=before.role, role=role)
    _tell(Kind.MEMBER_CHANGED, team, user.username, role=role)
    before.role = role
    before.save(update_fields=["role"])
    return before


@transaction.atomic
def remove_member(*, team: Team, user: User, by: Actor | None = None) -> None:
    """Take a user out of a team, and revoke the keys that they have there for themselves.

    Raises:
        NotFound: they are not in it, or `by` acts for another team. Forbidden: the role of `by`
            does not suffice. Conflict: the team's last owner would be gone.
    """
    membership = _lock_membership(team, user)
    if membership is None:
        raise NotFound(f"{user.username} is not in the team {team.slug}")
    _require_to_manage(by, team, Role(membership.role))
    _require_another_owner(membership)
    for key in ApiKey.objects.filter(team=team, user=user, revoked_at=None).order_by("pk"):
        _revoke(key, by)
    membership.delete()
    _note(by, team, "membership.removed", user.username, before=membership.role)
    _tell(Kind.MEMBER_REMOVED, team, user.username)


def _lock_membership(team: Team, user: User) -> Membership | None:
    """A user's place in a team, of whose members nobody else changes any meanwhile."""
    Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    return Membership.objects.filter(team=team, user=user).first()


def _require_to_manage(by: Actor | None, team: Team, *roles: Role) -> None:
    """Refuse who may not give or take these roles."""
    if by is None:
        return
    _require_team(by, team.pk)
    high = any(role.covers(Role.ADMIN) for role in roles)
    rights.require(by, Right.MANAGE_ADMINS if high else Right.MANAGE_MEMBERS)


def _require_another_owner(membership: Membership) -> None:
    """Refuse to leave a team without an owner: nobody in it could make one."""
    owners = Membership.objects.filter(team=membership.team, role=Role.OWNER)
    if membership.role == Role.OWNER and not owners.exclude(pk=membership.pk).exists():
        name = membership.user.username
        raise Conflict(f"{name} is the only owner of {membership.team.slug}: make another first")


@transaction.atomic
def create_api_key(
    *,
    team: Team,
    name: str,
    scopes: Iterable[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    role: Role | None = None,
    user: User | None = None,
    by: Actor | None = None,
) -> NewApiKey:
    """Make a key for the team; its text is in the answer and nowhere else.

    Args:
        role: what the key may do in the team, however its maker's role changes; None: a member's.
        user: who the key is for, with whatever role they have at the moment, instead of `role`.

    Raises:
        ValueError: no name, a scope that does not exist, or a user who is not in the team.
        NotFound: `by` acts for another team. Forbidden: their role does not suffice, or is less
            than the key's, or the key would act as somebody else.
    """
    _require_to_make_key(by, team, role or Role.MEMBER, user)
    wanted = list(dict.fromkeys(scopes))
    unknown = sorted(set(wanted) - set(ALL_SCOPES))
    if unknown or not wanted:
        raise ValueError(f"scopes {unknown or '[]'}: choose from {', '.join(ALL_SCOPES)}")
    if not name.strip():
        raise ValueError("an API key needs a name")
    if user is not None and role is not None:
        raise ValueError("a person's key has that person's role, and none of its own")
    if user is not None and not Membership.objects.filter(team=team, user=user).exists():
        raise ValueError(f"{user.username} is not in the team {team.slug}")
    text = KEY_PREFIX + secrets.token_urlsafe(KEY_RANDOM_BYTES)
    key = ApiKey.objects.create(
        team=team,
        user=user,
        role=None if user else role or Role.MEMBER,
        name=name.strip(),
        prefix=text[:8],
        last_four=text[-4:],
        sha256=hash_key(text),
        scopes=wanted,
        expires_at=expires_at,
    )
    whose = {"user": user.username} if user else {"role": key.role}
    _note(by, team, "api_key.created", str(key.pk), name=key.name, scopes=wanted, **whose)
    _tell(
        Kind.KEY_CREATED,
        team,
        str(key.pk),
        name=key.name,
        masked=key.masked,
        scopes=wanted,
        expires_at=expires_at,
        role=key.role,
        user=user.username if user else None,
    )
    return NewApiKey(key, text)


def _require_to_make_key(by: Actor | None, team: Team, role: Role, user: User | None) -> None:
    if by is None:
        return
    _require_team(by, team.pk)
    rights.require(by, Right.CREATE_API_KEY if user is None else Right.CREATE_OWN_API_KEY)
    if user is not None and user.pk != by.user_id:
        raise Forbidden("a key that acts as a person is made by that person alone")
    if user is None:
        _require_no_more(by, role)


def _require_no_more(by: Actor, role: Role) -> None:
    """Refuse to have a key do more than who gives it the role."""
    if not by.role.covers(role):
        raise Forbidden(f"your role, {by.role}, cannot give an API key the role {role}")


@transaction.atomic
def set_api_key_role(*, key: ApiKey, role: Role, by: Actor | None = None) -> None:
    """Give one of the team's own keys another role. Doing so twice is fine.

    Raises:
        ValueError: the key is a person's. NotFound: `by` acts for another team. Forbidden: their
            role does not suffice, or is less than the one given or taken.
    """
    held = ApiKey.objects.select_for_update().get(pk=key.pk)
    if held.role is None:
        raise ValueError("a person's key has that person's role, and none of its own")
    if by is not None:
        _require_team(by, held.team_id)
        rights.require(by, Right.CHANGE_API_KEY)
        _require_no_more(by, role)
        _require_no_more(by, Role(held.role))
    if held.role != role:
        ApiKey.objects.filter(pk=held.pk).update(role=role)
        told = {"before": held.role, "role": role}
        _note(by, held.team, "api_key.role_changed", str(held.pk), **told)
        _tell(Kind.KEY_CHANGED, held.team, str(held.pk), role=role)
    key.role = role


@transaction.atomic
def revoke_api_key(*, key: ApiKey, by: Actor | None = None) -> None:
    """End a key; revoking again keeps the first date.

    Raises:
        NotFound: `by` acts for another team. Forbidden: their role does not suffice.
    """
    if by is not None:
        _require_team(by, key.team_id)
        own = key.pk == by.key_id or (key.user_id is not None and key.user_id == by.user_id)
        rights.require(by, Right.REVOKE_OWN_API_KEY if own else Right.REVOKE_API_KEY)
    _revoke(key, by)


def key_revoked(key_id: int, *, team_id: int, revoked_at: datetime) -> events.NewEvent:
    """The event of a key that is good no more."""
    return events.event(Kind.KEY_REVOKED, str(key_id), team_id=team_id, revoked_at=revoked_at)


def _revoke(key: ApiKey, by: Actor | None) -> None:
    now = timezone.now()
    if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=now):
        _note(by, key.team, "api_key.revoked", str(key.pk))
        events.write_with_orm(key_revoked(key.pk, team_id=key.team_id, revoked_at=now))
    key.refresh_from_db(fields=["revoked_at"])


def _require_team(by: Actor, team_id: int) -> None:
    if by.team_id != team_id:
        raise NotFound("there is no such thing in your team")


def _tell(kind: Kind, team: Team, about: str, **data: Any) -> None:
    events.write_with_orm(events.event(kind, about, team_id=team.pk, **data))


def _note(by: Actor | None, team: Team, event: str, target: str, **details: object) -> None:
    audit.record_with_orm(team_id=team.pk, event=event, target=target, by=by, **details)
