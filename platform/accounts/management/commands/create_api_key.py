"""`manage.py create_api_key TEAM NAME`: make an API key and print it, once."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.management.lookup import find_team, find_user
from accounts.models import Role
from accounts.services import create_api_key, create_team


class Command(BaseCommand):
    """Make an API key for a team, and the team when told to."""

    help = "Make an API key for a team and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Team, name, what it may do, whether to make the team."""
        parser.add_argument("team", help="the team's slug; with --create-team its name")
        parser.add_argument("name", help="what the key is for")
        parser.add_argument("--create-team", action="store_true", help="make it first")
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument(
            "--role", choices=Role.values, help="what it may do; unless given: member"
        )
        whose.add_argument("--user", help="a member of the team, whose role it is to have")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the key alone, so that a script can take it."""
        user = find_user(options["user"]) if options["user"] else None
        role = Role(options["role"]) if options["role"] else None
        if options["create_team"]:
            team = create_team(name=options["team"], owner=user)
        else:
            team = find_team(options["team"])
        try:
            new = create_api_key(team=team, name=options["name"], role=role, user=user)
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(new.text)
