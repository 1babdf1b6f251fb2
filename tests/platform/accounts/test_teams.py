"""Teams and memberships."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts import services
from accounts.models import ApiKey, Membership, Role, Team, User

pytestmark = pytest.mark.django_db


def test_teams_of_one_name_get_slugs_of_their_own() -> None:
    owner = User.objects.create_user("ada")
    first, second = (services.create_team(name="Blue Team!", owner=owner) for _ in range(2))
    assert (first.slug, second.slug) == ("blue-team", "blue-team-2")
    assert services.create_team(name="工房").slug == "team"
    assert Membership.objects.filter(user=owner, role="owner").count() == 2


def test_a_member_is_in_a_team_once_and_may_become_owner() -> None:
    team, user = services.create_team(name="Blue"), User.objects.create_user("ada")
    services.set_role(team=team, user=user)
    services.set_role(team=team, user=user, role=Role.OWNER)
    assert Membership.objects.get().role == "owner"
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(team=team, user=user)
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.update(role="king")


def test_an_email_belongs_to_one_user_in_any_case() -> None:
    User.objects.create_user("ada", email="ada@example.org")
    User.objects.create_user("nobody")
    User.objects.create_user("nobody-else")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("eve", email="ADA@example.org")


def test_the_command_prints_a_key_that_works(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", "Blue", "ci", create_team=True)
    text = capsys.readouterr().out.strip()
    assert ApiKey.objects.usable().get(sha256=services.hash_key(text)).team.slug == "blue"
    with pytest.raises(CommandError, match="no team 'red'; there are: blue"):
        call_command("create_api_key", "red", "ci")
    assert Team.objects.count() == ApiKey.objects.count() == 1
