"""On whose behalf something is done: services take an `Actor`, and the audit log names it."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.models import ALL_SCOPES, Membership, Role, Team, User
from core.errors import ApiError, NotFound

_EVERY_SCOPE = frozenset(ALL_SCOPES)


class Forbidden(ApiError):
    """Who asks is known, but may not do this."""

    status = 403


@dataclass(frozen=True, slots=True)
class Actor:
    """A team, and the API key or the person that acts for it.

    Attributes:
        scopes: what may be done; a key can have fewer than all, a person has every one.
        key_id: the key that the request came with; None for people, and for the platform itself.
        user_id: the person who is signed in, or whose key it is; None for the team's own keys, and
            for the platform itself.
        role: what may be done in the team, as `accounts.rights` says; reading takes the least.
    """

    team_id: int
    team_name: str
    scopes: frozenset[str] = _EVERY_SCOPE
    key_id: int | None = None
    user_id: int | None = None
    role: Role = Role.VIEWER

    def require(self, scope: str) -> None:
        """Refuse a key that lacks the scope.

        Raises:
            Forbidden: the key's scopes do not hold it.
        """
        if scope not in self.scopes:
            has = ", ".join(sorted(self.scopes))
            raise Forbidden(f"This API key may not {scope}; its scopes are: {has}")


def of_member(*, user: User, team_slug: str) -> Actor:
    """Somebody who is signed in, acting for one of their teams.

    Raises:
        NotFound: there is no such team, or they are not in it.
    """
    membership = (
        Membership.objects.filter(user=user, user__is_active=True, team__slug=team_slug)
        .select_related("team")
        .first()
    )
    if membership is None:
        raise NotFound(f"there is no team {team_slug}")
    role = Role(membership.role)
    return Actor(membership.team_id, membership.team.name, user_id=user.pk, role=role)


def of_administrator(*, user: User, team: Team) -> Actor:
    """An administrator of the installation, who may do in every team what its owners may."""
    return Actor(team.pk, team.name, user_id=user.pk, role=Role.OWNER)
