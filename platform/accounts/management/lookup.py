"""What commands find by the names that they are given."""

from __future__ import annotations

from django.core.management.base import CommandError

from accounts.models import Team, User


def find_team(slug: str) -> Team:
    """The team of a slug. Raises CommandError, with the slugs that there are."""
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        known = ", ".join(Team.objects.values_list("slug", flat=True)) or "none yet"
        raise CommandError(f"no team {slug!r}; there are: {known}")
    return team


def find_user(name: str) -> User:
    """The user of a name. Raises CommandError."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise CommandError(f"no user {name!r}; `createsuperuser` or the admin's page makes users")
    return user
