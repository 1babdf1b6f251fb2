"""On whose behalf something is done, and what the audit log says of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from asgiref.sync import sync_to_async
from django.test import Client

from accounts import actors, keys, services
from accounts.actors import Actor, Forbidden
from accounts.models import ApiKey, Membership, Team, User
from audit import services as audit
from audit.models import Entry
from core import database
from core.errors import NotFound

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def member() -> User:
    """A person who is in the team `smiths`, and in no other."""
    user = User.objects.create_user("ada", password="a long one")
    services.create_team(name="Smiths", owner=user)
    services.create_team(name="Potters")
    return user


@pytest.fixture
async def loop_resources() -> AsyncIterator[None]:
    """The event loop's pool, closed afterwards."""
    yield
    await database.shutdown()


def test_a_member_acts_for_their_team_with_every_scope(member: User) -> None:
    actor = actors.of_member(user=member, team_slug="smiths")
    team = Team.objects.get(slug="smiths")
    assert (actor.team_id, actor.team_name) == (team.pk, "Smiths")
    assert (actor.user_id, actor.key_id, actor.role) == (member.pk, None, "owner")
    actor.require("train")
    actor.require("sample")


@pytest.mark.parametrize("slug", ["potters", "nobody"])
def test_another_team_is_not_there(member: User, slug: str) -> None:
    with pytest.raises(NotFound, match=f"there is no team {slug}"):
        actors.of_member(user=member, team_slug=slug)


def test_who_may_not_sign_in_acts_for_nobody(member: User) -> None:
    User.objects.filter(pk=member.pk).update(is_active=False)
    with pytest.raises(NotFound):
        actors.of_member(user=member, team_slug="smiths")


def test_who_has_left_the_team_acts_for_it_no_more(member: User) -> None:
    Membership.objects.all().delete()
    with pytest.raises(NotFound):
        actors.of_member(user=member, team_slug="smiths")


async def test_the_audit_log_names_the_key_or_the_person(
    member: User, loop_resources: None
) -> None:
    person = await sync_to_async(actors.of_member)(user=member, team_slug="smiths")
    program = Actor(person.team_id, "Smiths", key_id=7)
    async with database.transaction() as conn:
        for actor in (person, program):
            await audit.record(conn, actor, "team.tested", "something")
    told = Entry.objects.filter(event="team.tested").order_by("id")
    found = [(entry.key_id, entry.user_id) async for entry in told]
    assert found == [(None, member.pk), (7, None)]


async def test_a_person_has_no_token(member: User) -> None:
    person = await sync_to_async(actors.of_member)(user=member, team_slug="smiths")
    with pytest.raises(Forbidden, match="only an API key"):
        await keys.exchange(actor=person, presented="tml-anything")


def test_what_an_administrator_does_bears_their_name(client: Client) -> None:
    admin = User.objects.create_superuser("root", password="a long one")
    team = services.create_team(name="Smiths")
    client.force_login(admin)
    made = client.post(
        "/admin/accounts/apikey/add/",
        {
            "team": team.pk,
            "name": "ci",
            "role": "member",
            "scopes": ["train"],
            "expires_at_0": "",
            "expires_at_1": "",
        },
    )
    assert made.status_code == 200
    key = ApiKey.objects.get()
    chosen = {"action": "revoke", "_selected_action": [key.pk]}
    client.post("/admin/accounts/apikey/", chosen)
    told = Entry.objects.filter(target=str(key.pk)).order_by("id")
    assert list(told.values_list("event", "user_id")) == [
        ("api_key.created", admin.pk),
        ("api_key.revoked", admin.pk),
    ]
