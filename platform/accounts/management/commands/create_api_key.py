"""`manage.py create_api_key TEAM NAME`: make an API key and print it, once."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Team
from accounts.services import create_api_key, create_team


class Command(BaseCommand):
    """Make an API key for a team, and the team when told to."""

    help = "Make an API key for a team and print it; it cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        """Team, name, whether to make the team."""
        parser.add_argument("team", help="the team's slug; with --create-team its name")
        parser.add_argument("name", help="what the key is for")
        parser.add_argument("--create-team", action="store_true", help="make the team first")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the key alone, so that a script can take it."""
        if options["create_team"]:
            team = create_team(name=options["team"])
        else:
            try:
                team = Team.objects.get(slug=options["team"])
            except Team.DoesNotExist:
                known = ", ".join(Team.objects.values_list("slug", flat=True)) or "none yet"
                raise CommandError(f"no team {options['team']!r}; there are: {known}") from None
        self.stdout.write(create_api_key(team=team, name=options["name"]).text)
