"""`manage.py set_role TEAM USER ROLE`: put a user in a team, or out of it, or change their role."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.lookup import find_team, find_user
from accounts.models import Role
from accounts.services import remove_member, set_role
from core.errors import ApiError

NONE = "none"


class Command(BaseCommand):
    """Give a user a role in a team."""

    help = "Give a user a role in a team; `none` takes them out of it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Team, user, role."""
        parser.add_argument("team", help="the team's slug")
        parser.add_argument("user", help="the user's name")
        parser.add_argument("role", choices=[*Role.values, NONE], help="what they may do in it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it and say so."""
        team, user = find_team(options["team"]), find_user(options["user"])
        try:
            if options["role"] == NONE:
                remove_member(team=team, user=user)
            else:
                set_role(team=team, user=user, role=Role(options["role"]))
        except ApiError as error:
            raise CommandError(error.detail) from None
        self.stdout.write(f"{user.username} in {team.slug}: {options['role']}")
